"""The network of a cluster of one machine: a wire to each pod, and the machine routes between them.

As with Calico: a pod has one address of its own, and all that it sends goes to the machine, so that what is sent to a
ClusterIP and what comes back passes the machine's rules.
"""

from __future__ import annotations

import itertools
import subprocess

from tests.scenarios.stage.places import Node, Place, Pod
from tests.scenarios.stage.process import command_of

MACHINE, OLD_WORLD = "172.18.0.2", "172.18.0.3"
"""Addresses of the machine: the cluster's own, and one where servers outside of the cluster are."""
NODE_LOCAL = "169.254.20.10"
"""The address of the machine at which its pods find NodeLocal DNSCache."""
SERVICES, PODS = "10.96.0.0/16", "10.244.0.0/16"

_SET_UP = f"""
link set lo up
address add {MACHINE}/32 dev lo
address add {OLD_WORLD}/32 dev lo
address add {NODE_LOCAL}/32 dev lo
link add services type veth peer name services0
link set services0 up
link set services up
route add {SERVICES} dev services src {MACHINE}
"""
"""What the machine itself sends to a ClusterIP needs a route before the rules see it. By ``lo`` it would never hear
that they refuse a Service without endpoints; a wire from the machine to itself does as its way out would.
"""


class Network:
    """The wires of a machine."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._numbers = itertools.count(2)
        _configure(node, _SET_UP)

    def next_address(self) -> str:
        """An address that no pod had before."""
        number = next(self._numbers)
        return f"10.244.{number // 250}.{number % 250}"

    def connect(self, pod: Pod, address: str) -> None:
        """Lay a pod's wire."""
        wire = f"pod{pod.pid}"
        _configure(
            self._node,
            f"""
link add {wire} type veth peer name eth0 netns {pod.pid}
link set {wire} up
route add {address}/32 dev {wire} src {MACHINE}
""",
        )
        _configure(
            pod,
            f"""
link set lo up
address add {address}/32 dev eth0
link set eth0 up
route add {MACHINE}/32 dev eth0 scope link
route add default via {MACHINE} dev eth0 src {address}
""",
        )


def _configure(place: Place, lines: str) -> None:
    command, env = command_of("ip")
    done = subprocess.run(
        place.command([*command, "-batch", "-"]), env=env, input=lines.strip() + "\n", text=True, capture_output=True,
        check=False, timeout=30,
    )  # fmt: skip
    assert not done.returncode, f"ip: {done.stdout}{done.stderr}"
