"""Faults one after another, while consumers call all the time: what each of them costs each consumer.

Any number of consumers ride on one timeline. Each phase begins with what happens and lasts some seconds; ``Costs`` says
what became of every consumer's calls in every phase.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tests.scenarios.stage.clients import Caller, Tally
from tests.scenarios.stage.town import Behind, Server, Town

CALM, RESTARTED = "calm", "provider restarted"
SOADNS, COREDNS, ZOOKEEPER, API_SERVER = "soadns", "CoreDNS", "ZooKeeper", "API server"
LOSSES = (SOADNS, COREDNS, ZOOKEEPER, API_SERVER)
DOWN_S = {SOADNS: 8.0, COREDNS: 4.0, ZOOKEEPER: 5.0, API_SERVER: 4.0}
"""soadns is away for longer than CoreDNS remembers what it said; ZooKeeper for less than its sessions last."""
AFTER_S = 3.0
"""How long is looked on after each of them."""


def lost(what: str) -> str:
    """The phase in which it is down."""
    return f"{what} killed"


def back(what: str) -> str:
    """The phase that begins with its return."""
    return f"{what} back"


@dataclass(frozen=True)
class Costs:
    """By phase, and there by consumer."""

    phases: Mapping[str, Mapping[str, Tally]]

    def failed(self, consumer: str, *phases: str) -> int:
        """Failed calls of a consumer in these phases (in all of them when none is named)."""
        return sum(self.phases[phase][consumer].failed for phase in phases or self.phases)

    def calls(self, consumer: str, *phases: str) -> int:
        """Calls of a consumer in these phases."""
        return sum(self.phases[phase][consumer].calls for phase in phases or self.phases)

    def __str__(self) -> str:
        lines = [f"{'phase':<20}{'consumer':<28}{'calls':>7}{'failed':>8}{'slowest':>9}{'gap':>8}  errors"]
        for phase, tallies in self.phases.items():
            for name, tally in tallies.items():
                errors = "; ".join(f"{count}x {text}" for text, count in tally.errors.items())
                times = f"{tally.slowest_ms:>6.0f} ms{tally.longest_gap_ms:>5.0f} ms"
                lines.append(
                    f"{phase:<20}{name:<28}{tally.calls:>7}{tally.failed:>8}{times}  {errors}".rstrip()
                )
        return "\n".join(lines)


class Timeline:
    """A sequence of faults in a town."""

    def __init__(self, town: Town, *pods: Behind, losses: Sequence[str] = LOSSES) -> None:
        """``pods`` are restarted one after another; ``losses`` are killed, each alone, and come back."""
        self._town = town
        self._pods = pods
        self._losses = losses

    def run(self, riders: Mapping[str, tuple[Caller, str]], *, every_ms: int = 20, threads: int = 2) -> Costs:
        """Let consumers, each by a name for the table, call an interface that they refer to, and see to the end."""
        for consumer, interface in riders.values():
            consumer.call(interface)  # connected before it begins
            consumer.steady(interface, every_ms=every_ms, threads=threads)
        phases: dict[str, dict[str, Tally]] = {}
        for phase, happens, seconds in self._phases():
            began = time.monotonic()
            happens()
            time.sleep(max(0.0, began + seconds - time.monotonic()))
            phases[phase] = {name: consumer.tally() for name, (consumer, _) in riders.items()}
        return Costs(phases)

    def _phases(self) -> Iterator[tuple[str, Callable[[], None], float]]:
        yield CALM, lambda: None, 2.0
        if self._pods:
            yield RESTARTED, self._restart_pods, AFTER_S
        for what in self._losses:
            servers = self._servers(what)
            yield lost(what), partial(self._town.kill, *servers), DOWN_S[what]
            yield back(what), partial(self._return, *servers), AFTER_S

    def _restart_pods(self) -> None:
        for pod in self._pods:
            pod.stop()
            pod.start()
            time.sleep(1.0)

    def _return(self, *servers: Server) -> None:
        self._town.restart(*servers)
        time.sleep(AFTER_S)

    def _servers(self, what: str) -> list[Server]:
        town = self._town
        found: dict[str, list[Server]] = {
            SOADNS: [*town.soadns], COREDNS: [town.coredns], ZOOKEEPER: [town.zookeeper], API_SERVER: [town.api],
        }  # fmt: skip
        return found[what]
