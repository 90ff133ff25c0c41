"""A name of a zone as keys and values of etcd, such that CoreDNS's plugin ``etcd`` answers it as soadns does. Pure.

The plugin (coredns/coredns:plugin/etcd, plugin/backend_lookup.go) answers a name with *everything below* its path: the
labels of the lower-case name in reverse order (``msg.Path``). So each name is told apart from those below it:

- The last part of a key begins with an upper-case letter. Questions are lowered before they are looked up, so no
  question leads to such a key by itself, as it would where that part could be a label.
- Every value has the ``group`` of its own name. Of all values below a path only those of the group of the shortest key
  are answered (``msg.Group``).
- A name without addresses and texts has a value that answers nothing, so that it has a shortest key, too: its ``host``
  is its own name, and such a loop is left out of answers. Without it ``UserService.<zone>`` would be answered with the
  address of ``com.x.UserService.<zone>``.
- ``port`` -1 keeps addresses out of answers to SRV. An SRV value's ``host`` is its own name as well, of which
  ``targetstrip`` leaves the target: it is no alias then for who asks for addresses there.
- A name with data has a value without ``host`` at its very path, which is looked at for CNAME and PTR alone
  (``exact``): the name is not denied to who asks for these.

A value's ``soadns`` says whose it is; CoreDNS reads no such field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from soadns.nameserver import presentation, wire
from soadns.nameserver.rrsets import TCP, TYPED, RRsets, service_of
from soadns.nameserver.zone import ZoneData

OWNER = "soadns"
"""The field of a value that says whose it is."""
WITHOUT_DATA = "E"
"""The last part of the key of a name that answers nothing."""
_ADDRESS, _TEXT, _SERVICE = "A", "T", "S"
"""How the last parts of other keys begin."""
OWN = ("A", "[")
"""All last parts lie between these (``[`` follows ``Z``), and nothing of a name below."""

_APEX, _NS = b"\x04apex\x03dns", b"\x02ns\x03dns"
"""Below an origin: where the plugin looks for the addresses of the origin itself, and for its name servers."""
APEX_MARK = f"/dns/apex/{WITHOUT_DATA}"
"""Below the path of an origin: a key that every zone has."""
_WORDS = ("any", "*")
"""Labels that the plugin takes for any label."""
_LABEL = re.compile(r"[A-Za-z0-9_$-]+")
"""What needs no escape, neither in a path nor in a name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What etcd is to have of one name."""

    values: dict[str, str] = field(default_factory=dict)
    """Key → JSON."""
    data: bool = False
    """Whether the name answers anything."""
    stands: bool = False
    """Whether nothing may be said of the name: what etcd has of it is to be left as it is."""
    unfit: bool = False
    """Whether the zone has data that are left out: the plugin could not answer the name rightly, whatever etcd had."""


class Layout:
    """Keys below a prefix (``/skydns``), and values of one owner."""

    def __init__(self, prefix: str, owner: str) -> None:
        self.prefix = prefix
        self.owner = owner

    # ------------------------------------------------------------------ keys

    def path(self, name: bytes) -> str:
        """The path of a folded name (wire form)."""
        return self.prefix + "".join(f"/{label}" for label in reversed(_labels(name)))

    def own(self, name: bytes) -> tuple[str, tuple[str, str]]:
        """Where the keys of a name are, and no others: the one at its path, and a range."""
        path = self.path(name)
        return path, (f"{path}/{OWN[0]}", f"{path}/{OWN[1]}")

    def below(self, name: bytes) -> tuple[str, str]:
        """The range of all keys of a name and of what is below it, but for the one at its path."""
        path = self.path(name)
        return f"{path}/", f"{path}0"  # 0 follows the slash

    def name_of(self, key: str) -> bytes | None:
        """The folded name that a key is of; None for a key that is of none."""
        parts = key[len(self.prefix) + 1 :].split("/")
        if parts[-1][:1].isupper():
            parts.pop()
        try:
            return wire.fold(wire.encode_name(".".join(reversed(parts))))
        except wire.BadNameError:
            return None

    def is_ours(self, value: str) -> bool:
        """Whether a value is of this owner."""
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return False
        return isinstance(found, dict) and found.get(OWNER) == self.owner

    # ------------------------------------------------------------------ values

    def wanted(self, zone: ZoneData, name: bytes) -> Wanted:
        """What etcd is to have of a folded name of a zone, by what the zone holds now."""
        origin = zone.origin_wire
        below = name[: len(name) - len(origin)]
        if not below or below in (_APEX, _NS):
            return self._of_apex(zone, name, below)
        spelled, held = zone.owner(name)
        if not _is_fit(below):
            return Wanted(unfit=held is not None)
        if held is not None and held.unsaid:
            return Wanted(stands=True)
        if zone.is_server(name):
            held = None  # its addresses are those of one replica, and not of who answers
        values = self._of_owner(name, spelled, held) if held is not None else {}
        if at := service_of(name):
            values |= self._of_service(zone, name, at)
        if values:
            return Wanted(values, data=True)
        if zone.exists(name) or _leads_to_services(zone, name):
            return Wanted(self._without_data(name, _text(spelled)))
        return Wanted(stands=not zone.tells_all and _belongs_to_unsaid(zone, below))

    def _of_apex(self, zone: ZoneData, name: bytes, below: bytes) -> Wanted:
        # At NS the plugin takes what has a host for a name server; at the others it would read the whole zone, and
        # answer with all of it.
        unfit = zone.owner(name)[1] is not None
        if below == _NS:
            return Wanted({f"{self.path(name)}/{WITHOUT_DATA}": self._json()}, unfit=unfit)
        return Wanted(self._without_data(name, _text(name)), unfit=unfit)

    def _without_data(self, name: bytes, text: str) -> dict[str, str]:
        return {f"{self.path(name)}/{WITHOUT_DATA}": self._json(host=text, port=-1, group=_text(name))}

    def _of_owner(self, name: bytes, spelled: bytes, held: RRsets) -> dict[str, str]:
        path, group, text = self.path(name), _text(name), _text(spelled)
        values = {}
        for key, answer in held.data.items():
            if len(key) > TYPED:
                continue
            kind = int.from_bytes(key[:2])
            ttl, found = presentation.contents(answer if isinstance(answer, bytes) else answer.octets)
            if kind in (wire.A, wire.AAAA):
                for each in found:
                    host = presentation.address_text(each)
                    values[f"{path}/{_ADDRESS}{host}"] = self._json(
                        host=host, port=-1, ttl=_ttl(ttl), group=group
                    )
            elif kind == wire.TXT:
                for number, each in enumerate(
                    string for one in found for string in presentation.strings(one)
                ):
                    # Backslashes begin escapes in the texts of the plugin's library.
                    said = each.decode(errors="replace").replace("\\", "\\\\")
                    values[f"{path}/{_TEXT}{number}"] = self._json(
                        host=text, text=said, port=-1, ttl=_ttl(ttl), group=group
                    )
        return values | {path: self._json()} if values else values

    def _of_service(self, zone: ZoneData, name: bytes, at: int) -> dict[str, str]:
        spelled, held = zone.owner(name[at:])
        answer = held.data.get(name[:at]) if held is not None else None
        if not isinstance(answer, bytes):
            return {}
        path, group = self.path(name), _text(name)
        host = _text(name[:at] + spelled)
        ttl, found = presentation.contents(answer)
        values = {path: self._json()}
        for each in found:
            port = int.from_bytes(each[4:6])
            values[f"{path}/{_SERVICE}{port}"] = self._json(
                host=host, targetstrip=2, port=port, ttl=_ttl(ttl), group=group
            )
        return values

    def _json(self, **fields: object) -> str:
        return json.dumps(fields | {OWNER: self.owner}, separators=(",", ":"), ensure_ascii=False)


def names_of(zone: ZoneData) -> Iterator[bytes]:
    """Every folded name of a zone of which etcd is to have something."""
    origin = zone.origin_wire
    yield _APEX + origin
    yield _NS + origin
    for name in zone.existing():
        yield name
        yield from services_of(name, zone.owner(name)[1])


def services_of(name: bytes, held: RRsets | None) -> Iterator[bytes]:
    """The names of the services of an owner that has this, and what leads to them."""
    if held is not None and held.services(name):
        yield TCP + name
        for key in held.data:
            if TYPED < len(key) <= wire.MAX_WIRE_NAME - len(name):
                yield key + name


def ancestors(zone: ZoneData, name: bytes) -> Iterator[bytes]:
    """The names between a name of a zone and its origin."""
    while len(name := wire.parent(name)) > len(zone.origin_wire):
        yield name


def _leads_to_services(zone: ZoneData, name: bytes) -> bool:
    owner = name.removeprefix(TCP)
    held = zone.owner(owner)[1] if owner != name else None
    return held is not None and held.services(owner)


def _belongs_to_unsaid(zone: ZoneData, below: bytes) -> bool:
    """Whether a name is a variant (``Service--v-1-0-0``) of one of which nothing may be said, or below it."""
    *labels, last = _labels(below)
    labels.append(last.partition("--")[0] or last)
    whole = [bytes([len(label)]) + label.encode() for label in labels]
    origin = zone.origin_wire
    owners = (zone.owner(b"".join(whole[at:]) + origin)[1] for at in range(len(whole)))
    return any(held is not None and held.unsaid for held in owners)


def _is_fit(below: bytes) -> bool:
    """Whether the plugin takes each label of a name as what it is, and none of it as its own."""
    labels = _labels(below)
    if below.endswith((_APEX, _NS)):
        return False
    return all(_LABEL.fullmatch(label) and label not in _WORDS for label in labels)


def _labels(name: bytes) -> list[str]:
    labels, at = [], 0
    while at < len(name) and (length := name[at]):
        labels.append(name[at + 1 : at + 1 + length].decode("latin-1"))
        at += length + 1
    return labels


def _text(name: bytes) -> str:
    return ".".join(_labels(name))


def _ttl(seconds: int) -> int:
    """To the plugin 0 means 300."""
    return max(1, seconds)
