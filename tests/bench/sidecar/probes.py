"""What is measured: moves and when they have effect, processor time, memory, and what calls cost."""

from __future__ import annotations

import math
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.change import say
from tests.bench.contenders import spent
from tests.bench.sidecar.estate import PORT, Estate
from tests.scenarios.stage.dubbowire import HEADER, HESSIAN, MAGIC, REQUEST, TWO_WAY, Call, Caller, read_frame
from tests.scenarios.stage.process import Process, eventually

EVERY_S = 0.001
"""Between two calls while a change is awaited."""
LOST_S = 20.0
"""A change without effect by then is lost."""
MOST_LOST = 2
"""With more of them the others are not waited for."""
START_S = 120.0
SETTLED_S, BUSY_S = 60.0, 0.1
"""How long a process may be busy with what it was told at its start; of each second, how much is not busy any more."""
Figures = dict[str, Any]


def p(values: Sequence[float], share: float) -> float:
    """A percentile: the smallest value that so large a share does not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def times(values: Sequence[float]) -> Figures:
    """Of seconds: milliseconds; nothing of none."""
    if not values:
        return {}
    return {
        "p50_ms": round(1000 * p(values, 0.5), 1),
        "p99_ms": round(1000 * p(values, 0.99), 1),
        "max_ms": round(1000 * max(values), 1),
    }


# --------------------------------------------------------------------------- changes


@dataclass
class Moves:
    """What came of some moves."""

    effects: list[float] = field(default_factory=list)
    """Seconds from the moment before ZooKeeper was told to the first call that arrived at the other provider."""
    writes: list[float] = field(default_factory=list)
    """Of these, the part until what the sidecar (or istiod) reads was written."""
    failed: int = 0
    """Calls that nobody answered meanwhile."""
    cut: int = 0
    """Connections that ended meanwhile."""
    lost: int = 0
    calls: int = 0

    def figures(self) -> Figures:
        found: Figures = {**times(self.effects), "moves": len(self.effects), "lost": self.lost}
        if self.writes:
            rest = [effect - write for effect, write in zip(self.effects, self.writes, strict=True)]
            found |= {f"to_write_{name}": value for name, value in times(self.writes).items()}
            found |= {f"from_write_{name}": value for name, value in times(rest).items()}
        return found | {"asked": self.calls, "failed_calls": self.failed, "cut_connections": self.cut}


def moved(
    estate: Estate,
    move: Callable[[int, int], object],
    numbers: Sequence[int],
    index: int,
    *,
    pause: float,
    anew: bool = False,
    written: Callable[[int], float] | None = None,
) -> Moves:
    """Move one interface of each of these Services, one after another, while somebody calls it through the sidecar.

    ``move`` does it, without waiting. ``anew``: each call has a connection of its own, for open ones are left with
    what they had. ``written`` says at what time (Unix seconds) it was written for a Service.
    """
    found = Moves()
    for number in numbers:
        before, after = estate.pod(number), estate.pod(estate.other(number))
        line = Line(estate.address(number), estate.interface(number, index), anew=anew)
        # Its listener, endpoints and rules have to be there.
        said = eventually(line.said, within=START_S, until=before.__eq__)
        assert said == before, f"{line} is answered by {said!r}, not {before!r}"
        line.into = found
        began, wall = time.monotonic(), time.time()
        move(number, index)
        while True:
            said, now = line.said(), time.monotonic()
            if said == after:
                found.effects.append(now - began)
                if written is not None:
                    found.writes.append(written(number) - wall)
                break
            if now - began > LOST_S:
                found.lost += 1
                say(f"the move of {line} has no effect after {LOST_S:g} s: {said!r}, not {after!r}")
                break
            time.sleep(EVERY_S)
        line.close()
        if found.lost > MOST_LOST:
            break
        time.sleep(pause)
    return found


class Line:
    """Somebody who calls one interface at one address; ``into`` is where it is counted."""

    def __init__(self, address: str, interface: str, *, anew: bool = False) -> None:
        self._address, self._call, self._anew = address, Call(interface), anew
        self._caller: Caller | None = None
        self.into = Moves()

    def __str__(self) -> str:
        return f"{self._call.path} at {self._address}"

    def said(self) -> str:
        """Who answers; ``''``: nobody."""
        self.into.calls += 1
        try:
            if self._caller is None:
                self._caller = Caller(PORT, self._address)
            reply = self._caller.ask(self._call)
        except OSError:
            self.into.failed += 1
            self.into.cut += self._caller is not None
            self.close()
            return ""
        if self._anew:
            self.close()
        self.into.failed += reply.refused
        return "" if reply.refused else reply.said

    def close(self) -> None:
        if self._caller is not None:
            self._caller.__exit__(None, None, None)
            self._caller = None


# --------------------------------------------------------------------------- processes


class Spending:
    """Seconds of processor time that processes take while the context lasts."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self.seconds: dict[str, float] = {}
        self.lasted = 0.0

    def __enter__(self) -> Spending:
        self._began = time.monotonic()
        self._before = {name: sum(spent(pid)) for name, pid in self._pids.items()}
        return self

    def __exit__(self, *_: object) -> None:
        self.lasted = time.monotonic() - self._began
        self.seconds = {name: sum(spent(pid)) - self._before[name] for name, pid in self._pids.items()}

    def each_ms(self, name: str, count: int, idle: float = 0.0) -> float:
        """Of one process, for each of so many, in milliseconds; less what it takes of a core when nothing happens."""
        return round(1000 * (self.seconds[name] - idle * self.lasted) / max(1, count), 2)


