"""Provider URLs as registries hold them: encoded znode name → scheme, host, port, path, parameters.

Pure. Both dialects (``dubbo``, ``sofa``) read their leaves through ``parse``; what the parameters mean is
theirs. Follows what the frameworks' own parsers accept (Dubbo's ``URL``/``URLStrParser``, SOFARPC's
``ProviderHelper``), so a leaf that a framework can call is read, and everything else is a
``FormatError`` with a reason from a bounded set.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from sys import intern
from urllib.parse import unquote_plus

MAX_LEAF = 65_536
"""Longest znode name looked at; real ones have about 1,000 characters."""
MAX_SETTINGS = 64
MAX_SETTING = 256

REASONS = (
    "too-long", "no-url", "no-host", "bad-host", "no-port", "bad-port", "bad-interface", "unusable-host",
)  # fmt: skip
"""All reasons a leaf may be rejected for; they are metric labels."""


class FormatError(ValueError):
    """A leaf of a registry that can not be understood.

    ``reason`` is one of ``REASONS``; ``detail`` says what is wrong and what to do, for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail[:300]


@dataclass(frozen=True, slots=True)
class ProviderUrl:
    """A decoded URL. ``host`` is an IP in normal form or a lower-case name; ``port`` 0 when absent."""

    scheme: str
    host: str
    port: int
    path: str
    parameters: dict[str, str]

    def flag(self, key: str, default: bool) -> bool:
        """A boolean parameter; anything but true/false is the default."""
        text = self.parameters.get(key, "").strip().lower()
        return text == "true" if text in ("true", "false") else default

    def number(self, key: str) -> int:
        """A non-negative integer parameter, 0 when absent or no number."""
        text = self.parameters.get(key, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0


def is_url(leaf: str) -> bool:
    """Whether a child's name is an encoded (or, for people's files, a plain) URL at all."""
    return "%3A%2F%2F" in leaf or "%3a%2f%2f" in leaf or "://" in leaf


def parse(leaf: str) -> ProviderUrl:
    """Decode one leaf. Raises FormatError."""
    if len(leaf) > MAX_LEAF:
        raise FormatError("too-long", f"{len(leaf)} characters; at most {MAX_LEAF} are read")
    # Decoded once: values were not encoded on their own, and what was stays encoded for the application.
    text = leaf if "://" in leaf else unquote_plus(leaf)
    scheme, mark, rest = text.partition("://")
    if not mark or not scheme.isascii() or not scheme.replace("-", "").replace("+", "").isalnum():
        raise FormatError("no-url", f"{text[:80]!r} has no scheme; expected protocol://host:port/path?...")
    rest = rest.partition("#")[0]
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    host, port = split_authority(authority.rpartition("@")[2])
    return ProviderUrl(intern(scheme.lower()), host, port, path.strip("/"), _parameters(query))


def _parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    defaults: dict[str, str] = {}
    for pair in query.replace(";", "&").split("&"):
        key, _, value = pair.partition("=")
        if not key:
            continue
        if key.startswith("default."):
            defaults[key[8:]] = value
        parameters[key] = value
    for key, value in defaults.items():
        parameters.setdefault(key, value)
    return parameters


def split_authority(authority: str) -> tuple[str, int]:
    """Host and port of ``host:port``; IPv6 with or without brackets (then the last colon splits)."""
    if authority.startswith("["):
        host, mark, rest = authority[1:].partition("]")
        if not mark:
            raise FormatError("bad-host", f"{authority[:80]!r} has an opening bracket only")
        port_text = rest.removeprefix(":")
    else:
        host, _, port_text = authority.rpartition(":")
        if not host:
            host, port_text = authority, ""
    host = host.partition("%")[0]
    if not host:
        raise FormatError("no-host", "the URL has no host")
    return normal_host(host), _port(port_text)


def _port(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65_536):
        raise FormatError("bad-port", f"{text[:20]!r} is no port (1 to 65535)")
    return int(text)


def normal_host(host: str) -> str:
    """An IP in the form of ``ipaddress``, or a lower-case host name. Raises FormatError."""
    try:
        address = ip_address(host)
    except ValueError:
        if ":" in host:
            raise FormatError("bad-host", f"{host[:80]!r} is no IPv6 address") from None
        name = host.rstrip(".").lower()
        plain = name.replace(".", "").replace("-", "").replace("_", "")
        if not name or len(name) > 253 or not (plain.isascii() and plain.isalnum()):
            raise FormatError("bad-host", f"{host[:80]!r} is neither an IP address nor a host name") from None
        return intern(name)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return intern(str(address))


def require_callable(url: ProviderUrl) -> None:
    """Reject what no caller elsewhere can reach: an answer with such an address would be wrong."""
    if not url.port:
        raise FormatError("no-port", "a provider URL must carry its port")
    try:
        address = ip_address(url.host)
    except ValueError:
        if url.host == "localhost":
            raise FormatError("unusable-host", "localhost means the provider's own machine") from None
        return
    if address.is_unspecified or address.is_loopback or address.is_link_local or address.is_multicast:
        raise FormatError(
            "unusable-host",
            f"{url.host} can not be reached from other machines; set the address the provider registers "
            "(DUBBO_IP_TO_REGISTRY, or virtualHost for SOFARPC)",
        )


_intern_settings: dict[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]] = {}


def settings_of(parameters: dict[str, str], names: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """The call settings among the parameters, per-method ones included, sorted and shared in memory."""
    found = tuple(
        sorted(
            (intern(key), intern(value))
            for key, value in parameters.items()
            if key.rpartition(".")[2] in names
            and not key.startswith("default.")
            and len(key) + len(value) <= MAX_SETTING
        )[:MAX_SETTINGS]
    )
    if len(_intern_settings) > 100_000:
        _intern_settings.clear()
    return _intern_settings.setdefault(found, found)
