"""Pages about sidecars show what a running soadns says: each command of a page is run, and prints what is shown."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from soadns.cli import main
from tests.unit.route_process import RouteProcess
from tests.unit.test_http_api import site

DOCS = Path(__file__).resolve().parents[2] / "docs"
SHOWN_URL = "http://127.0.0.1:8053"


def shown(page: str) -> list[tuple[str, list[str]]]:
    """Every command of a page with the lines that follow it."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S):
        for piece in block.strip().split("\n\n$ "):
            command, *lines = piece.removeprefix("$ ").splitlines()
            found.append((command, [line for line in lines if line.strip() != "…"]))
    return found


@pytest.mark.parametrize("page", ["sidecar.md", "istio.md", "mosn.md"])
async def test_the_commands_of_the_page_print_what_is_shown(page: str) -> None:
    async with site(RouteProcess()) as port:
        url = f"http://127.0.0.1:{port}"
        for command, lines in shown(page):
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
