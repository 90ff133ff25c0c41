"""Annotations nobody should write: each is read, or is None with a sentence that says why; nothing is raised.

``python -m tests.fuzz.annotations --seconds 30 --seed 7`` mutates good and bad annotations. A failure prints them; the
same seed finds them again.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator

from soadns import naming
from soadns.model import InterfaceId
from soadns.sources.annotations import (
    APPLICATION,
    BALANCING,
    INTERFACES,
    MAX_TEXT,
    MODES,
    MOVES,
    TRAFFIC,
    parse,
    parse_interfaces,
)
from tests import captured
from tests.fuzz.running import Outcome, main, run_for

LONGEST_S = 1.5
"""Processor time that the annotations of one Service may take, with the 256 KiB that Kubernetes allows."""
KEYS = (
    INTERFACES, APPLICATION, TRAFFIC, BALANCING, MOVES, "soadns.io/interface", "soadns.io/", "app",
    "soadns.io/\u652f",
)  # fmt: skip
PIECES = (
    ",", ",,", " ", "*", "/", ":", "=", ".", "-", "--", "--v-", "$", "%", "\n", "\0", "\u652f", "\u200b", "\udcff",
    "mesh", "meshh", "request", "connection", "inline", "failing", "never",
    "registry", "off", "com.x.*=mesh", "com.x.A", "g/com.x.A:1.0.0", "com.x.A:0.0.0",
    "a" * 64, "a." * 130,
    "[", "[!", "ns1",
)  # fmt: skip


def examine(given: dict[str, str]) -> list[str]:
    """What became of each annotation. Raises AssertionError where that breaks a promise."""
    parsed = parse(given)
    assert parsed == parse(dict(reversed(given.items()))), "their order says nothing"
    became = []
    for key, value in (
        (APPLICATION, parsed.application),
        (INTERFACES, parsed.declaration),
        (TRAFFIC, parsed.traffic),
        (BALANCING, parsed.balancing),
        (MOVES, parsed.moves),
    ):
        told = [problem for problem in parsed.problems if problem.startswith(f"{key}: ")]
        assert len(told) == (value is None), "None and one sentence, or a value and none"
        became.append(f"{key.partition('/')[2]} {'malformed' if value is None else 'read'}")
    assert all(0 < len(problem) <= 600 for problem in parsed.problems)
    if parsed.application is not None:
        assert parsed.application == parsed.application.strip()
    if parsed.declaration is not None:
        found = parsed.declaration.interfaces
        assert len(set(found)) == len(found)
        for interface in found:
            assert naming.problem(InterfaceId(interface.name), "") is None
        spelled = ",".join(map(str, found))
        assert len(spelled) > MAX_TEXT or parse_interfaces(spelled).interfaces == found
    for rule in parsed.traffic or ():
        assert rule.pattern
        assert rule.mode in MODES
    return became


def seeds() -> list[dict[str, str]]:
    """Good annotations, and ones as long as they get."""
    names = sorted({child.replace("%24", "$") for _, child, _, _ in captured.leaves()})
    found = [
        {INTERFACES: ", ".join(names)},
        {INTERFACES: "blue/com.x.A:1.0.0,com.x.B", APPLICATION: "user"},
        {INTERFACES: "*", APPLICATION: "user", TRAFFIC: "com.x.*=registry,*=mesh"},
        {TRAFFIC: "off", BALANCING: "request", MOVES: "inline"},
        {},
    ]
    for filling in (",", "a,", "*,", "a/", "a:", "a.", "a=mesh,", "=", "mesh,"):
        found += [{key: filling * (MAX_TEXT // len(filling))} for key in KEYS[:3]]
    found.append({INTERFACES: ",".join(f"com.x.S{i}" for i in range(18_000))})
    return found


def services(rng: random.Random) -> Iterator[dict[str, str]]:
    """Annotations without end: first those that are known, then mutants."""
    known = seeds()
    yield from known
    while True:
        given = dict(rng.choice(known[:5] if rng.random() < 0.98 else known))
        for _ in range(rng.choice((1, 1, 2, 3, 6))):
            key = rng.choice(KEYS)
            text = given.get(key, "")
            at = rng.randrange(len(text) + 1)
            end = at + rng.choice((0, 0, 1, 2, 10))
            given[key] = text[:at] + rng.choice((*PIECES, chr(rng.randrange(0x110000)), "")) + text[end:]
        yield given


def attempt(given: dict[str, str]) -> tuple[list[str], float]:
    """What became of each annotation, and the processor time it took."""
    before = time.process_time()
    became = examine(given)
    taken = time.process_time() - before
    assert taken < LONGEST_S, f"it took {taken:.3f} s"
    return became, taken


def show(given: dict[str, str]) -> str:
    """Annotations as they are found again."""
    return repr({key: text[:2000] for key, text in given.items()})


def run(seconds: float, seed: int) -> Outcome:
    """Try annotations for some time. Raises AssertionError with those that fail."""
    return run_for(seconds, seed, services(random.Random(seed)), attempt, show)


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
