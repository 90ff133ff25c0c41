"""Sources: streams of observations. A source turns the outside world into events of ``soadns.model``.

A source is ``async def run(emit)`` where ``emit(events: Sequence[Event]) -> None`` is called on the event
loop with events in the order in which they hold. It runs until it is cancelled, retries by itself and
never raises for trouble outside: it emits ``Trouble`` instead. Sources never import each other's siblings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, runtime_checkable

from soadns.model import Event, Reading

Emit = Callable[[Sequence[Event]], None]


class Source(Protocol):
    """What the composition root runs."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Source ids that appear in its events (a ZooKeeper ensemble has one per root)."""

    async def run(self, emit: Emit) -> None:
        """Observe until cancelled."""


@runtime_checkable
class Registry(Source, Protocol):
    """A source that can be asked what it does not keep, by source id."""

    async def texts(self, source: str, interface: str) -> list[str]:
        """Paths of an interface's leaves as they stand now, secrets masked."""

    def names(self, source: str) -> set[str]:
        """The interfaces that have a node, whether anybody provides them or not."""

    def roots(self, source: str) -> list[str]:
        """The path of a registry that is a configuration centre, too."""

    async def about(
        self, source: str, subjects: Collection[str], what: frozenset[str]
    ) -> dict[str, Reading] | None:
        """What it says of interfaces and applications; None without a connection."""


@runtime_checkable
class Identifiable(Source, Protocol):
    """A source that can be asked who it is."""

    source: str
    """Its one id."""

    async def identity(self) -> str:
        """What tells it from others of its kind; ``''`` when that can not be had."""


class FormatError(ValueError):
    """A text of a source that can not be understood, or must not be believed.

    ``reason`` is a slug from a bounded set; ``detail`` says what is wrong and what to do, for people, in at most 300
    characters, and never contains a parameter's value, a user or a password.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail[:300]
        super().__init__(f"{reason}: {self.detail}")
