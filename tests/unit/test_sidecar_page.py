"""Pages about sidecars show what a running soadns says: each command of a page is run, and prints what is shown."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from soadns.cli import main
from tests.unit.http_site import site
from tests.unit.route_process import SHOP, RouteProcess

DOCS = Path(__file__).resolve().parents[2] / "docs"
SHOWN_URL = "http://127.0.0.1:8053"


PATHS = (
    "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register com.x.User,com.x.Address 10.1.0.1 path=api",
    "register com.x.Star 10.1.0.1 path=*; Service shop/account 10.96.0.2; pods shop/account 10.1.0.2",
    "register com.x.User 10.1.0.2 path=api; unregister com.x.User 10.1.0.1; after 5s",
)
"""Two interfaces had one path, and one of them has moved."""


def shown(page: str, fence: str = "console") -> list[tuple[str, list[str]]]:
    """Every command of a page with the lines that follow it."""
    found = []
    for block in re.findall(rf"^```{fence}\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S):
        for piece in block.strip().split("\n\n$ "):
            command, *lines = piece.removeprefix("$ ").splitlines()
            found.append((command, [line for line in lines if line.strip() != "…"]))
    return found


@pytest.mark.parametrize(
    ("page", "fence", "rows"),
    [
        ("sidecar.md", "console", SHOP),
        ("sidecar.md", "console paths", PATHS),
        ("istio.md", "console", SHOP),
        ("mosn.md", "console", SHOP),
    ],
)
async def test_the_commands_of_the_page_print_what_is_shown(
    page: str, fence: str, rows: Sequence[str]
) -> None:
    assert shown(page, fence)
    async with site(RouteProcess(rows)) as port:
        url = f"http://127.0.0.1:{port}"
        for command, lines in shown(page, fence):
            # Moves are forgotten by then; the stream is the same with and without.
            run = said_by if command.startswith("soadns ") else streamed
            printed = await asyncio.to_thread(run, shlex.split(command.replace(SHOWN_URL, url)), url)
            rest = iter(printed.splitlines())
            for line in lines:
                pattern = ".*".join(map(re.escape, line.rstrip().split("…")))
                assert any(re.fullmatch(pattern, row.rstrip()) for row in rest), (
                    f"{line!r} is not in:\n{printed}"
                )


def said_by(words: list[str], url: str) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        main([*words[1:], "--url", url])
    return text.getvalue()


def streamed(words: list[str], _: str) -> str:
    """The first event that curl prints."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as curl:
        assert curl.stdout is not None
        text = "".join(_until_blank(curl.stdout))
        curl.kill()
    return text


def _until_blank(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if not line.strip():
            return
