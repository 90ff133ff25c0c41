"""Interface ↔ owner name: how a Java interface, its group and its version are spelled in DNS.

Pure and total: ``parse_interface`` reads what people type, ``owner_name`` gives the one canonical owner
name (relative to the zone) of an interface, ``interface_of`` reads it back, and ``problem`` says why an
interface can have none. A plain interface is its own name. A variant carries group and version in its last label::

    com.alipay.user.UserService                    com.alipay.user.UserService
    blue/com.alipay.user.UserService:1.0.0         com.alipay.user.UserService--g-blue--v-1-0-0

Within a group or version a dot is written ``-``; every octet that is no ASCII letter or digit is
written ``_`` and two hex digits, as is a dot where ``-`` would be ambiguous (first, last, or after
another dot). Two interfaces never share a canonical name; names that differ by case only collide in
DNS and are told apart by ``key``.
"""

from __future__ import annotations

from soadns.model import InterfaceId

MAX_LABEL = 63
MAX_NAME = 253
"""Presentation form without the final dot (RFC 1035 2.3.4: 255 octets on the wire)."""

NAME_SERVER = "ns"
"""Owner name of the name server itself."""

_GROUP, _VERSION = "--g-", "--v-"
_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_ALLOWED = _ALPHANUMERIC | frozenset("_-$.")


def parse_interface(text: str) -> InterfaceId:
    """``[group/]name[:version]`` as people type it; what they can not mean is for callers to say.

    Dubbo's ``0.0.0`` is no version.
    """
    rest, _, version = text.partition(":")
    group, _, name = rest.rpartition("/")
    return InterfaceId(name, group, "" if version == "0.0.0" else version)


def owner_name(interface: InterfaceId) -> str:
    """The canonical owner name, relative to the zone, in the interface's own case."""
    name = interface.name
    if interface.group:
        name += _GROUP + _encode(interface.group)
    if interface.version:
        name += _VERSION + _encode(interface.version)
    return name


def interface_of(owner: str) -> InterfaceId:
    """The interface whose canonical owner name this is; inverse of ``owner_name``."""
    head, dot, last = owner.rpartition(".")
    # Neither mark can occur in an encoded text, so the last one of each is the real one.
    rest, mark, version = last.partition(_VERSION)
    if not mark:
        rest, version = last, ""
    base, mark, group = rest.partition(_GROUP)
    if not mark:
        base, group = rest, ""
    return InterfaceId(head + dot + base, _decode(group), _decode(version))


def alias(interface: InterfaceId) -> str | None:
    """The second owner name of a nested class, ``$`` written ``-``, or None.

    glibc, the JVM and Go never send a name with ``$``. No alias exists where it would give ``--`` or a label
    that begins or ends with ``-`` (Go refuses those).
    """
    if "$" not in interface.name:
        return None
    name = interface.name.replace("$", "-")
    if "--" in name or any(label.startswith("-") or label.endswith("-") for label in name.split(".")):
        return None
    return owner_name(interface._replace(name=name))


def key(owner: str) -> str:
    """The owner name without its case (ASCII only, RFC 4343): equal keys are one name in DNS."""
    return owner.lower() if owner.isascii() else "".join(map(_fold, owner))


def _fold(char: str) -> str:
    return char.lower() if char.isascii() else char


def problem(interface: InterfaceId, zone: str) -> tuple[str, str] | None:
    """Why the interface can have no owner name in the zone: a slug and a sentence, or None."""
    name = interface.name
    bad = sorted(set(name) - _ALLOWED)
    if bad:
        return "bad-character", f"{name!r} contains {bad[0]!r}, which no resolver would send"
    if _GROUP in name or _VERSION in name:
        return "reserved", f"{name!r} contains {_GROUP!r} or {_VERSION!r}, which mark groups and versions"
    owner = owner_name(interface)
    if key(owner) == NAME_SERVER:
        return "reserved", f"{owner!r} is the name server's own name in every zone"
    labels = owner.split(".")
    if not all(labels):
        return "empty-label", f"{owner!r} has an empty label"
    longest = max(labels, key=len)
    if len(longest) > MAX_LABEL:
        return "label-too-long", f"{longest!r} has {len(longest)} octets, a DNS label has at most {MAX_LABEL}"
    total = len(owner) + 1 + len(zone)
    if total > MAX_NAME:
        return "name-too-long", f"{owner}.{zone} has {total} octets, a DNS name has at most {MAX_NAME}"
    return None


def _encode(text: str) -> str:
    pieces = []
    last = len(text) - 1
    for index, char in enumerate(text):
        if char in _ALPHANUMERIC:
            pieces.append(char)
        elif char == "." and 0 < index < last and text[index - 1] != ".":
            pieces.append("-")
        else:
            pieces.extend(f"_{octet:02x}" for octet in char.encode("utf-8", "surrogatepass"))
    return "".join(pieces)


def _decode(text: str) -> str:
    octets = bytearray()
    index = 0
    while index < len(text):
        char = text[index]
        if char == "_":
            try:
                octets.append(int(text[index + 1 : index + 3], 16))
                index += 3
                continue
            except ValueError:
                octets.extend(b"_")
        elif char == "-":
            octets.extend(b".")
        else:
            octets.extend(char.encode("utf-8", "surrogatepass"))
        index += 1
    return octets.decode("utf-8", "replace")
