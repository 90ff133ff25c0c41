"""``docs/dns.md`` says what is answered: each ``dig`` command of the page is run, and prints what is shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.scenarios.stage.process import printed
from tests.scenarios.stage.soadns import Soadns

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dns.md"
SERVER = "@127.0.0.1 -p 5353 "


def shown() -> list[tuple[str, list[str]]]:
    """Every command of the page with the lines that follow it."""
    found = []
    for block in re.findall(r"^```dig\n(.*?)^```$", PAGE.read_text(), re.M | re.S):
        for piece in block.strip().split("\n\n"):
            command, *lines = piece.splitlines()
            found.append((command.removeprefix("$ dig "), lines))
    return found


@pytest.mark.parametrize(("command", "lines"), shown(), ids=[command for command, _ in shown()])
def test_a_command_of_the_page_prints_what_is_shown(
    command: str, lines: list[str], showcased: Soadns
) -> None:
    assert command.startswith(SERVER)
    assert lines
    asked = command.replace(SERVER, f"@127.0.0.1 -p {showcased.port} ")
    done = printed("dig", "+tries=1", "+time=5", *shlex.split(asked), within=60)
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    rest = iter(rows)
    for line in lines:
        pattern = ".*".join(map(re.escape, line.split("…")))
        assert any(re.fullmatch(pattern, row) for row in rest), (
            f"{line!r} is not, or not there, in:\n{done.stdout}"
        )
