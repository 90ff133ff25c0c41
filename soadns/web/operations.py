"""What the API asks of the process that runs it, and what a query says to it. Shapes only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from soadns.binding.estate import Estate
from soadns.figures import Figures, WorkerState
from soadns.model import InterfaceId, ObjectRef
from soadns.reports.filterviews import Meshing
from soadns.routemodel import Move
from soadns.routing import Routing


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """An operation that is not done; the message says why and what to do."""


def switched(query: Mapping[str, str], name: str) -> bool:
    """Whether a query has ``name=1``, or the name alone; ``name=0`` is as good as none. Raises Refused."""
    said = query.get(name, "0")
    if said not in ("", "0", "1"):
        raise Refused(f"{name}={said}: expected 1 or 0")
    return said != "0"


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
    figures: Figures

    @property
    def meshing(self) -> Meshing: ...  # noqa: D102

    @property
    def leaving(self) -> bool: ...  # noqa: D102

    @property
    def ready(self) -> bool: ...  # noqa: D102

    @property
    def serials(self) -> dict[str, int]: ...  # noqa: D102

    def now(self) -> float: ...  # noqa: D102

    def mesh_status(self, service: str) -> dict[str, Any]: ...  # noqa: D102

    def mesh_figures(self) -> dict[str, Any]: ...  # noqa: D102

    def standing(self) -> list[dict[str, Any]] | None: ...  # noqa: D102

    async def filter_changes(  # noqa: D102
        self, zone: str, of: ObjectRef | None
    ) -> list[dict[str, Any]] | None: ...

    async def route_files(self, zone: str) -> dict[str, Any] | None: ...  # noqa: D102

    def zone_file(self, zone: str) -> Iterator[str] | None: ...  # noqa: D102

    def nodes(self) -> list[dict[str, Any]] | None: ...  # noqa: D102

    def workers(self) -> Sequence[WorkerState]: ...  # noqa: D102

    async def texts(self, source: str, interface: str) -> list[str]: ...  # noqa: D102

    async def direct_urls(  # noqa: D102
        self, zone: str, query: Mapping[str, str], *, limit: int
    ) -> dict[str, Any]: ...

    async def rehearse(  # noqa: D102
        self, files: Sequence[tuple[str, str]], cluster: str
    ) -> dict[str, Any]: ...

    async def survey(  # noqa: D102
        self, zone: str, query: Mapping[str, str], *, limit: int
    ) -> dict[str, Any]: ...
