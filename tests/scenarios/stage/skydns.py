"""An etcd that CoreDNS answers from, with the Corefile of ``docs/scaling.md``; and keys in it as others write them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.scenarios.stage.kubernetes import Etcd
from tests.scenarios.stage.nameservers import CoreDns
from tests.scenarios.stage.pages import block

PREFIX = "/skydns/"
ZONE_KEYS = "/skydns/local/cluster/rpc/"


def keys_below(etcd: Etcd, prefix: str = ZONE_KEYS, *, token: str = "") -> dict[str, str]:
    """All keys that begin so, with their values."""
    asked = {"key": _packed(prefix), "range_end": _packed(prefix[:-1] + "0")}
    answer = etcd.post("/v3/kv/range", asked, token=token)
    return {_unpacked(each["key"]): _unpacked(each.get("value", "")) for each in answer.get("kvs", [])}


def addresses(etcd: Etcd, *, token: str = "") -> set[str]:
    """All addresses that are published, with the group (the name) that they are of."""
    found = set()
    for value in keys_below(etcd, token=token).values():
        said = json.loads(value)
        if "text" not in said and said.get("port") == -1 and said["host"].lower() != said["group"]:
            found.add(f"{said['group']} {said['host']}")
    return found


def token_of(etcd: Etcd, name: str, password: str) -> str:
    """What a user asks with where users are known."""
    return str(etcd.post("/v3/auth/authenticate", {"name": name, "password": password})["token"])


def put(etcd: Etcd, keys: Mapping[str, str | dict[str, Any]]) -> None:
    """Write keys."""
    etcd.put({key: value if isinstance(value, str) else json.dumps(value) for key, value in keys.items()})


def with_users(etcd: Etcd, **passwords: str) -> None:
    """Switch authentication on; ``root`` may do all, others what the page says that soadns needs."""
    etcd.post("/v3/auth/role/add", {"name": "soadns"})
    permission = {"permType": "READWRITE", "key": _packed(PREFIX), "range_end": _packed(PREFIX[:-1] + "0")}
    etcd.post("/v3/auth/role/grant", {"name": "soadns", "perm": permission})
    for name, password in passwords.items():
        etcd.post("/v3/auth/user/add", {"name": name, "password": password})
        etcd.post("/v3/auth/user/grant", {"user": name, "role": "root" if name == "root" else "soadns"})
    etcd.post("/v3/auth/enable", {})


class CoreDnsOfEtcd(CoreDns):
    """CoreDNS's plugin ``etcd``; ``cached`` is with the cache that the page has in front of it.

    ``credentials`` is a line of the plugin's block, for an etcd that knows users.
    """

    def __init__(
        self, folder: Path, zone: str, etcd: Etcd, *, cached: bool = False, credentials: str = ""
    ) -> None:
        shown = block("scaling.md", "Corefile etcd")
        for old, new in {
            "rpc.cluster.local:53 {\n": "rpc.cluster.local:{port} {\n    bind 127.0.0.1\n",
            "http://10.96.0.61:2379 http://10.96.0.62:2379": f"{etcd.url}\n        {credentials}",
        }.items():
            assert old in shown
            shown = shown.replace(old, new)
        if not cached:
            before, cut, after = shown.partition("    cache 30 {\n")
            assert cut
            shown = before + after.partition("    }\n")[2]
        super().__init__(folder, zone, shown)


def _packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _unpacked(text: str) -> str:
    return base64.b64decode(text).decode()
