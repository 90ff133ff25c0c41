"""``docs/envoy.md`` shows what the command writes: each command of the page is run, and prints what is shown."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from soadns.cli import main
from tests.unit.http_site import site
from tests.unit.route_process import RouteProcess

PAGE = Path(__file__).resolve().parents[2] / "docs" / "envoy.md"
FOLDER = "/var/lib/soadns"


async def test_the_commands_of_the_page_print_what_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    async with site(RouteProcess()) as port:
        for piece in "\n\n".join(block.strip() for block in blocks).strip().split("\n\n$ "):
            command, shown = piece.removeprefix("$ ").split("\n", 1)
            words = command.replace(FOLDER, str(tmp_path)).replace("…", "*").split()
            if words[0] == "soadns":
                await asyncio.to_thread(main, [*words[1:], "--url", f"http://127.0.0.1:{port}"])
                printed = capsys.readouterr().out
            else:
                printed = await asyncio.to_thread(said, " ".join(words))
            pattern = ".*".join(map(re.escape, shown.strip().replace(FOLDER, str(tmp_path)).split("…")))
            assert re.match(pattern, printed, re.S), printed


def said(command: str) -> str:
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
