"""The Corefiles of ``deploy/coredns`` as a test can start them: with its addresses and ports, and with stand-ins.

Nothing else of them is changed; all server blocks ``bind`` to the test's own address. The ``kubernetes`` plugin needs a
cluster, and ``/etc/resolv.conf`` the world: templates answer instead, ``kubernetes.default.svc.cluster.local`` with
10.96.0.1 and the world with 192.0.2.80.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SINCE = {"failfast_all_unhealthy_upstreams": "1.12.1"}
"""By their first word: lines of the files that an older CoreDNS does not know, and that are left out for it."""
FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "coredns"
OUTSIDE = "rpc.example.internal"
"""The zone of ``outside.Corefile``."""

_SOA = "cluster.local. 30 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 30"
KUBERNETES = rf"""template IN A cluster.local {{
        match ^kubernetes\.default\.svc\.cluster\.local\.$
        answer "{{{{ .Name }}}} 30 IN A 10.96.0.1"
        fallthrough
    }}
    template ANY ANY cluster.local {{
        match ^kubernetes\.default\.svc\.cluster\.local\.$
        authority "{_SOA}"
        fallthrough
    }}
    template ANY ANY cluster.local {{
        match (^|\.)(svc|[^.]{{4,}})\.cluster\.local\.$
        rcode NXDOMAIN
        authority "{_SOA}"
        fallthrough rpc.cluster.local
    }}"""
"""One Service; of other names those of Services and those that a search list makes are denied."""

CLUSTER = f"cluster.local:{{port}} {{\n    bind 127.0.0.1\n    {KUBERNETES}\n}}\n"
"""The server block that a CoreDNS has already, beside the one of a stub zone."""


@dataclass(frozen=True)
class Around:
    """Who is around CoreDNS, as ``address:port``."""

    first: str
    second: str
    """The replicas of soadns."""
    first_tls: str = ""
    second_tls: str = ""
    authority: Path = Path()
    """Who signed their certificate."""
    cluster_dns: str = ""
    """The CoreDNS behind NodeLocal DNSCache."""
    world: str = ""


def changed(name: str, **changes: str) -> str:
    """A file of ``deploy/coredns`` with changes of its lines, by first word.

    ``changed("stub", cache="")`` has no cache: with a line goes the block that it opens.
    """
    text = (FOLDER / f"{name}.Corefile").read_text(encoding="utf-8")
    for word, line in changes.items():
        text, count = re.subn(rf"^( *){word}\b(?:[^\n{{]*\{{[^}}]*\}}|.*)$", rf"\1{line}", text, flags=re.M)
        assert count, f"{name}.Corefile says nothing of {word}"
    return text


def corefile(name: str, around: Around, **changes: str) -> str:
    """A file of ``deploy/coredns`` there, ``changed``, with ``{port}`` for its own port."""
    text = re.sub(r"^ *bind .*\n", "", changed(name, **changes), flags=re.M)
    text = re.sub(r"\bkubernetes cluster\.local [^{]*\{[^}]*\}", lambda _: KUBERNETES, text)
    for there, here in {
        ":53 {": ":{port} {\n    bind 127.0.0.1",
        "10.96.0.53:853": around.first_tls,
        "10.96.0.54:853": around.second_tls,
        "10.96.0.52": around.first,
        "10.96.0.53": around.first,
        "10.96.0.54": around.second,
        "/etc/soadns/ca.crt": str(around.authority),
        "__PILLAR__CLUSTER__DNS__": around.cluster_dns,
        "/etc/resolv.conf": around.world,
    }.items():
        text = text.replace(there, here)
    return text


def newer_than(name: str, version: tuple[int, ...]) -> dict[str, str]:
    """The changes of a file by which it does without what an older CoreDNS does not know."""
    text = (FOLDER / f"{name}.Corefile").read_text(encoding="utf-8")
    return {
        word: ""
        for word, since in SINCE.items()
        if word in text and tuple(map(int, since.split("."))) > version
    }


def world(port: int) -> str:
    """A server block that answers for all the world."""
    answer = '"{{ .Name }} 30 IN A 192.0.2.80"'
    return f".:{port} {{\n    bind 127.0.0.1\n    template IN A . {{\n        answer {answer}\n    }}\n}}\n"
