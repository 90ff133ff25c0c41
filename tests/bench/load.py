"""One row: dnsperf against one server, and what the server spent on it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench.cases import Case
from tests.bench.contenders import Contender, pinned
from tests.scenarios.stage.process import command_of
from tests.scenarios.stage.soadns import ZONE

SEARCH = ("shop.svc", "svc", "nodes")
"""What the search list of a client adds before the domain that has the name."""
RATE = 20_000
"""Questions a second at most while latencies are taken."""
SHARE = 0.5
"""Of what the server answered at full speed, at most, while latencies are taken."""

WARMING_S = 8.0
"""Seconds at most for the first pass: enough for every server that caches, and only those need it."""
CONNECTING_S = 2.0
"""Seconds more over TCP: some servers take a few connections at a time, and Linux repeats the others a second later."""


@dataclass(frozen=True)
class Row:
    """One case at one server. Times of the server's processor in microseconds per query."""

    server: str
    version: str
    transport: str
    names: int
    mix: str
    concurrency: int
    qps: int
    us_user: float
    us_sys: float
    us_store: float
    """Of what is behind the server: etcd."""
    p50_ms: float
    p99_ms: float
    p999_ms: float
    latency_qps: int
    """The rate at which latencies were taken."""
    lost: int

    @property
    def us(self) -> float:
        """User and system time of the server itself."""
        return self.us_user + self.us_sys


def questions(mix: str, names: list[str]) -> str:
    """What dnsperf reads: a name and a type a line."""
    if mix == "search":
        # An unmodified client asks for both families at each domain of its list; the last one has the name.
        domains = (*(f"{domain}.{ZONE}" for domain in SEARCH), ZONE)
        lines = (f"{name}.{domain} {kind}" for name in names for domain in domains for kind in ("A", "AAAA"))
    else:
        lines = (f"{name}.{ZONE} {'AAAA' if mix == 'AAAA' else 'A'}" for name in names)
    return "\n".join(lines) + "\n"


DENIED = {"search": len(SEARCH) / (len(SEARCH) + 1)}
"""Which share of a mix has to be NXDOMAIN; all else is NOERROR."""
_RCODE = re.compile(r"(\w+) (\d+) \([\d.]+%\)")
_VERBOSE = re.compile(r"^> \w+ \S+ \S+ ([\d.]+)$", re.MULTILINE)


def measure(contender: Contender, case: Case, asked: Path, *, core: int, seconds: float, calm: float) -> Row:
    """Full speed for so many seconds, then latencies at a bounded rate for ``calm`` seconds.

    Raises AssertionError for a server that does not answer as it must.
    """
    # Once through the file, however long a row is: caches are filled.
    longer = CONNECTING_S if case.transport == "tcp" else 0.0
    warm = _dnsperf(contender, case, asked, "-n", "1", "-l", f"{WARMING_S + longer:g}", core=core)
    lost = _asked(warm, case)[2]
    before, behind = contender.spent(), contender.spent_behind()
    full = _dnsperf(contender, case, asked, "-l", f"{seconds + longer:g}", core=core)
    after, later = contender.spent(), contender.spent_behind()
    answered, took, lost_then = _asked(full, case)
    rate = max(100, int(min(RATE, SHARE * answered / took)))
    slow = _dnsperf(contender, case, asked, "-l", f"{calm + longer:g}", "-Q", str(rate), "-v", core=core)
    ranked = latencies(slow)
    assert ranked, f"{contender.name} {case}: no latency in what dnsperf says:\n{slow[-2000:]}"
    return Row(
        contender.name, contender.version, case.transport, case.names, case.mix, case.concurrency,
        qps=round(answered / took),
        us_user=round((after[0] - before[0]) / answered * 1e6, 2),
        us_sys=round((after[1] - before[1]) / answered * 1e6, 2),
        us_store=round((later - behind) / answered * 1e6, 2),
        p50_ms=at(ranked, 0.5), p99_ms=at(ranked, 0.99), p999_ms=at(ranked, 0.999),
        latency_qps=rate,
        lost=lost + lost_then + _asked(slow, case)[2],
    )  # fmt: skip


def at(ranked: list[float], share: float) -> float:
    """What so great a share of them does not exceed."""
    return round(ranked[min(len(ranked) - 1, int(len(ranked) * share))], 3)


def _dnsperf(contender: Contender, case: Case, asked: Path, *arguments: str, core: int) -> str:
    edns = ["-e"] if case.mix == "EDNS" else []
    clients = str(case.concurrency)
    told = ["-m", case.transport, "-c", clients, "-q", clients, *arguments, *edns]
    return dnsperf(contender.port, asked, *told, core=core)


def dnsperf(port: int, asked: Path, *arguments: str, core: int) -> str:
    """What dnsperf prints, that runs on one core and waits three seconds for an answer. Raises AssertionError."""
    command, env = command_of("dnsperf")
    command += ["-s", "127.0.0.1", "-p", str(port), "-d", str(asked), "-T", "1", "-t", "3", *arguments]
    with pinned(core):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, env=env)
    assert not done.returncode, f"{command}: {done.stderr}"
    return done.stdout


def latencies(text: str) -> list[float]:
    """Milliseconds of each query, sorted, from what dnsperf prints with ``-v``."""
    return sorted(1000 * float(latency) for latency in _VERBOSE.findall(text))


def figures(text: str) -> dict[str, str]:
    """The statistics that dnsperf prints at its end."""
    tail = text[text.rindex("\nStatistics:") :]
    return dict(re.findall(r"^ +([A-Z][\w ]+?)(?: \(s\))?: +([\d.]+)", tail, re.MULTILINE))


def _asked(text: str, case: Case) -> tuple[int, float, int]:
    """Queries answered, seconds, and queries lost; every answer was of the kind that the case wants."""
    tail = text[text.rindex("\nStatistics:") :]
    found = figures(text)
    answered = int(found["Queries completed"])
    codes = {
        code: int(count)
        for code, count in _RCODE.findall(tail.partition("Response codes:")[2].split("\n")[0])
    }
    denied = DENIED.get(case.mix, 0.0)
    told = f"{case}: {codes}"
    assert answered, f"{case}: nothing was answered\n{tail}"
    assert not codes.keys() - {"NOERROR", "NXDOMAIN"}, told
    assert abs(codes.get("NXDOMAIN", 0) / answered - denied) < 0.02 if denied else "NXDOMAIN" not in codes, (
        told
    )
    return answered, float(found["Run time"]), int(found["Queries lost"])
