"""``make bench-dns``: soadns beside Knot, NSD, dnsmasq and CoreDNS, on the same zone, question for question.

Each server has one core, dnsperf the other. Base: A records over UDP at 10,000 names, with 10 to 500 questions under
way; then one factor is varied at a time: the size of the zone, AAAA (of which there is none), what a search list asks
for, EDNS, TCP. ``--full`` takes every combination. The servers of a row are asked one after another, so that whatever
else the machine does meets them alike. Writes ``build/bench/dns.json``, a table, and plots.

A server that does not start, or does not answer as it must, fails the benchmark.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.bench import contenders, plots, report
from tests.bench.cases import BASE, case_text, cases
from tests.bench.load import Row, measure, questions

SERVERS, GENERATOR = 0, 1
"""Cores."""


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="every combination: an hour and a half")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each row at full speed (%(default)s)")
    parser.add_argument("--calm", type=float, default=2.0, help="of each row for latencies (%(default)s)")
    parser.add_argument("--servers", nargs="+", choices=contenders.NAMES, default=contenders.NAMES)
    parser.add_argument("--only", metavar="TEXT", default="", help="cases that contain it, as in 'tcp A'")
    parser.add_argument("--output", type=Path, default=Path("build/bench/dns.json"))
    parser.add_argument("--publish", action="store_true", help="put the outcome into docs/performance.md too")
    options = parser.parse_args()
    cores = os.sched_getaffinity(0)
    if not {SERVERS, GENERATOR} <= cores:
        parser.error("it takes two cores: one for the server, one for dnsperf")
    began = time.monotonic()
    rows = []
    for row in run(options):
        rows.append(row)
        print(report.line(row), flush=True)
    found = {
        "machine": report.machine(),
        "each": f"{options.seconds:g} s at full speed, {options.calm:g} s for latencies",
        "seconds": round(time.monotonic() - began),
        "rows": [asdict(row) for row in rows],
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("\n" + "\n".join(report.table(rows)))
    print("\n" + "\n".join(report.verdicts(rows)))
    pictures = plots.draw(rows, options.output.parent)
    if options.publish:
        report.publish(rows, found["machine"], found["each"])
        plots.draw(rows, report.PICTURES)
    print(f"\nwritten to {options.output}, {', '.join(map(str, pictures))}, in {found['seconds']} s")
    return int(any(row.lost for row in rows if row.server == "soadns"))


def run(options: argparse.Namespace) -> Iterator[Row]:
    """All rows, one size of the zone after another."""
    wanted = [case for case in cases(full=options.full) if options.only in case_text(case)]
    for names in sorted({case.names for case in wanted}, key=lambda count: (count != BASE.names, count)):
        print(
            f"bench: starting {len(options.servers)} servers with {names} names", file=sys.stderr, flush=True
        )
        with (
            tempfile.TemporaryDirectory(prefix="soadns-bench-") as folder,
            contenders.contenders(Path(folder), names, options.servers, SERVERS) as (servers, held),
        ):
            asked = Path(folder) / "asked"
            for case in (case for case in wanted if case.names == names):
                asked.write_text(questions(case.mix, held))
                for server in servers:
                    yield measure(
                        server, case, asked, core=GENERATOR, seconds=options.seconds, calm=options.calm
                    )


if __name__ == "__main__":
    sys.exit(main())