def idle(seconds: float, **pids: int) -> dict[str, float]:
    """What processes take of a core while nothing happens: the least of two looks, for one may have just begun."""
    found: list[dict[str, float]] = []
    for _ in range(2):
        with Spending(**pids) as spending:
            time.sleep(seconds)
        found.append({name: taken / spending.lasted for name, taken in spending.seconds.items()})
    return {name: min(each[name] for each in found) for name in pids}


def settled(*pids: int) -> None:
    """Wait until processes have done what there was to do: none takes more than a little of a core any more.

    On a machine that does much else that may never be so; then what is measured is not worth much either.
    """

    def taken() -> float:
        with Spending(**{str(pid): pid for pid in pids}) as spending:
            time.sleep(1.0)
        return max(spending.seconds.values())

    eventually(taken, within=SETTLED_S, until=lambda seconds: seconds < BUSY_S)


def megabytes(pid: int) -> float:
    """Resident memory of one process, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return round(int(status.partition("VmRSS:")[2].split()[0]) / 1024, 1)


def starts(process: Process, at: Sequence[tuple[str, str, str]], start: Callable[[], object]) -> float:
    """Seconds from the start of a sidecar to answers to calls at some places: (address, interface, who answers)."""
    began = time.monotonic()
    start()
    for address, interface, expected in at:
        line = Line(address, interface, anew=True)
        while (said := line.said()) != expected:
            assert time.monotonic() - began < START_S, f"{line}: {said!r}\n{process.tail()}"
            time.sleep(0.005)
    return round(time.monotonic() - began, 2)


# --------------------------------------------------------------------------- calls


AT_ONCE = (1, 32)
"""Calls under way on one connection."""


def costs(address: str, pid: int, *, calls: int) -> Figures:
    """``cost`` with each of ``AT_ONCE``."""
    return {str(count): cost(address, pid, calls=calls, at_once=count) for count in AT_ONCE}


def cost(address: str, pid: int, *, calls: int, at_once: int) -> Figures:
    """What calls cost over one connection, so many under way; ``pid``: of the process between, or 0."""
    body = Call("com.example.app0000.facade.Bench01QueryService").body()
    frames = b"".join(
        HEADER.pack(MAGIC, REQUEST | TWO_WAY | HESSIAN, 0, number, len(body)) + body
        for number in range(at_once)
    )
    with socket.create_connection((address, PORT), timeout=10) as stream, Spending(it=pid or 1) as spending:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        taken = []
        for _ in range(calls // at_once):
            began = time.perf_counter()
            stream.sendall(frames)
            for _ in range(at_once):
                read_frame(stream)
            taken.append(time.perf_counter() - began)
    done = calls // at_once * at_once
    found: Figures = {"p50_us": round(1e6 * statistics.median(taken)), "p99_us": round(1e6 * p(taken, 0.99))}
    found["calls_per_s"] = round(done / sum(taken))
    if pid:
        found["cpu_us"] = round(1e6 * spending.seconds["it"] / done, 1)
    return found


def ended(process: Process) -> None:
    """End one, if it runs."""
    with suppress(AssertionError):
        process.kill()
