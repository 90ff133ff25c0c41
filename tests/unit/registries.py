"""An estate in the notation of ``docs/binding.md``, and what registries would say of it if they were asked."""

from __future__ import annotations

from collections.abc import Collection

from soadns.binding.zonesettings import ZoneSettings
from soadns.model import Caller, Reading
from tests.unit.notation import Notebook, zone_settings


class Book:
    """Readings as registries would give them; remembers what was asked for."""

    def __init__(self, **readings: Reading) -> None:
        self.readings = {name.replace("_", "."): reading for name, reading in readings.items()}
        self.asked: list[tuple[list[str], list[str]]] = []

    def called(self, zone: str) -> set[str]:
        return set(self.readings)

    def roots(self, zone: str) -> list[str]:
        return ["/dubbo"]

    async def about(
        self, zone: str, names: Collection[str], what: frozenset[str]
    ) -> list[dict[str, Reading]]:
        self.asked.append((list(names), sorted(what)))
        return [self.readings]


def estate(*statements: str, settings: ZoneSettings | None = None) -> Notebook:
    notebook = Notebook(settings or zone_settings({}))
    for statement in "\n".join(statements).replace("\n", ";").split(";"):
        if statement.strip():
            notebook.say(statement.strip())
    notebook.flush()
    notebook.wait(10.0)
    return notebook


def callers(*texts: str) -> frozenset[Caller]:
    """``shop@10.1.0.9``: application and address."""
    parts = (text.partition("@") for text in texts)
    return frozenset(Caller(host, application) for application, _, host in parts)
