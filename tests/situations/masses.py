"""Situations of a hundred interfaces at once: what each suffers, and what the guard holds.

Ten Services of four pods with ten interfaces each (``s3.i7`` is the seventh of Service ``s3``), unless said; or one
Service with forty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.situations.world import World

Setup = Callable[[World], None]
SERVICES = tuple(f"s{n}" for n in range(10))


def names(service: str, numbers: Iterable[int] = range(10)) -> tuple[str, ...]:
    return tuple(f"{service}.i{n}" for n in numbers)


HUNDRED = tuple(name for service in SERVICES for name in names(service))
FORTY = names("x", range(40))


@dataclass(frozen=True)
class Mass:
    """One row: what happens to many interfaces together, and the limits for each."""

    name: str
    what: str
    excess: float
    changes: int
    setup: Setup
    interfaces: tuple[str, ...] = HUNDRED
    suffering: frozenset[str] = frozenset(HUNDRED)
    """The interfaces that may suffer and move that much; the others not at all."""
    held: frozenset[str] = frozenset()
    """Whose removals the guard holds at the end. They have lost all who served them."""
    end: float = 900.0
    restart: float = 130.0
    remark: str = ""


MASSES: list[Mass] = []


def mass(what: str, excess: float, changes: int, **kw: object) -> Callable[[Setup], Setup]:
    def add(setup: Setup) -> Setup:
        MASSES.append(Mass(setup.__name__, what, excess, changes, setup, **kw))
        return setup

    return add


def hundred(w: World, *, old_world: Iterable[str] = (), spacing: float = 0.05) -> None:
    """The ten Services; those in ``old_world`` are applications on two VMs each instead."""
    for service in SERVICES:
        if service in old_world:
            w.at(10, lambda s=service: w.vms(2, names(s), prefix=f"vm-{s}"))
        else:
            w.at(10, lambda s=service: w.service(s))
            w.at(10, lambda s=service: w.pods(s, 4, names(s), spacing=spacing))


def expire(w: World, at: float, back: float, spacing: float = 0.05) -> None:
    """Every session that there is ends at once; they return together, each interface after interface."""

    def lose() -> None:
        for process in list(w.processes.values()):
            w.lose_session(process.name, back, spacing=spacing)

    w.at(at, lose)


@mass(
    "every session of the registry expires; all are back after 60 s",
    0.0,
    0,
    remark="Addresses that stay ready keep what they provided, so no name even begins to vanish",
)
def mass_expiry_60(w: World) -> None:
    hundred(w)
    expire(w, 100, 60)


@mass(
    "the same, each process registers one interface every 6 s; 30 of them are exported by a gray Service as well",
    0.0,
    0,
    restart=190.0,
)
def mass_expiry_60_slow(w: World) -> None:
    hundred(w)
    w.at(11, lambda: w.service("gray"))
    w.at(11, lambda: w.pods("gray", 1, [n for service in SERVICES[:3] for n in names(service)]))
    expire(w, 100, 60, spacing=6.0)


@mass(
    "the same as the first, five of the ten applications live on VMs only",
    0.0,
    0,
    remark="Where no provider is left the last ones are answered on for the linger",
)
def mass_expiry_60_vms(w: World) -> None:
    hundred(w, old_world=SERVICES[5:])
    expire(w, 100, 60)


@mass(
    "every session expires and returns only after 15 min; all pods serve on",
    0.0,
    0,
    end=1500.0,
    restart=700.0,
)
def mass_expiry_15min(w: World) -> None:
    hundred(w)
    expire(w, 100, 900)


SPARED = tuple(f"{service}.i{n}" for service in SERVICES[5:] for n in range(5))
"""Interfaces of the Services that go which another Service exports too."""
LOST = frozenset(f"{service}.i{n}" for service in SERVICES[5:] for n in range(5, 10))


def half_gone(w: World, *, services: bool) -> None:
    hundred(w)
    w.at(11, lambda: w.service("twin"))
    w.at(11, lambda: w.pods("twin", 4, SPARED))

    def go() -> None:
        for service in SERVICES[5:]:
            for pod in w.of(service):
                w.stop(pod)
            if services:
                w.delete_service(service)

    w.at(100, go)


@mass(
    "all pods of 5 of 10 Services end for good, the Services stay; another Service exports 25 of their 50 interfaces",
    34.5,
    1,
    suffering=frozenset(SPARED),
    held=LOST,
    remark="The other 25 keep their Services' ClusterIPs. They go by `soadns release`, or when the Services have had "
    "no endpoint for a linger more",
)
def dc_gone(w: World) -> None:
    half_gone(w, services=False)


@mass(
    "the same, and the five Services are deleted with their pods",
    24.5,
    1,
    suffering=frozenset(SPARED),
    held=LOST,
    restart=105.0,
    remark="The other 25 stay known and answer no address: that of a deleted Service is never answered for longer",
)
def dc_gone_svcs(w: World) -> None:
    half_gone(w, services=True)


@mass(
    "30 of X's 40 interfaces move to a Service of their own, then X is rolled without them",
    3.4,
    1,
    interfaces=FORTY,
    suffering=frozenset(FORTY[10:]),
    restart=210.0,
    remark="A vote is proof, so nothing of it counts as vanishing",
)
def big_split(w: World) -> None:
    w.at(10, lambda: w.service("X"))
    w.at(10, lambda: w.pods("X", 4, FORTY))
    w.at(120, lambda: w.service("Y"))
    w.at(120, lambda: w.pods("Y", 4, FORTY[10:]))
    w.at(200, lambda: w.roll("X", FORTY[:10]))


@mass(
    "X's 40 interfaces are served by 4 VMs as well; X is rolled with 10 of them",
    31.0,
    1,
    interfaces=FORTY,
    suffering=frozenset(FORTY[10:]),
    restart=150.0,
)
def big_back_to_vms(w: World) -> None:
    w.at(5, lambda: w.vms(4, FORTY))
    w.at(10, lambda: w.service("X"))
    w.at(10, lambda: w.pods("X", 4, FORTY))
    w.at(100, lambda: w.roll("X", FORTY[:10]))
