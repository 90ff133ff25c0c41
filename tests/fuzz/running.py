"""How every fuzz target is started: so many seconds, from a seed that finds a failure again."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable


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
