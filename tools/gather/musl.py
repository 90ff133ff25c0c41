"""A program that looks names up as one in an Alpine image does: with musl, by Debian's musl and tcc."""

from __future__ import annotations

from pathlib import Path

from . import debian
from .running import PartError, run

SOURCE = Path(__file__).resolve().parents[1] / "musl-lookup" / "lookup.c"
PACKAGES = ("musl-dev", "musl", "tcc")
PROGRAM = "lookup"


def recipe() -> str:
    """What decides what comes out."""
    return " ".join(PACKAGES) + "\n" + SOURCE.read_text(encoding="utf-8")


def make(folder: Path) -> str:
    """Unpack the compiler and the library into an empty folder and link the program; returns musl's version."""
    version = debian.unpack(folder, PACKAGES, pinned="1.2.3-")
    headers = next(folder.glob("usr/include/*-linux-musl"), None)
    library = next(folder.glob("usr/lib/*-linux-musl"), None)
    own = next(folder.glob("usr/lib/*-linux-gnu/tcc"), None)
    if not (headers and library and own):
        raise PartError("Debian's musl-dev and tcc have other folders than they had in Debian 12")
    begin, end = ("crt1.o", "crti.o"), ("crtn.o",)
    run(
        [
            str(folder / "usr/bin/tcc"), "-static", "-nostdinc", "-nostdlib", f"-B{own}", f"-I{headers}",
            *(str(library / name) for name in begin), str(SOURCE), str(library / "libc.a"), str(own / "libtcc1.a"),
            *(str(library / name) for name in end), "-o", str(folder / PROGRAM),
        ],
        "linking lookup with musl",
    )  # fmt: skip
    return version
