"""Shared moves as ConfigMaps: their names, labels and content. Pure.

Each holds the facts of some Services as JSON under one key, so that people can read them and a backup is a
``kubectl get``. What can not be understood whole is not used at all: half of the moves would send requests to the
wrong Service.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from soadns.mesh.moveledger import SHARDS, Entry, Fact, fact_of
from soadns.model import InterfaceId, ObjectRef, ServedPort
from soadns.numerals import whole_number
from soadns.routemodel import Move

PREFIX = "soadns-moves-"
LABELS = {"app.kubernetes.io/managed-by": "soadns", "soadns.io/holds": "moves"}
SELECTOR = "soadns.io/holds=moves"
"""By which they are found: whoever comes to manage them (``managed-by``) writes his own name into the other one."""
KEY = "moves.json"
FORMAT = 1
"""Of the content. A key that is added with a default leaves it as it is."""
MOST = 900 << 10
"""Octets of one ConfigMap's content; the API server refuses more than 1 MiB."""


class NotUnderstoodError(ValueError):
    """A ConfigMap's content can not be used; the message says why."""


def name_of(shard: int) -> str:
    """The ConfigMap of a shard."""
    return f"{PREFIX}{shard:02}"


def names() -> list[str]:
    """All of them."""
    return [name_of(shard) for shard in range(SHARDS)]


def document(
    namespace: str, shard: int, entries: Mapping[Fact, Entry], version: str
) -> tuple[dict[str, Any], int]:
    """The ConfigMap that replaces ``version`` (``''``: there is none yet), and how many facts it has no room for.

    Those are the youngest.
    """
    rows, size = [], len(KEY) + 64
    for fact, entry in sorted(entries.items(), key=lambda row: (row[1].move.since, row[0])):
        row = json.dumps(_plain(fact, entry), ensure_ascii=False, separators=(",", ":"))
        size += len(row.encode()) + 2
        if size > MOST:
            break
        rows.append(row)
    metadata: dict[str, Any] = {"name": name_of(shard), "namespace": namespace, "labels": LABELS}
    if version:
        metadata["resourceVersion"] = version
    text = f'{{"format":{FORMAT},"moves":[\n' + ",\n".join(rows) + "\n]}\n"
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: text}}
    return made, len(entries) - len(rows)


def read(found: Mapping[str, Any]) -> tuple[int, dict[Fact, Entry]] | None:
    """Shard and facts of a ConfigMap; None for one that has another name.

    :raises NotUnderstoodError: when its content is not what ``document`` makes.
    """
    name = str(found["metadata"]["name"])
    shard = whole_number(name.removeprefix(PREFIX), 9_999)
    if shard is None or name_of(shard) != name:
        return None
    try:
        content = json.loads((found.get("data") or {})[KEY])
        if content["format"] != FORMAT:
            raise NotUnderstoodError(f"{name} has format {content['format']}, this soadns reads {FORMAT}")
        rows = [_row(row) for row in content["moves"]]
    except NotUnderstoodError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        said = f"{type(error).__name__}: {error}"
        raise NotUnderstoodError(
            f"{name} is not understood ({said}); where nobody knows better: kubectl delete configmap {name}"
        ) from None
    return shard, dict(rows)


def _plain(fact: Fact, entry: Entry) -> dict[str, Any]:
    move = entry.move
    row: dict[str, Any] = {
        "zone": fact.zone,
        "service": list(move.service),
        "interface": list(move.interface),
        "addresses": list(move.addresses),
        "ports": [list(port) for port in move.ports],
        "wires": list(move.wires),
        "since": move.since,
    }
    return row | ({"forgotten": entry.forgotten} if entry.forgotten else {})


def _row(row: Mapping[str, Any]) -> tuple[Fact, Entry]:
    move = Move(
        service=ObjectRef(*map(_text, row["service"])),
        interface=InterfaceId(*map(_text, row["interface"])),
        addresses=tuple(map(_text, row["addresses"])),
        ports=tuple(ServedPort(_text(protocol), _port(port)) for protocol, port in row["ports"]),
        wires=tuple(map(_text, row["wires"])),
        since=_moment(row["since"]),
    )
    return fact_of(_text(row["zone"]), move), Entry(move, _moment(row.get("forgotten", 0.0)))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65_535:
        raise TypeError(f"{value!r} is no port")
    return value


def _moment(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise TypeError(f"{value!r} is no time")
    return float(value)
