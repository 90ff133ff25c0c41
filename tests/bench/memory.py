"""Memory of processes over time: samples, and whether they grow."""

from __future__ import annotations

import os
import statistics
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Soadns

EVERY_S = 5.0
FORKED_S = 3.0
"""For which a sample waits until a process has no child: with a forked one (a snapshot) all its pages are shared."""


@dataclass(frozen=True)
class Sample:
    """What one process, or the journal, takes at one moment."""

    at: float
    """Seconds since the first sample."""
    rss: int
    """KiB resident."""
    pss: int
    """KiB, what is shared with others divided by their number."""


@dataclass(frozen=True)
class Growth:
    """A line through samples, by least squares. Memory in KiB."""

    first: int
    last: int
    """On the line, at both ends."""
    per_minute: float
    noise: float
    """The greatest distance of a sample from the line."""

    @property
    def flat(self) -> bool:
        """Whether the line rises, from its first end to its last, by no more than samples lie off it, or 1 %."""
        return self.last - self.first <= max(self.noise, self.first / 100)


@dataclass(frozen=True)
class Course:
    """How memory went after a warm-up."""

    whole: Growth
    half: Growth
    """The second half of it."""

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.whole.flat:
            return "flat"
        return "levels off" if self.half.flat else "GROWS"


def course(samples: list[tuple[float, int]], warm: float) -> Course:
    """Of (seconds, KiB), beginning after so many seconds."""
    looked = [(at, value) for at, value in samples if at >= warm]
    middle = (looked[0][0] + looked[-1][0]) / 2
    return Course(_growth(looked), _growth([(at, value) for at, value in looked if at >= middle]))


def _growth(samples: list[tuple[float, int]]) -> Growth:
    seconds, values = zip(*samples, strict=True)
    slope, start = statistics.linear_regression(seconds, values)
    ends = [round(start + slope * at) for at in (seconds[0], seconds[-1])]
    noise = max(abs(value - start - slope * at) for at, value in samples)
    return Growth(ends[0], ends[1], round(60 * slope, 1), round(noise, 1))


class Sampler:
    """Samples all processes of a soadns and its journal as long as the context lasts."""

    def __init__(self, soadns: Soadns) -> None:
        supervisor = soadns.process.pid
        self._processes = {
            "supervisor": supervisor, "control": soadns.child("_control"),
            "worker 0": soadns.worker(0), "worker 1": soadns.worker(1),
        }  # fmt: skip
        self._journal = _journal(supervisor)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._begun = time.monotonic()
        self.samples: dict[str, list[Sample]] = {name: [] for name in (*self._processes, "journal")}

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            at = time.monotonic() - self._begun
            for name, pid in self._processes.items():
                with suppress(OSError):
                    if name == "control":
                        eventually(lambda: not _children(pid), within=FORKED_S)  # noqa: B023 - called at once
                    self.samples[name].append(_sample(pid, at))
            held = sum(os.stat(path).st_blocks // 2 for path in self._journal)
            self.samples["journal"].append(Sample(at, held, held))
            if self._over.wait(EVERY_S):
                return


def _sample(pid: int, at: float) -> Sample:
    rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return Sample(at, int(rows["Rss"].split()[0]), int(rows["Pss"].split()[0]))


def _children(pid: int) -> bool:
    """Whether a process has any."""
    tasks = Path(f"/proc/{pid}/task")
    return any((task / "children").read_text() for task in tasks.iterdir())


def _journal(supervisor: int) -> list[str]:
    """The files of the journal, by the descriptors of the supervisor."""
    folder = f"/proc/{supervisor}/fd"
    paths = [f"{folder}/{name}" for name in os.listdir(folder)]
    found = []
    for path in paths:
        with suppress(OSError):
            if "soadns-journal" in os.readlink(path):
                found.append(path)
    assert len(found) == 2, f"the journal has two files, not {found}"
    return found
