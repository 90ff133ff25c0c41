"""``make soak``: ten minutes in which a thousand names a second change, and what callers and memory show of it.

soadns with two workers on a real ZooKeeper: 10,000 names with two providers each, one name in turn gets a third or
loses it again. Callers ask over UDP at a bounded rate and over TCP, with a connection for each question and with kept
ones. Every minute has a line; at the end a line is fitted through the memory of each process. Then the same with one
worker that has a core for itself, asked by dnsperf: what the changes of names do to answering. Writes
``build/bench/soak.json``. The exit status is 1 when something was lost. Everything runs on loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import alone, report
from tests.bench.alone import Alone
from tests.bench.change import say
from tests.bench.churn import Churn
from tests.bench.load import at
from tests.bench.memory import Course, Sample, Sampler, course
from tests.bench.registry import fill, interface_name
from tests.crowd import Crowd, Outcome
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.zookeeper import ZooKeeper
from tests.tcp_crowd import TcpCrowd, TcpOutcome

PROVIDERS = 2
KEPT = 20
"""Connections that are kept over TCP."""
ASKED = 1_000
"""Names that callers ask for."""
WARM = 2
"""Minutes that are not looked at for growth; of a shorter soak than six minutes a third."""
AIM_MS = 5.0
"""What 99.9 % of answers shall not take longer than."""


@dataclass(frozen=True)
class Minute:
    """What callers saw within one."""

    number: int
    changes_per_second: float
    """Written."""
    unwritten: int
    """Writes that ZooKeeper refused."""
    change_p50_ms: float
    """From a write to the answer that has it, of a sample."""
    change_p99_ms: float
    changes_lost: int
    """Of that sample: not answered within five seconds."""
    udp: Outcome
    single: TcpOutcome
    """Over TCP, a connection for each question."""
    kept: TcpOutcome

    @property
    def lost(self) -> int:
        """Questions and changes."""
        asked = sum(each.lost + each.bad for each in (self.udp, self.single, self.kept))
        return asked + self.changes_lost


@dataclass(frozen=True)
class Found:
    """Everything."""

    minutes: list[Minute]
    memory: dict[str, tuple[Course, Course]]
    """RSS and PSS of each process, and of the journal, after it has warmed up."""
    samples: dict[str, list[Sample]]
    alone: list[Alone]

    @property
    def lost(self) -> int:
        """Questions and changes."""
        return sum(minute.lost for minute in self.minutes) + sum(each.lost for each in self.alone)


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=10, help="of two workers; 0 for none (%(default)s)")
    parser.add_argument("--names", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=1_000, help="names that change a second (%(default)s)")
    parser.add_argument("--rate", type=int, default=2_000, help="questions a second over UDP (%(default)s)")
    parser.add_argument(
        "--tcp-rate", type=int, default=100, help="the same over TCP, of each kind of callers (%(default)s)"
    )
    parser.add_argument("--alone", type=int, default=60, help="seconds of dnsperf (%(default)s)")
    parser.add_argument(
        "--alone-rate", type=int, default=5_000, help="questions a second of dnsperf (%(default)s)"
    )
    parser.add_argument("--output", type=Path, default=Path("build/bench/soak.json"))
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="soadns-soak-") as folder:
        zookeeper = ZooKeeper(Path(folder) / "zookeeper")
        try:
            zookeeper.start()
            found = run(zookeeper, Path(folder), options)
        finally:
            zookeeper.stop()
    told = {key: value for key, value in vars(options).items() if key != "output"}
    written = {
        "machine": report.machine(),
        "load_before": load,
        "options": told,
        **asdict(found),
        "lost": found.lost,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    print("\n" + "\n".join(verdict(found)))
    print(f"\nwritten to {options.output}")
    return int(bool(found.lost))


def run(zookeeper: ZooKeeper, folder: Path, options: argparse.Namespace) -> Found:
    """All of it, a line a minute."""
    say(f"writing {options.names} names with {PROVIDERS} providers each")
    fill(zookeeper, "/dubbo", options.names, PROVIDERS)
    minutes, samples = [], {}
    if options.minutes:
        with _running(zookeeper, folder) as soadns, Sampler(soadns) as sampler:
            print(HEAD)
            for minute in soak(zookeeper, soadns, options):
                minutes.append(minute)
                print(line(minute, sampler), flush=True)
        samples = sampler.samples
    warm = 60 * (WARM if options.minutes >= 3 * WARM else options.minutes / 3)
    memory = {
        name: (
            course([(each.at, each.rss) for each in held], warm),
            course([(each.at, each.pss) for each in held], warm),
        )
        for name, held in samples.items()
    }
    say(f"one worker on a core of its own, dnsperf for three times {options.alone} s")
    return Found(minutes, memory, samples, list(alone.measure(zookeeper, folder, options)))


@contextmanager
def _running(zookeeper: ZooKeeper, folder: Path) -> Iterator[Soadns]:
    """A soadns with two workers, ready."""
    soadns = Soadns(folder / "soadns", {"zookeeper": [{"name": "main", "hosts": zookeeper.hosts}]})
    soadns.write_config(nameserver=soadns.settings["nameserver"] | {"workers": 2})
    try:
        yield soadns.start()
    finally:
        soadns.stop()


def soak(zookeeper: ZooKeeper, soadns: Soadns, options: argparse.Namespace) -> Iterator[Minute]:
    """Names change and callers ask, minute by minute."""
    step = max(1, options.names // ASKED)
    names = [f"{interface_name(number)}.{ZONE}" for number in range(0, options.names, step)]
    churn = Churn(zookeeper.hosts, "/dubbo", port=soadns.port, interfaces=options.names, rate=options.changes)
    with churn:
        begun = time.monotonic()
        for number in range(options.minutes):
            before, began = (churn.done, churn.failed, len(churn.times), churn.lost), time.monotonic()
            udp = Crowd(soadns.port, *names, rate=options.rate, patience=2.0)
            single = TcpCrowd(soadns.port, *names, rate=options.tcp_rate)
            kept = TcpCrowd(soadns.port, *names, rate=options.tcp_rate, kept=KEPT)
            with udp, single, kept:
                time.sleep(max(1.0, begun + 60 * (number + 1) - time.monotonic()))
            times = sorted(churn.times[before[2] :]) or [0.0]
            yield Minute(
                number + 1,
                round((churn.done - before[0]) / (time.monotonic() - began), 1),
                churn.failed - before[1],
                round(1000 * at(times, 0.5), 1), round(1000 * at(times, 0.99), 1), churn.lost - before[3],
                udp.outcome, single.outcome, kept.outcome,
            )  # fmt: skip


HEAD = (
    "          names  ms to answer               ms over UDP   ms over TCP  MiB of\n"
    "minute changed/s   p50      p99   p50   p99  p99.9  max   p99.9   max   control worker      superv. journal  lost"
)


def line(minute: Minute, sampler: Sampler) -> str:
    """One minute; memory as it is now."""
    udp, tcp = minute.udp, (minute.single, minute.kept)
    held = {name: samples[-1].rss / 1024 for name, samples in sampler.samples.items()}
    return (
        f"{minute.number:6}{minute.changes_per_second:10.0f}{minute.change_p50_ms:6.0f}{minute.change_p99_ms:9.0f}"
        f"{udp.median:6.2f}{udp.p99:6.2f}{udp.p999:7.2f}{udp.slowest:6.1f}"
        f"{max(each.p999 for each in tcp):8.2f}{max(each.slowest for each in tcp):6.1f}"
        f"{held['control']:10.1f}{held['worker 0']:7.1f} {held['worker 1']:5.1f}{held['supervisor']:9.1f}"
        f"{held['journal']:9.1f}{minute.lost:6}"
    )


def verdict(found: Found) -> Iterator[str]:
    """What it comes to."""
    if found.memory:
        yield "memory in KiB, on a line through the samples after the warm-up; noise is how far one lies off it at most"
        if len(found.minutes) < 3 * WARM:
            yield "  (too short to tell a warm-up from growth)"
    for name, (resident, share) in found.memory.items():
        fit, half = resident.whole, resident.half
        yield (
            f"  {name:11} RSS {fit.first:7} to {fit.last:7}, {fit.per_minute:+8.1f} a minute, noise {fit.noise:6.0f}; "
            f"second half {half.per_minute:+8.1f} a minute: {resident.verdict}"
        )
        if name != "journal":
            fit = share.whole
            yield (
                f"  {'':11} PSS {fit.first:7} to {fit.last:7}, {fit.per_minute:+8.1f} a minute, noise {fit.noise:6.0f}"
            )
    yield "one worker on a core of its own, asked by dnsperf"
    for each in found.alone:
        aim = "met" if each.p999_ms <= AIM_MS else "MISSED"
        yield (
            f"  {each.dnsperf:18}{each.changes_per_second:5} changes/s {each.qps:6} q/s  p50 {each.p50_ms:.2f}  p99 "
            f"{each.p99_ms:.2f}  p99.9 {each.p999_ms:.2f}  max {each.max_ms:.2f} ms  lost {each.lost}; by the worker's "
            f"own metric p99.9 < {each.worker_p999_ms:g} ms: p99.9 of at most {AIM_MS:g} ms {aim}"
        )
    if found.minutes:
        slowest = max(minute.udp.p999 for minute in found.minutes)
        yield f"two workers beside everything else: p99.9 of the worst minute {slowest:.2f} ms"
    asked = sum(each.asked for minute in found.minutes for each in (minute.udp, minute.single, minute.kept))
    asked += sum(each.asked for each in found.alone)
    yield f"lost {found.lost} of {asked} questions and of the changes looked out for"


if __name__ == "__main__":
    sys.exit(main())
