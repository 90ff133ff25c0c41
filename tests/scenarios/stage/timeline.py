"""Faults one after another, while consumers call all the time: what each of them costs each consumer.

Any number of riders are on one timeline. Each phase begins with what happens and lasts some seconds; ``Costs`` says
what became of every rider's calls in every phase.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.scenarios.stage.clients import Tally
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.riders import Rider
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.town import Behind, Server, Silent, Town, at_once
from tests.stalls import Machine

CALM, RESTARTED, AFTERWARDS, KILLED = (
    "calm", "pods restarted one by one", "calm after it", "the pod of most calls killed",
)  # fmt: skip
SOADNS, SILENT, COREDNS = "soadns", "soadns silent", "CoreDNS"
ZOOKEEPER, API_SERVER = "ZooKeeper", "API server"
LOSSES = (SOADNS, SILENT, API_SERVER, COREDNS, ZOOKEEPER)
"""All of each is killed, but for what is silent: that is stopped, and its pods stay ready. ZooKeeper comes last, for
what its loss does to registries may stay."""
DOWN_S = {SOADNS: 18.0, SILENT: 15.0, COREDNS: 18.0, ZOOKEEPER: 15.0, API_SERVER: 15.0}
"""soadns and CoreDNS are away for longer than SOFARPC (10 s) and a cache of 5 s go without them, ZooKeeper for longer
than its sessions last (10 s)."""
AFTER_S = {SOADNS: 6.0, SILENT: 4.0, COREDNS: 13.0, ZOOKEEPER: 13.0, API_SERVER: 2.0}
"""How long is looked on after each of them: SOFARPC looks a name up every ten seconds, and ZooKeeper ends the
sessions of those that did not return ten seconds after its own return. Who watches the API server is back in a moment,
and whatever comes of it falls into the next phase, in which nobody may lose a call either."""
CALM_S, KILLED_S = 4.0, 16.0
"""A call that hangs takes five seconds, and `tri` of 3.2.16 up to thirteen until it connects again."""
LOOK_S, AT_WORK_WITHIN_S = 2.0, 90.0
"""The timeline begins when all of them make most of their calls in so many seconds, and no later than that."""
EVERY_MS, THREADS = 200, 2
"""Each rider begins ten calls a second: all of them together are what two cores can do beside the faults."""
Key = tuple[str, str]
"""Of a rider: its client and the way in which it calls."""


def lost(what: str) -> str:
    """The phase in which it is down."""
    return f"{what}: gone"


def back(what: str) -> str:
    """The phase that begins with its return."""
    return f"{what}: back"


PHASES = (CALM, RESTARTED, AFTERWARDS, KILLED, *(phase(what) for what in LOSSES for phase in (lost, back)))


@dataclass(frozen=True)
class Away:
    """How long all of something was gone, in seconds, by the clock."""

    down_s: float
    """From when the last of it was killed until the first is started again."""
    back_s: float
    """Until all of it works again."""


@dataclass(frozen=True)
class Costs:
    """By phase, and there by rider."""

    phases: Mapping[str, Mapping[Key, Tally]]
    away: Mapping[str, Away]
    """By what was lost."""
    connections: Mapping[Key, int]
    """To the ClusterIP, of each rider, before anything happens."""
    seconds: Mapping[str, float]
    """How long each phase was, by the clock."""
    pods: Mapping[Key, frozenset[str]]
    """Who provides what a rider calls."""
    killed: frozenset[str]
    """The pods that are killed in ``KILLED``."""
    stood_s: Mapping[str, float] = field(default_factory=dict)
    """For how many seconds of a phase the machine stood still, where it did."""

    def failed(self, rider: Key, *phases: str) -> int:
        """Failed calls of a rider in these phases (in all of them when none is named)."""
        return sum(self.phases[phase][rider].failed for phase in phases or self.phases)

    def calls(self, rider: Key, *phases: str) -> int:
        """Calls of a rider in these phases."""
        return sum(self.phases[phase][rider].calls for phase in phases or self.phases)

    def gap_ms(self, rider: Key, *phases: str) -> float:
        """The longest time without a good answer in these phases."""
        return max(self.phases[phase][rider].longest_gap_ms for phase in phases or self.phases)

    def __str__(self) -> str:
        lines = [
            f"{'phase':<30}{'client':<32}{'called':<21}{'calls':>6}{'failed':>7}{'gap':>9}  answers, errors"
        ]
        for phase, tallies in self.phases.items():
            for (client, way), tally in tallies.items():
                errors = "; ".join(f"{count}x {text[:90]}" for text, count in tally.errors.items())
                by = "/".join(str(count) for _, count in sorted(tally.by.items()))
                gap = f"{tally.longest_gap_ms:>6.0f} ms"
                lines.append(
                    f"{phase:<30}{client:<32}{way:<21}{tally.calls:>6}{tally.failed:>7}{gap}  {by}  {errors}".rstrip()
                )
        return "\n".join(lines)


class Timeline:
    """A sequence of faults in a town."""

    def __init__(self, town: Town, waves: Sequence[Sequence[Behind]], losses: Sequence[str] = LOSSES) -> None:
        """The pods of a wave are restarted together, one wave after the other. Those of the first one are killed then,
        to which connections went that broke in the last wave. ``losses`` are killed, each alone, and come back.
        """
        self._town = town
        self._waves = waves
        self._losses = losses
        self._lost_at = 0.0
        self._away: dict[str, Away] = {}

    def run(self, riders: Sequence[Rider]) -> Costs:
        """Let all of them call, who are connected already, and see to the end."""
        for rider in riders:
            rider.caller.steady(rider.interface, every_ms=EVERY_MS, threads=THREADS, name=rider.interface)
        phases: dict[str, dict[Key, Tally]] = {}
        lasted: dict[str, float] = {}
        times: dict[str, tuple[float, float]] = {}
        self._at_work(riders)
        with Machine() as machine:
            looked = time.monotonic()
            for phase, happens, seconds in self._phases():
                began = time.monotonic()
                happens()
                time.sleep(max(0.0, max(began, self._lost_at) + seconds - time.monotonic()))
                phases[phase] = self._look(riders)
                looked, before = time.monotonic(), looked
                lasted[phase] = looked - before
                times[phase] = time.time() - lasted[phase], time.time()
        stood = {phase: round(machine.outcome.during(*when), 2) for phase, when in times.items()}
        print(f"the machine stood still: {stood}")
        return Costs(
            phases, self._away, {rider.key: rider.connections for rider in riders}, lasted,
            {rider.key: rider.pods for rider in riders}, frozenset(pod.home.name for pod in self._waves[0]), stood,
        )  # fmt: skip

    def _at_work(self, riders: Sequence[Rider]) -> None:
        """Wait until all of them call as they should: their first calls together load classes for a while.

        Where they never do, what is said of the calm tells it.
        """
        keen = 0.8 * LOOK_S * THREADS * 1000 / EVERY_MS
        eventually(
            lambda: all(sum(tally.by.values()) >= keen for tally in self._after(riders, LOOK_S).values()),
            within=AT_WORK_WITHIN_S,
        )

    def _after(self, riders: Sequence[Rider], seconds: float) -> dict[Key, Tally]:
        time.sleep(seconds)
        return self._look(riders)

    def _look(self, riders: Sequence[Rider]) -> dict[Key, Tally]:
        return {rider.key: rider.caller.tally(rider.interface) for rider in riders}

    def _phases(self) -> Iterator[tuple[str, Callable[[], None], float]]:
        yield CALM, lambda: None, CALM_S
        yield RESTARTED, self._restart_pods, 0.0
        yield AFTERWARDS, lambda: None, CALM_S
        yield KILLED, partial(at_once, Behind.kill, self._waves[0]), KILLED_S
        for what in self._losses:
            servers = self._servers(what)
            yield lost(what), partial(self._lose, *servers), DOWN_S[what]
            yield back(what), partial(self._return, what, *servers), 0.0

    def _restart_pods(self) -> None:
        for wave in self._waves:
            at_once(Behind.stop, wave)
            at_once(Behind.start, wave)
            time.sleep(2.0)

    def _lose(self, *servers: Server) -> None:
        self._town.kill(*servers)
        self._lost_at = time.monotonic()

    def _return(self, what: str, *servers: Server) -> None:
        down = time.monotonic() - self._lost_at
        self._town.restart(*servers)
        self._away[what] = Away(down, time.monotonic() - self._lost_at)
        time.sleep(AFTER_S[what])

    def _servers(self, what: str) -> list[Server]:
        town = self._town
        found: dict[str, list[Server]] = {
            SOADNS: [*town.soadns],
            SILENT: [Silent(each.server) for each in town.soadns if isinstance(each.server, Soadns)],
            COREDNS: [town.coredns], ZOOKEEPER: [town.zookeeper], API_SERVER: [town.api],
        }  # fmt: skip
        return found[what]
