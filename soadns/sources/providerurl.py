"""Provider URLs as registries hold them: a znode name becomes scheme, authority, path and query.

Pure. Both dialects (``dubbo``, ``sofa``) read their leaves through ``split`` and ``site``; what the
parameters mean is theirs. It follows what the frameworks' own parsers accept (Dubbo's ``URL`` and
``URLStrParser``, SOFARPC's ``ProviderHelper``), so a leaf that a framework can call is read, and everything
else is a ``FormatError`` whose reason comes from ``REASONS``: any text at all gives one or the other.

A registry holds a million of these and most texts in them repeat, so hosts, ports, identities and settings
are shared through bounded caches; credentials in a URL are cut off before anything is kept.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from sys import intern
from typing import NamedTuple
from urllib.parse import unquote_plus

from soadns.model import UNKEPT, InterfaceId
from soadns.sources import FormatError

MAX_LEAF = 65_536
"""Longest znode name looked at, in characters; real ones have about 1,000."""
USUAL_WEIGHT = 100
"""Of a provider that says nothing, in both frameworks."""
MAX_TEXT = 255
"""Longest group, version, application or path."""
MAX_SETTINGS = 256
"""Most call settings kept of one URL; those of the interface come before those of its methods."""
MAX_SETTING = 256
"""Longest setting kept, name and value together."""

REASONS = (
    "too-long", "bad-encoding", "bad-url", "bad-text",
    "no-host", "bad-host", "unusable-host", "no-port", "bad-port",
)  # fmt: skip
"""All reasons for which a leaf is rejected; they are metric labels."""

Settings = tuple[tuple[str, str], ...]


class ProviderUrl(NamedTuple):
    """The parts of a URL, none of them interpreted yet."""

    scheme: str
    """Lower case."""
    user: str
    """User name before ``@``; the password is gone."""
    authority: str
    """Host and port as written, for ``site`` or ``address``."""
    path: str
    """Without its leading slash."""
    query: str
    encoded: bool
    """Whether ``query`` is still form-encoded (the others never are): most queries are known already."""


# --------------------------------------------------------------------------- decoding

_MARK = re.compile(r"%3[aA]%2[fF]%2[fF]|://")
_BROKEN_ESCAPE = re.compile("%(?![0-9a-fA-F]{2})")
# How nearly every leaf begins: lower-case scheme, host and port without a user, a path without escapes.
_USUAL_HEAD = re.compile(r"([a-z0-9]{1,32})%3A%2F%2F([A-Za-z0-9.-]+%3A[0-9]+)%2F([A-Za-z0-9._-]*)%3F")
# What nearly every leaf consists of. None of the results is a hex digit or a percent sign, so replacing them
# one after the other can not form an escape that was not there: a text is decoded exactly once.
_USUAL = (
    ("%3D", "="), ("%26", "&"), ("%2C", ","), ("%3A", ":"), ("%2F", "/"), ("%3F", "?"), ("%24", "$"),
    ("%5B", "["), ("%5D", "]"),
)  # fmt: skip


def is_url(leaf: str) -> bool:
    """Whether a child's name is a URL at all, encoded or (in people's files) plain; Dubbo skips others."""
    return "%3A%2F%2F" in leaf or _MARK.search(leaf) is not None


def decode(text: str) -> str:
    """Undo the form encoding, once.

    Octets that are no UTF-8 become U+FFFD, as in Java. Raises FormatError (``bad-encoding``).
    """
    plain_text = text.replace("+", " ")
    for code, char in _USUAL:
        plain_text = plain_text.replace(code, char)
    if "%" not in plain_text:
        return plain_text
    if _BROKEN_ESCAPE.search(text) is not None:
        raise FormatError(
            "bad-encoding",
            "a percent sign is not followed by two hexadecimal digits: the name must be URL-encoded once, as "
            "java.net.URLEncoder does",
        )
    return unquote_plus(text)


def split(leaf: str, *, fragments: bool) -> ProviderUrl:
    """Take a URL apart, encoded once or (it contains ``://``) plain.

    ``fragments``: text after ``#`` is dropped (Dubbo); otherwise it is an ordinary character (SOFARPC).
    Raises FormatError (``too-long``, ``bad-encoding``, ``bad-url``).
    """
    if len(leaf) > MAX_LEAF:
        raise FormatError("too-long", f"the name has {len(leaf)} characters; at most {MAX_LEAF} are read")
    if (usual := _USUAL_HEAD.match(leaf)) is not None and _is_simple(leaf, fragments=fragments):
        scheme, place, path = usual.groups()
        place = place.replace("%3A", ":")
        return ProviderUrl(_scheme(scheme), "", place, path, leaf[usual.end() :], encoded=True)
    if "?" in leaf or "://" in leaf or "%3f" in leaf or (fragments and ("#" in leaf or "%23" in leaf)):
        encoded = False
        text = leaf if "://" in leaf else decode(leaf)
        if fragments:
            text = text.partition("#")[0]
        head, _, query = text.partition("?")
    else:
        encoded = True
        head, _, query = leaf.partition("%3F")
        head = decode(head)
    scheme, mark, rest = head.partition("://")
    if not mark:
        raise FormatError("bad-url", "there is no '://'; expected protocol://host:port/path?key=value&...")
    place, _, path = rest.partition("/")
    user, at, place = place.rpartition("@")
    return ProviderUrl(_scheme(scheme), user.partition(":")[0] if at else "", place, path, query, encoded)


def _is_simple(leaf: str, *, fragments: bool) -> bool:
    """Whether what is behind an encoded head can only be its query."""
    if "://" in leaf or "?" in leaf:
        return False
    return not (fragments and ("#" in leaf or "%23" in leaf))


def take(query: str, item: str) -> tuple[str, str]:
    """The value of ``item`` (``%26key%3D``) if it occurs once in an encoded query, and the query without it."""
    parts = query.split(item, 2)
    if len(parts) != 2:
        return "", query
    before, after = parts
    value, mark, rest = after.partition("%26")
    return value, before + mark + rest


_SCHEME = re.compile("[A-Za-z0-9][A-Za-z0-9+_-]{0,31}")


@lru_cache(maxsize=256)
def _scheme(text: str) -> str:
    if not _SCHEME.fullmatch(text):
        raise FormatError(
            "bad-url", "what stands before '://' is no protocol name; expected e.g. dubbo://host:port/..."
        )
    return intern(text.lower())


# --------------------------------------------------------------------------- host and port


@lru_cache(maxsize=65_536)
def site(authority: str) -> tuple[str, int]:
    """Host and port of a provider. Raises FormatError where nobody else could dial them.

    Unspecified, loopback, link-local and multicast addresses are rejected (``unusable-host``): each machine
    would reach something else by them, so an answer made of one is wrong, and no EndpointSlice may
    hold one (Kubernetes refuses them), so they are no evidence either.
    """
    host, port = address(authority)
    if not port:
        raise FormatError("no-port", f"{host} has no port; a provider must register host:port")
    if not _reachable(host):
        raise FormatError(
            "unusable-host",
            f"{host} means another machine to every caller; make the provider register an address of its own "
            "(DUBBO_IP_TO_REGISTRY or protocol host=, SOFARPC virtualHost)",
        )
    return host, port


def address(authority: str) -> tuple[str, int]:
    """Host and port (0 when absent) of ``host[:port]``; host ``''`` is an error.

    IPv6 comes with or without brackets; without, the last colon splits. A ``%scope`` means something only on
    the machine that wrote it and is dropped. Raises FormatError.
    """
    if authority.startswith("["):
        host, mark, rest = authority[1:].partition("]")
        if not mark or (rest and not rest.startswith(":")):
            raise FormatError("bad-host", "a bracket opens the host: expected [IPv6 address]:port")
        port = rest[1:]
    else:
        host, mark, port = authority.rpartition(":")
        if not mark:
            host, port = authority, ""
    host = host.partition("%")[0]
    if not host:
        raise FormatError("no-host", "there is no host; expected protocol://host:port/...")
    return _host(host), _port(port)


def _port(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < 65_536):
        raise FormatError("bad-port", "what stands behind the host's colon is no port; expected 1 to 65535")
    return int(text)


_HOST_NAME = re.compile(r"(?!.*?(?:^|\.)[0-9]+$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.(?!$)|$))+")


def _host(text: str) -> str:
    """An IP in the form of ``ipaddress`` (mapped IPv4 unwrapped), or a lower-case host name."""
    try:
        found = ip_address(text)
    except ValueError:
        name = text.lower().removesuffix(".")
        if len(name) > 253 or not _HOST_NAME.fullmatch(name):
            raise FormatError("bad-host", f"{_show(text)} is neither an IP address nor a host name") from None
        return intern(name)
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return intern(str(found))


def _reachable(host: str) -> bool:
    try:
        found = ip_address(host)
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")
    if isinstance(found, IPv4Address) and (found.packed[0] == 0 or found.packed[0] >= 224):
        return False  # "this network" (RFC 1122 3.2.1.3), multicast, reserved and broadcast
    return not (found.is_unspecified or found.is_loopback or found.is_link_local or found.is_multicast)


# --------------------------------------------------------------------------- values of parameters


@lru_cache(maxsize=131_072)
def identity(interface: str, group: str, version: str) -> InterfaceId:
    """The InterfaceId of a URL, one object for all providers of it. Raises FormatError (``bad-text``...)."""
    for what, text in (("group", group), ("version", version)):
        plain(text, what)
        if "\ufffd" in text:
            raise FormatError("bad-text", f"the {what} is not UTF-8: two that differ could look alike")
    return InterfaceId(intern(interface), intern(group), intern(version))


@lru_cache(maxsize=65_536)
def plain(text: str, what: str) -> str:
    """The text, shared, if it is short and printable. Raises FormatError naming ``what``."""
    if len(text) > MAX_TEXT:
        raise FormatError("too-long", f"the {what} has {len(text)} characters; at most {MAX_TEXT} are read")
    if not text.isprintable():
        raise FormatError("bad-text", f"the {what} contains a character that can not be printed")
    return intern(text)


def flag(text: str | None, *, default: bool) -> bool:
    """A boolean parameter as Java reads it: absent or empty is the default, only "true" is true."""
    return text.lower() == "true" if text else default


def milliseconds(text: str | None) -> int:
    """A non-negative number of milliseconds; 0 when absent or no number."""
    return int(text) if text and len(text) < 16 and text.isascii() and text.isdigit() else 0


def weight(text: str | None) -> int:
    """A share of calls, as Dubbo and SOFARPC have it: 100 when absent or no number; none is below 0."""
    if not text or len(text) > 6 or not text.isascii():
        return USUAL_WEIGHT
    return int(text) if text.isdigit() else 0 if text[:1] == "-" and text[1:].isdigit() else USUAL_WEIGHT


@lru_cache(maxsize=1_024)
def names(text: str) -> tuple[str, ...]:
    """A comma list as a tuple without blanks and repetitions, at most 16 items; too long a text is none."""
    if len(text) > MAX_TEXT:
        return ()
    items = (item.strip() for item in text.split(","))
    return tuple(intern(item) for item in dict.fromkeys(items) if item)[:16]


def settings(found: list[tuple[str, str]]) -> Settings:
    """Call settings sorted, bounded (``MAX_SETTINGS`` from the front, ``MAX_SETTING``) and shared with equal ones.

    How many of them are more than that is one of them, ``UNKEPT``: nobody is to take the rest for all.
    """
    said = [(key, value) for key, value in found if value]
    kept = [(key, value) for key, value in said if len(key) + len(value) <= MAX_SETTING]
    if len(kept) < len(said) or len(kept) > MAX_SETTINGS:
        kept = kept[: MAX_SETTINGS - 1]
        kept.append((UNKEPT, str(len(said) - len(kept))))
    return _shared(tuple(sorted(kept))) if kept else ()


@lru_cache(maxsize=65_536)
def _shared(pairs: Settings) -> Settings:
    return tuple(_pair(*pair) for pair in pairs)


@lru_cache(maxsize=65_536)
def _pair(key: str, value: str) -> tuple[str, str]:
    return (intern(key), intern(value))


_PARAMETERS = re.compile(r"[?&;]|%(?:25)*(?:3[fF]|26|3[bB])")
_ANY_MARK = re.compile("://|%(?:25)*3[aA]%(?:25)*2[fF]%(?:25)*2[fF]")
_AT = re.compile("@|%(?:25)*40")


def without_secrets(leaf: str) -> str:
    """A leaf as it may be shown and logged: neither parameters (a token is one) nor user and password.

    However often it is encoded, and whatever else is wrong with it; at most 300 characters.
    """
    return _without_credentials(_PARAMETERS.split(leaf, maxsplit=1)[0])[:300]


def _without_credentials(head: str) -> str:
    mark = _ANY_MARK.search(head)
    if mark is None:
        return head
    return head[: mark.end()] + _AT.split(head[mark.end() :])[-1]


_SECRET = re.compile(
    r"((?:token|passw|secret|credential|access-?key)[\w.-]{0,40}(?:=|%3d)).*?(?=[&;#]|%26|%3b|%23|\Z)",
    re.DOTALL | re.IGNORECASE,
)


def masked(leaf: str) -> str:
    """A leaf with its parameters, for people who asked for it: what its names call a secret is ``***``."""
    head = _PARAMETERS.split(leaf, maxsplit=1)[0]
    return _without_credentials(head) + _SECRET.sub(r"\1***", leaf[len(head) :])


def _show(text: str) -> str:
    """A host that is none, for people: what stands behind a colon may be the end of a password."""
    text, colon, _ = text.partition(":")
    return ascii(f"{text[:60]}{'...' if colon or len(text) > 60 else ''}")
