"""How every fuzz target runs: for so many seconds, from a seed that finds a failure again."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Outcome:
    """What a run found: inputs by what became of them, and the one that took longest."""

    tried: int = 0
    became: Counter[str] = field(default_factory=Counter)
    slowest: str = ""
    slowest_s: float = 0.0

    def __str__(self) -> str:
        became = ", ".join(f"{what} {count}" for what, count in self.became.most_common())
        return (
            f"{self.tried} tried: {became}\nslowest: {self.slowest_s * 1e3:.3f} ms for {self.slowest[:120]}"
        )


def run_for(
    seconds: float,
    seed: int,
    inputs: Iterable[T],
    attempt: Callable[[T], tuple[Iterable[str], float]],
    show: Callable[[T], str],
) -> Outcome:
    """Try inputs for some time: ``attempt`` says what became of one, and the seconds it took.

    Raises AssertionError with the seed and the input that fails, as ``show`` has it.
    """
    outcome = Outcome()
    until = time.monotonic() + seconds
    for each in inputs:
        if time.monotonic() >= until:
            break
        try:
            became, taken = attempt(each)
        except Exception as error:
            raise AssertionError(f"seed {seed}, input {outcome.tried}, {show(each)}: {error!r}") from error
        outcome.became.update(became)
        outcome.tried += 1
        if taken > outcome.slowest_s:
            outcome.slowest, outcome.slowest_s = show(each), taken
    return outcome


def main(description: str | None, run: Callable[[float, int], object]) -> int:
    """Read the command line and run a target, which raises AssertionError; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None, help="a number that is printed when none is given")
    arguments = parser.parse_args()
    seed = random.randrange(2**32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    try:
        print(run(arguments.seconds, seed))
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
