"""A million packets nobody should send: each gets a reply that is right in form, or silence where that is right.

``make bench-fuzz``, or ``python -m tests.bench.fuzz --packets 50000``. What ``tests.fuzz.packets`` tries for seconds is
tried here by number, on every core, from seeds that find a failure again; ``build/bench/fuzz.json`` has the outcome.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.fuzz import packets


def main() -> int:
    """Run it and write what came of it; exit status 1 when a packet got a bad reply."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--output", type=Path, default=Path("build/bench/fuzz.json"))
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"{options.packets} packets, seeds from {options.seed}, in {cores} processes", flush=True)
    began = time.monotonic()
    shares = [options.packets // cores + (core < options.packets % cores) for core in range(cores)]
    with ProcessPoolExecutor(cores) as pool:
        seeds = range(options.seed, options.seed + cores)
        try:
            outcomes = list(pool.map(packets.run, [math.inf] * cores, seeds, shares))
        except AssertionError as error:
            print(error, file=sys.stderr)
            return 1
    slowest = max(outcomes, key=lambda outcome: outcome.slowest_s)
    found = {
        "packets": sum(outcome.tried for outcome in outcomes),
        "seeds": list(seeds),
        "replies": dict(sum((outcome.became for outcome in outcomes), Counter()).most_common()),
        "slowest_us": round(slowest.slowest_s * 1e6, 1),
        "slowest_packet": slowest.slowest,
        "seconds": round(time.monotonic() - began, 1),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1) + "\n")
    replies = ", ".join(f"{code} {count}" for code, count in found["replies"].items())
    print(f"{found['packets']} packets in {found['seconds']} s: {replies}")
    print(f"the slowest took {found['slowest_us']} us; {options.output} has it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
