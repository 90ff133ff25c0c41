"""The file of a snapshot: a whole, and behind it what changed since, as it comes.

It is a header line (format, checksum, identities) and a body of msgpack; then changes, each with its length and a
checksum. A whole takes the place of the file before it in one step. A change that was not written to its end, or is
damaged, ends what is believed: what is before it is as good as an older snapshot. A corrupt, older or foreign file is
reported and set aside.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from struct import Struct
from zlib import crc32

import msgspec

from soadns.persistence.changes import Changes, merged
from soadns.persistence.snapshot import Snapshot

FORMAT = 3
"""Of the body and of changes. A field that is added with a default leaves it as it is: it is passed over by an older
soadns, and missing from its files. Whatever else changes needs another number, so that no older file is misread."""
WITHOUT_CHANGES = 2
"""Of files that end with their body, which is the same."""
MAGIC = "soadns-snapshot"


class SnapshotError(Exception):
    """The file can not be used; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class Head:
    """The first line of a file: what there is to say of it before all of it is here."""

    saved: float
    """When the whole was; what changed since may be newer."""
    sha256: str
    """Of the body."""
    octets: int | None
    """Of the body; None where nothing follows it."""


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Snapshot] = msgspec.msgpack.Decoder(Snapshot)
_changes_decoder: msgspec.msgpack.Decoder[Changes] = msgspec.msgpack.Decoder(Changes)
_FRAME = Struct("!II")
"""Length and checksum (CRC-32) of a change."""


def encode(snapshot: Snapshot) -> bytes:
    """The content of a file without changes."""
    body = _encoder.encode(snapshot)
    header = {
        "magic": MAGIC,
        "format": FORMAT,
        "saved": snapshot.saved,
        "octets": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "sources": {source.name: source.identity for source in snapshot.sources},
    }
    return json.dumps(header).encode() + b"\n" + body


def encode_changes(changes: Changes) -> bytes:
    """What is written behind all that a file has."""
    octets = _encoder.encode(changes)
    return _FRAME.pack(len(octets), crc32(octets)) + octets


def decode(data: bytes) -> Snapshot:
    """What a file's content comes to. Raises SnapshotError."""
    return decode_all(data)[0]


def decode_all(data: bytes) -> tuple[Snapshot, int]:
    """The same, and how many octets at its end are no whole change. Raises SnapshotError."""
    line, _, rest = data.partition(b"\n")
    said = head(line)
    body = rest if said.octets is None else rest[: said.octets]
    if hashlib.sha256(body).hexdigest() != said.sha256:
        raise SnapshotError("its checksum is wrong: it is damaged or incomplete")
    changes = []
    at = len(body)
    try:
        snapshot = _decoder.decode(body)
        while (found := _frame(rest, at)) is not None:
            changes.append(_changes_decoder.decode(found))
            at += _FRAME.size + len(found)
        whole = merged(snapshot, changes)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # no shape, no UTF-8, no one source
        raise SnapshotError(f"its content does not fit: {error}") from None
    if snapshot.saved != said.saved:
        raise SnapshotError("its header is of another one: it is damaged")
    return whole, len(rest) - at


def _frame(octets: bytes, at: int) -> bytes | None:
    """The change that begins there; None where none does."""
    if len(octets) - at < _FRAME.size:
        return None
    length, checksum = _FRAME.unpack_from(octets, at)
    found = octets[at + _FRAME.size : at + _FRAME.size + length]
    # Zeros are what a disk has of what was not written before its power went.
    return found if length and len(found) == length and crc32(found) == checksum else None


def head(line: bytes) -> Head:
    """The first line of a file. Raises SnapshotError."""
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        raise SnapshotError("it does not begin with a snapshot header") from None
    if not isinstance(header, dict) or header.get("magic") != MAGIC:
        raise SnapshotError("it is no soadns snapshot")
    if header.get("format") not in (FORMAT, WITHOUT_CHANGES):
        raise SnapshotError(f"it has format {header.get('format')}, this soadns reads format {FORMAT}")
    saved, octets = _finite(header.get("saved")), header.get("octets")
    if saved is None:
        raise SnapshotError("its header does not say when it was saved")
    if header["format"] == FORMAT and not (isinstance(octets, int) and octets >= 0):
        raise SnapshotError("its header does not say how long it is")
    return Head(saved, str(header.get("sha256")), octets if header["format"] == FORMAT else None)


def _finite(number: object) -> float | None:
    """A number that can be reckoned with; None for whatever else JSON may have."""
    try:
        found = float(number) if isinstance(number, int | float) else nan
    except OverflowError:
        return None
    return found if isfinite(found) else None


# --------------------------------------------------------------------------- on disk


def _private(path: str, flags: int) -> int:
    """Open for this user alone: a snapshot holds who runs what and where."""
    return os.open(path, flags, 0o600)


def write(path: Path, data: bytes, *, parent: int = 0) -> None:
    """Replace the file atomically and durably. Raises OSError.

    :param parent: the process for which this one writes, if another. Where that has gone meanwhile the file stays as
        it is (``ESRCH``): a successor may have written a newer one.
    """
    unfinished = temporary(path, os.getpid())
    try:
        with open(unfinished, "wb", opener=_private) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if parent and os.getppid() != parent:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        os.replace(unfinished, path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    # That it took the other's place is the folder's to keep. It did, so a file system that can not sync folders is
    # no failure.
    with contextlib.suppress(OSError):
        _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary(path: Path, pid: int) -> Path:
    """Where a process writes the file before it takes its place."""
    return path.with_name(f"{path.name}.{pid}.tmp")


class Tail:
    """The end of a file that was just written as a whole: changes are put there until another one takes its place.

    It is this very file's, whatever becomes of its name.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self.whole = self.octets = os.fstat(self._descriptor).st_size
        """Octets of the whole, and of all that there is."""

    def append(self, data: bytes) -> None:
        """Durably; may wait for the disk. Raises OSError: then there may be half of it, and nothing is to follow."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        os.fdatasync(self._descriptor)
        self.octets += len(data)

    def close(self) -> None:
        """Write there no more."""
        os.close(self._descriptor)


def read(path: Path, *, report: Callable[[str], None]) -> Snapshot | None:
    """The snapshot of a file, or None; an unusable file is renamed and reported, never an error."""
    try:
        found, rest = decode_all(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        report(f"snapshot {path} can not be read ({error.strerror}); starting without it")
        return None
    except SnapshotError as error:
        aside = path.with_name(f"{path.name}.unusable")
        try:
            os.replace(path, aside)
            where = f"it was set aside as {aside}"
        except OSError as problem:
            where = f"it could not be set aside ({problem.strerror})"
        report(f"snapshot {path} is not used: {error}; {where}")
        return None
    if rest:
        report(
            f"snapshot {path} ends with {rest} octets that are no whole change; what is before them is used"
        )
    return found
