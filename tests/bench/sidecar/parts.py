"""What is measured, and what may be chosen."""

from __future__ import annotations

import argparse
from pathlib import Path

SIDECARS = ("drds", "ads", "mosn", "istio", "limits", "entries", "direct")
"""Envoy by files and by ADS, MOSN, Envoy by istiod, and what istiod carries; a ServiceEntry for each interface; calls
without a sidecar."""


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench-sidecar", description=__doc__)
    parser.add_argument("--services", type=int, nargs="+", default=[300, 3_000], help="(%(default)s)")
    parser.add_argument(
        "--interfaces", type=int, default=33, help="of each Service, 8 at least (%(default)s)"
    )
    parser.add_argument("--only", nargs="+", choices=SIDECARS, default=SIDECARS, help="parts (all)")
    parser.add_argument("--moves", type=int, default=100, help="for each sidecar (%(default)s)")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between moves (%(default)s)")
    parser.add_argument(
        "--istio-pause", type=float, default=1.1, help="the same through istiod (%(default)s)"
    )
    parser.add_argument(
        "--quiet", type=float, default=3.0, help="seconds in which nothing happens (%(default)s)"
    )
    parser.add_argument(
        "--pushes", type=int, default=10, help="of istiod, whose cost is measured (%(default)s)"
    )
    parser.add_argument(
        "--mosn-env", nargs="+", default=[], metavar="NAME=VALUE",
        help="for MOSN's environment, such as GOGC=50 (nothing)",
    )  # fmt: skip
    parser.add_argument(
        "--istiod-env", nargs="+", default=[], metavar="NAME=VALUE",
        help="for istiod's environment, such as PILOT_DEBOUNCE_AFTER=20ms (nothing)",
    )  # fmt: skip
    parser.add_argument("--calls", type=int, default=6_400, help="whose cost is measured (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/bench/sidecar.json"))
    parser.add_argument("--merge", action="store_true", help="keep what the output has of other parts")
    parser.add_argument("--publish", action="store_true", help="put the outcome into docs/performance.md too")
    return parser
