"""``make bench-sidecar``: what it takes, and how long, until a sidecar sends calls where an interface is now.

Real ZooKeeper, soadns, Envoy, MOSN, kube-apiserver and istiod, in namespaces of their own; a Dubbo client that calls
through the sidecar all the time, and a provider that says at which pod's address a call arrived. 300 Services with 33
interfaces each, and 3,000. Writes ``build/bench/sidecar.json``.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile

from tests.bench.sidecar import ground, parts


def main() -> int:
    """Run it; returns the exit status."""
    parts.arguments().parse_args()
    if os.geteuid() != 0:
        print("bench-sidecar makes network namespaces, which takes root", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="soadns-bench-") as folder, ground.watchers():
        return ground.enclosed("tests.bench.sidecar.inside", folder, *sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
