"""Secrets and certificates in files that are renewed while soadns runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soadns.figures import CredentialFigures
from soadns.settings import credentials, renewed
from soadns.settings.renewed import Renewed
from tests.unit.mounted import Mounted

WHAT = "x.passwordFile"


class Told:
    """What was logged and counted of one value, which is looked at each time."""

    def __init__(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(renewed, "LOOK_S", 0.0)
        self.figures = CredentialFigures()
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.value = Renewed(
            WHAT, [path], lambda: credentials.read(path), "nothing yet", self.figures, log=self.log
        )

    def log(self, event: str, *, level: str = "info", **fields: object) -> None:
        self.lines.append((event, fields))

    def events(self) -> list[str]:
        return [event for event, _ in self.lines]


def test_a_secret_that_the_kubelet_swaps_holds_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = Mounted(tmp_path / "secret", password="one\n")
    told = Told(secret["password"], monkeypatch)
    assert [told.value(), told.value()] == ["one", "one"]
    assert told.lines == []
    secret.put(password="two\n")
    assert told.value() == "two"
    assert told.events() == ["credentials-renewed"]
    assert told.figures.reads == {(WHAT, "renewed"): 1}
    assert told.figures.refused == {WHAT: False}


@pytest.mark.parametrize("damage", ["", "gone", "octets"])
def test_one_that_can_not_be_used_leaves_what_was_in_force_and_is_told_once(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "password"
    path.write_text("one")
    told = Told(str(path), monkeypatch)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"\xff\xfe" if damage == "octets" else b"")
    assert [told.value() for _ in range(3)] == ["one"] * 3
    assert told.events() == ["credentials-refused"]
    assert told.figures.reads == {(WHAT, "refused"): 1}
    assert told.figures.refused == {WHAT: True}
    assert str(path) in told.lines[0][1]["reason"]
    path.write_text("three")
    assert told.value() == "three"
    assert told.figures.refused == {WHAT: False}


def test_who_begins_with_one_that_can_not_be_used_goes_on_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "password"
    told = Told(str(path), monkeypatch)
    assert told.value() == "nothing yet"
    assert told.figures.refused == {WHAT: True}
    path.write_text("one")
    assert told.value() == "one"


def test_files_are_looked_at_once_a_second_however_often_one_asks(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("one")
    value = Renewed(
        WHAT, [str(path)], lambda: credentials.read(str(path)), "", CredentialFigures(),
        log=lambda *_, **__: None,
    )  # fmt: skip
    path.write_text("another")
    assert value() == "one"
