"""Faults one after another, while consumers call all the time: what each of them costs each consumer.

Any number of riders are on one timeline. Each phase begins with what happens and lasts some seconds; ``Costs`` says
what became of every rider's calls in every phase.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tests.scenarios.stage.clients import Tally
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.riders import Rider
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.town import Behind, Server, Silent, Town, at_once

CALM, RESTARTED, AFTERWARDS, KILLED = (
    "calm", "pods restarted one by one", "calm after it", "the pod of most calls killed",
)  # fmt: skip
SOADNS, SILENT, COREDNS = "soadns", "soadns silent", "CoreDNS"
ZOOKEEPER, API_SERVER = "ZooKeeper", "API server"
LOSSES = (SOADNS, SILENT, API_SERVER, COREDNS, ZOOKEEPER)
"""All of each is killed, but for what is silent: that is stopped, and its pods stay ready. ZooKeeper comes last, for
what its loss does to registries may stay."""
DOWN_S = {SOADNS: 18.0, SILENT: 14.0, COREDNS: 18.0, ZOOKEEPER: 12.0, API_SERVER: 5.0}
"""soadns and CoreDNS are away for longer than SOFARPC (10 s) and a cache of 5 s go without them, ZooKeeper for longer
than its sessions last (10 s)."""
AFTER_S = {SOADNS: 6.0, SILENT: 4.0, COREDNS: 22.0, ZOOKEEPER: 14.0, API_SERVER: 5.0}
"""How long is looked on after each of them: SOFARPC looks a name up every ten seconds, and ZooKeeper ends the
sessions of those that did not return ten seconds after its own return."""
KILLED_S = 14.0
EVERY_MS, THREADS = 100, 2
"""Each rider begins twenty calls a second."""
Key = tuple[str, str]
"""Of a rider: its client and the way in which it calls."""


def lost(what: str) -> str:
    """The phase in which it is down."""
    return f"{what}: gone"


def back(what: str) -> str:
    """The phase that begins with its return."""
    return f"{what}: back"


@dataclass(frozen=True)
class Costs:
    """By phase, and there by rider."""

    phases: Mapping[str, Mapping[Key, Tally]]

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
            f"{'phase':<26}{'client':<28}{'called':<21}{'calls':>6}{'failed':>7}{'gap':>9}  answers, errors"
        ]
        for phase, tallies in self.phases.items():
            for (client, way), tally in tallies.items():
                errors = "; ".join(f"{count}x {text[:90]}" for text, count in tally.errors.items())
                by = "/".join(str(count) for _, count in sorted(tally.by.items()))
                gap = f"{tally.longest_gap_ms:>6.0f} ms"
                lines.append(
                    f"{phase:<26}{client:<28}{way:<21}{tally.calls:>6}{tally.failed:>7}{gap}  {by}  {errors}".rstrip()
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

    def run(self, riders: Sequence[Rider]) -> Costs:
        """Let all of them call, and see to the end."""
        for rider in riders:
            first = eventually(partial(rider.caller.tries, rider.interface), within=30.0, until=_succeeds)
            assert first["ok"], f"{rider.key}: {first}"  # connected before it begins
            rider.caller.steady(rider.interface, every_ms=EVERY_MS, threads=THREADS, name=rider.interface)
        phases: dict[str, dict[Key, Tally]] = {}
        time.sleep(1.0)
        self._look(riders)
        for phase, happens, seconds in self._phases():
            began = time.monotonic()
            happens()
            time.sleep(max(0.0, began + seconds - time.monotonic()))
            phases[phase] = self._look(riders)
        return Costs(phases)

    def _look(self, riders: Sequence[Rider]) -> dict[Key, Tally]:
        return {rider.key: rider.caller.tally(rider.interface) for rider in riders}

    def _phases(self) -> Iterator[tuple[str, Callable[[], None], float]]:
        yield CALM, lambda: None, 4.0
        yield RESTARTED, self._restart_pods, 0.0
        yield AFTERWARDS, lambda: None, 4.0
        yield KILLED, partial(at_once, Behind.kill, self._waves[0]), KILLED_S
        for what in self._losses:
            servers = self._servers(what)
            yield lost(what), partial(self._town.kill, *servers), DOWN_S[what]
            yield back(what), partial(self._return, *servers, for_s=AFTER_S[what]), 0.0

    def _restart_pods(self) -> None:
        for wave in self._waves:
            at_once(Behind.stop, wave)
            at_once(Behind.start, wave)
            time.sleep(2.0)

    def _return(self, *servers: Server, for_s: float) -> None:
        self._town.restart(*servers)
        time.sleep(for_s)

    def _servers(self, what: str) -> list[Server]:
        town = self._town
        found: dict[str, list[Server]] = {
            SOADNS: [*town.soadns],
            SILENT: [Silent(each.server) for each in town.soadns if isinstance(each.server, Soadns)],
            COREDNS: [town.coredns], ZOOKEEPER: [town.zookeeper], API_SERVER: [town.api],
        }  # fmt: skip
        return found[what]


def _succeeds(answer: Mapping[str, object]) -> bool:
    return bool(answer["ok"])
