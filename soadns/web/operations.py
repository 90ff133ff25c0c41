"""What the API asks of the process that runs it. Shapes only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from soadns.binding.estate import Estate
from soadns.figures import Figures, WorkerState
from soadns.filterviews import Meshing
from soadns.model import InterfaceId, ObjectRef
from soadns.routemodel import Move
from soadns.routing import Routing


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """An operation that is not done; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload did."""

    removed: tuple[str, ...]
    names: int
    """Names that stood on what was removed."""
    needs_restart: str
    """Settings that hold from the next start only, comma separated."""


class Operations(Protocol):
    """What operators may change."""

    since: float
    """Unix seconds; since when the configuration is in force."""

    def release(self, source: str) -> int: ...  # noqa: D102

    def forget(  # noqa: D102
        self, zone: str, service: ObjectRef, interface: InterfaceId | None
    ) -> list[Move]: ...

    async def settle(self, within: float) -> str: ...  # noqa: D102

    def reload(self, *, accept_removals: bool) -> Reloaded: ...  # noqa: D102


class Running(Protocol):
    """The running control process, read only."""

    estate: Estate
    routing: Routing
    meshing: Meshing
    figures: Figures
    leaving: bool
    """Whether it is about to end: nobody should begin to ask it."""

    @property
    def ready(self) -> bool: ...  # noqa: D102

    @property
    def serials(self) -> dict[str, int]: ...  # noqa: D102

    def now(self) -> float: ...  # noqa: D102

    def mesh_status(self, service: str) -> dict[str, Any]: ...  # noqa: D102

    def mesh_figures(self) -> dict[str, Any]: ...  # noqa: D102

    def standing(self) -> list[dict[str, Any]] | None: ...  # noqa: D102

    def zone_file(self, zone: str) -> Iterator[str] | None: ...  # noqa: D102

    def nodes(self) -> list[dict[str, Any]] | None: ...  # noqa: D102

    def workers(self) -> Sequence[WorkerState]: ...  # noqa: D102

    async def texts(self, source: str, interface: str) -> list[str]: ...  # noqa: D102

    async def direct_urls(  # noqa: D102
        self, zone: str, query: Mapping[str, str], *, limit: int
    ) -> dict[str, Any]: ...

    async def survey(  # noqa: D102
        self, zone: str, query: Mapping[str, str], *, limit: int
    ) -> dict[str, Any]: ...
