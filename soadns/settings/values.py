"""What a single value of the configuration may be. Pure.

Each check returns what is wrong with a value, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network

from soadns import selectors
from soadns.addresses import parse_address
from soadns.settings.schema import Check

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SERVER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these words."""

    words: tuple[str, ...]

    def __call__(self, value: str) -> str | None:
        """What is wrong with a value."""
        return None if value in self.words else f"{value!r} is not one of {', '.join(self.words)}"


def one_of(*names: str) -> Check:
    """One of these words."""
    return OneOf(names)


def between(low: float, high: float) -> Check:
    """A number in this range, its ends included."""

    def check(value: float) -> str | None:
        return None if low <= value <= high else f"{value:g} is not between {low:g} and {high:g}"

    return check


def address(value: str) -> str | None:
    """``ADDRESS:PORT``, or nothing."""
    if value and parse_address(value) is None:
        return f"{value!r} is no address:port"
    return None


def addresses(values: tuple[str, ...]) -> str | None:
    """At least one ``ADDRESS:PORT``, none twice."""
    if not values:
        return some(values)
    if wrong := next(filter(None, map(address, values)), None):
        return wrong
    seen = [parse_address(value) for value in values]
    return next((f"{v!r} is named twice" for i, v in enumerate(values) if seen[i] in seen[:i]), None)


def any_addresses(values: tuple[str, ...]) -> str | None:
    """Addresses, none twice."""
    return addresses(values) if values else None


def some(values: tuple[str, ...]) -> str | None:
    """At least one item."""
    return None if values else "at least one is needed"


def networks(values: tuple[str, ...]) -> str | None:
    """Networks in CIDR notation."""
    for value in values:
        try:
            ip_network(value)
        except ValueError:
            return f"{value!r} is no network"
    return None


def hosts(value: str) -> str | None:
    """A connect string of ZooKeeper: ``host[:port],...[/chroot]``."""
    servers, slash, chroot = value.partition("/")
    if "@" in value:  # which is not repeated: it may be a secret
        return "credentials do not belong here: auth.credentialsFile"
    if not servers.strip():
        return "no host"
    for server in servers.split(","):
        found = _SERVER.fullmatch(server.strip())
        if found is None or int(found["port"] or 1) not in range(1, 65_536):
            return f"{server.strip()!r} is no host or host:port"
    if slash and ("," in chroot or not all(chroot.split("/"))):
        return f"the chroot {'/' + chroot!r} is no path"
    return None


def servers(values: tuple[str, ...]) -> str | None:
    """``HOST:PORT`` each, none twice."""
    for index, value in enumerate(values):
        found = _SERVER.fullmatch(value)
        if found is None or found["port"] is None or int(found["port"]) not in range(1, 65_536):
            return f"{value!r} is no host:port"
        if value in values[:index]:
            return f"{value!r} is named twice"
        host = value.rpartition(":")[0]
        if not host.startswith("[") and (wrong := _unnameable(host)):
            return f"{value!r}: {wrong}"
    return None


def _unnameable(host: str) -> str | None:
    """Why no resolver takes a name (RFC 1035, 2.3.4)."""
    host = host.removesuffix(".")
    labels = host.split(".")
    if not all(labels):
        return "a part of the name is empty"
    if max(map(len, labels)) > 63:
        return "a part of the name has more than 63 characters"
    return "the name has more than 253 characters" if len(host) > 253 else None


def name(value: str) -> str | None:
    """What may be part of a source id and of a metric's label."""
    return None if _NAME.fullmatch(value) else f"{value!r} is no name: letters, digits, '-', '_' and '.'"


def label(value: str) -> str | None:
    """The name of a namespace (RFC 1123 label)."""
    return None if _DNS_LABEL.fullmatch(value) else f"{value!r} is no name of a namespace"


def namespaces(values: tuple[str, ...]) -> str | None:
    """Names of namespaces, none twice."""
    if wrong := next(filter(None, map(label, values)), None):
        return wrong
    return next((f"{v!r} is named twice" for i, v in enumerate(values) if v in values[:i]), None)


def absolute(value: str) -> str | None:
    """The absolute path of a folder."""
    well = value.startswith("/") and all(value[1:].split("/")) and value.isprintable()
    return None if well else "must begin with / and name each level"


def namespace(value: str) -> str | None:
    """The name of a namespace (RFC 1123 label), or nothing."""
    return None if not value or _NAMESPACE.fullmatch(value) else f"{value!r} is no namespace"


def urls(values: tuple[str, ...]) -> str | None:
    """URLs of HTTP."""
    wrong = (
        value for value in values if not value.startswith(("http://", "https://")) or not value.isprintable()
    )
    return next((f"{value!r} is no URL of HTTP" for value in wrong), None)


def root(value: str) -> str | None:
    """The absolute path of a znode."""
    well = value == "/" or (value.startswith("/") and all(value[1:].split("/")))
    return None if well else "must begin with / and name each level"


def zone_name(value: str) -> str | None:
    """The name of a DNS zone."""
    labels = value.removesuffix(".").split(".")
    if not all(map(_LABEL.fullmatch, labels)) or len(value) > 200:
        return f"{value!r} is no zone name"
    return None


def selector(value: str) -> str | None:
    """Any label selector."""
    return _spelt(selectors.parse, value)


def pairs(value: str) -> str | None:
    """A label selector of ``label=value`` alone."""
    return _spelt(selectors.pairs, value)


def some_pairs(value: str) -> str | None:
    """The same, and at least one."""
    return pairs(value) or (None if value.strip() else "at least one label is needed")


def _spelt(read: Callable[[str], object], value: str) -> str | None:
    try:
        read(value)
    except selectors.SelectorError as error:
        return str(error)
    return None
