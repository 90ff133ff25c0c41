"""Dubbo's interface-level registry tree, 2.5 to 3.x: ``<root>/<interface>/<category>/<URL>``. Pure.

``interface_of`` and ``child_of`` translate the interface directory's name, ``CATEGORIES`` says what to read
below it, and ``parse`` turns one leaf into observations. The parent znode is the authority for the
interface: the URL's own ``interface`` is missing in simplified registries and its path may be a
context path. Tokens are noticed, never kept.
"""

from __future__ import annotations

from sys import intern
from urllib.parse import quote_plus, unquote_plus

from soadns.model import InterfaceId, Override, Provider
from soadns.sources import providerurl
from soadns.sources.providerurl import FormatError, ProviderUrl

CATEGORIES = ("providers", "configurators")
"""What is read below an interface; the first one makes a child an interface at all."""

NOT_INTERFACES = frozenset({"config", "metadata", "mapping"})
"""Siblings of interfaces in a registry root (config centre, metadata report, service name mapping)."""

SETTINGS = frozenset(
    {
        "timeout", "retries", "cluster", "loadbalance", "connections", "actives", "executes", "async",
        "sent", "sticky", "mock", "validation", "cache", "merger", "payload", "tag",
    }
)  # fmt: skip
"""Parameters of a provider URL that its callers would take over and a direct URL loses."""

_NO_PROVIDERS = frozenset({"consumer", "empty", "override", "condition", "script", "tag", "route", "absent"})
_MAX_INTERFACE = 1_000


def interface_of(child: str) -> str | None:
    """The interface named by a child of the root, or None for nodes that are none."""
    if child in NOT_INTERFACES or len(child) > _MAX_INTERFACE:
        return None
    name = unquote_plus(child)
    return intern(name) if name and "/" not in name else None


def child_of(interface: str) -> str:
    """The child of the root that holds an interface (``URLEncoder`` of Java: ``*`` stays)."""
    return quote_plus(interface, safe="*")


def parse(registry: str, interface: str, category: str, leaf: str) -> tuple[Provider | Override, ...]:
    """The observations in one leaf; none for leaves that are validly of no interest.

    Raises FormatError.
    """
    if not providerurl.is_url(leaf):
        return ()
    url = providerurl.parse(leaf)
    if category == "configurators":
        return _override(registry, interface, url)
    if url.scheme in _NO_PROVIDERS or url.parameters.get("category", "providers") != "providers":
        return ()
    if url.parameters.get("side", "provider") != "provider":
        return ()
    providerurl.require_callable(url)
    return _providers(registry, interface, url)


def _providers(registry: str, interface: str, url: ProviderUrl) -> tuple[Provider, ...]:
    parameters = url.parameters
    path = url.path if url.path != interface else ""
    serialization = parameters.get("prefer.serialization") or parameters.get("serialization") or ""
    # Port unification: 3.3 writes one leaf for both protocols, 3.2 one for each.
    protocols = [url.scheme]
    for extra in parameters.get("ext.protocol", "").split(","):
        extra = extra.strip().lower()
        if extra and extra.isalnum() and extra not in protocols and len(protocols) < 4:
            protocols.append(intern(extra))
    identity = InterfaceId(interface, intern(parameters.get("group", "")), version_of(parameters))
    return tuple(
        Provider(
            registry=registry,
            interface=identity,
            protocol=protocol,
            host=url.host,
            port=url.port,
            application=intern(parameters.get("application", "")),
            path=intern(path),
            serialization=_serializations(serialization),
            enabled=url.flag("enabled", True) and not url.flag("disabled", False),
            dynamic=url.flag("dynamic", True),
            tls=url.flag("ssl-enabled", False),
            token=parameters.get("token", "") not in ("", "false"),
            settings=providerurl.settings_of(parameters, SETTINGS),
            timestamp=url.number("timestamp"),
        )
        for protocol in protocols
    )


def version_of(parameters: dict[str, str]) -> str:
    """The service version; absent and ``0.0.0`` are the same."""
    version = parameters.get("version", "")
    return "" if version == "0.0.0" else intern(version)


_shared: dict[str, tuple[str, ...]] = {}


def _serializations(text: str) -> tuple[str, ...]:
    if len(_shared) > 1_000:
        _shared.clear()
    if text not in _shared:
        _shared[text] = tuple(intern(s.strip()) for s in text.split(",") if s.strip())[:16]
    return _shared[text]


def _override(registry: str, interface: str, url: ProviderUrl) -> tuple[Override, ...]:
    """``override://`` with ``disabled=true`` (2.6-style governance); other overrides change no answer."""
    if url.scheme != "override" or not url.flag("disabled", False) or not url.flag("enabled", True):
        return ()
    parameters = url.parameters
    # A rule for certain consumers switches the provider off for them only, not for everybody.
    if parameters.get("side", "provider") == "consumer":
        return ()
    anywhere = url.host in ("0.0.0.0", "::")  # noqa: S104 - the wildcard of an override, nothing is bound
    return (
        Override(
            registry=registry,
            interface_name=interface,
            host="" if anywhere else url.host,
            port=url.port,
            application=parameters.get("application", "") if not anywhere else _target(parameters),
            group=parameters.get("group"),
            version=version_of(parameters) if "version" in parameters else None,
        ),
    )


def _target(parameters: dict[str, str]) -> str:
    """The provider application an ``override://0.0.0.0`` is limited to."""
    application = parameters.get("application", "")
    return "" if application in ("*", "any") else application


__all__ = ["CATEGORIES", "FormatError", "child_of", "interface_of", "parse"]
