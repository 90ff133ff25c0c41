"""The tables of ``docs/coredns.md``, from what its tests measured.

``python -m tests.scenarios.stage.corednspage`` writes them anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.clients.page import written
from tests.scenarios.stage import beside, failures, replicas

PAGE = Path(__file__).resolve().parents[3] / "docs" / "coredns.md"
FAILURES, FORWARD, GONE = "replicas that fail", "lines of forward", "CoreDNS gone"
BEHIND = "replicas behind ClusterIPs"


def drawn(page: str, found: failures.Found, behind: replicas.Found, rows: beside.Rows) -> str:
    """The page with these figures in all its tables."""
    page = written(page, FAILURES, failures.events(found))
    page = written(page, BEHIND, replicas.table(behind))
    page = written(page, FORWARD, failures.variants(found))
    return written(page, GONE, beside.table(rows))


def main() -> int:
    """Write the page anew; 1 where the tests have not written all that it is made of."""
    found, behind, rows = failures.read(), replicas.read(), beside.read()
    if missing := [*failures.absent(found), *replicas.absent(behind), *beside.absent(rows)]:
        print(f"{PAGE.name} is left as it is: nobody wrote {'; '.join(missing)}", file=sys.stderr)
        print("That is written by: make test-scenarios", file=sys.stderr)
        return 1
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8"), found, behind, rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
