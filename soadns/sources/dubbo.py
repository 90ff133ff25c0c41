"""Dubbo's interface-level registry tree, 2.5 to 3.x: ``<root>/<interface>/<category>/<URL>``. Pure.

The parent znode is the authority for the interface: the URL's own ``interface`` is missing in simplified
registries and its path may be a context path. Tokens are noticed, never kept.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote_plus, unquote_plus

from soadns.model import InterfaceId, Override, Provider
from soadns.sources import FormatError, providerurl
from soadns.sources.providerurl import ProviderUrl, Settings, flag

CATEGORIES: tuple[str, ...] = ("providers", "configurators")

NOT_INTERFACES = frozenset({"config", "metadata", "mapping"})
"""Siblings of interfaces in a registry root (config centre, metadata report, service name mapping).

With a custom ``group`` applications are siblings too; they differ only by having no ``providers`` child.
"""

SETTINGS = frozenset(
    {
        "timeout", "retries", "cluster", "loadbalance", "connections", "actives", "executes", "async", "sent",
        "return", "sticky", "lazy", "mock", "stub", "cache", "merger", "forks", "payload", "codec", "dubbo.tag",
        "hash.nodes", "hash.arguments", "heartbeat", "heartbeat.timeout", "serialization", "generic",
    }
)  # fmt: skip
"""Parameters of a provider URL that its callers take over and a direct URL loses.

``serialization`` is one that callers have to write, ``prefer.serialization`` what those write who know of it.
``generic``: the provider takes any call as a generic one, and callers make theirs such (GenericImplFilter).
"""

DEFAULT = "default."
"""Begins the name of what a provider of Dubbo up to 2.6 says for all of its interfaces (``<dubbo:provider>``).

A consumer's own default (``<dubbo:consumer>``, of the same name) replaces that, and not what an interface says.
"""

METHOD_SETTINGS = frozenset(
    {
        "timeout", "retries", "cluster", "loadbalance", "actives", "executes", "async", "sent", "return",
        "sticky", "mock", "cache", "merger", "callback",
    }
)  # fmt: skip
"""The same for one method: ``order.timeout``, ``listen.1.callback``."""

_NOT_PROVIDERS = frozenset(
    {"consumer", "empty", "override", "absent", "condition", "script", "tag", "route", "admin"}
)
_NO_TOKEN = frozenset({"", "false", "0", "null", "n/a"})
"""Values that Dubbo takes for "no token" (ConfigUtils.isEmpty)."""
_GENERIC = frozenset({"true", "nativejava", "bean", "protobuf-json", "gson", "raw.return"})
"""Values of ``generic`` that say something (ProtocolUtils.isGeneric); most providers say ``false``."""
_ALWAYS_PLAIN = frozenset({"dubbo.tag", "serialization", "generic"})
"""Settings that are no consumer's to default."""
_MAX_UNIFIED = 4


def interface_of(child: str) -> str | None:
    """The interface named by a child of the root, or None for nodes that are none.

    A name that is no proper encoding stays as it is: it is then an interface without a possible owner name
    and shown as one. Different children may name one interface (``A$B``, ``A%24B``): scopes are children.
    """
    if child in NOT_INTERFACES:
        return None
    return unquote_plus(child) if "%" in child or "+" in child else child or None


def child_of(interface: str) -> str:
    """The child of the root that holds an interface, as ``java.net.URLEncoder`` writes it."""
    return quote_plus(interface, safe="*", errors="replace").replace("~", "%7E")


def parse(registry: str, interface: str, category: str, leaf: str) -> tuple[Provider | Override, ...]:
    """The observations in one leaf.

    () for what is validly of no interest: a configurator that is no URL, a consumer, ``empty://``, a rule that
    switches nothing off. Two for a port that serves two protocols. Raises FormatError.
    """
    if category not in CATEGORIES or (category != "providers" and not providerurl.is_url(leaf)):
        return ()
    url = providerurl.split(leaf, fragments=True)
    if category == "configurators":
        return _overrides(registry, interface, url)
    if url.scheme in _NOT_PROVIDERS:
        return ()
    return _providers(registry, interface, url)


class _Offer(NamedTuple):
    """What a query says: equal for all providers of one deployment but for their start times."""

    identity: InterfaceId
    application: str
    serialization: tuple[str, ...]
    enabled: bool
    dynamic: bool
    tls: bool
    token: bool
    settings: Settings
    timestamp: int
    weight: int
    unified: tuple[str, ...]
    """Further protocols on the port, for which 3.3 writes no leaf of their own (3.2 does)."""


def _providers(registry: str, interface: str, url: ProviderUrl) -> tuple[Provider, ...]:
    query, token, started = url.query, "", ""
    offer: _Offer | None
    if url.encoded and not ("default." in query or "%3B" in query or "%3b" in query):
        # Then a parameter is simply what stands between two ampersands.
        _, query = providerurl.take(query, "%26pid%3D")
        started, query = providerurl.take(query, "%26timestamp%3D")
        if "token" in query:
            token, query = providerurl.take(query, "%26token%3D")
    if not url.encoded or "token" in query:  # a secret must not become a key of the cache
        offer = _read_offer(interface, providerurl.decode(query) if url.encoded else query)
    else:
        offer = _known_offer(interface, query)
    if offer is None:
        return ()
    host, port = providerurl.site(url.authority)
    provider = Provider(
        registry,
        offer.identity,
        url.scheme,
        host,
        port,
        offer.application,
        "" if url.path == interface else providerurl.plain(url.path, "path"),
        offer.serialization,
        offer.enabled,
        offer.dynamic,
        offer.tls,
        offer.token or (token != "" and is_token(providerurl.decode(token))),
        offer.settings,
        offer.timestamp or providerurl.milliseconds(started),
        offer.weight,
    )
    if not offer.unified:
        return (provider,)
    others = (protocol for protocol in offer.unified if protocol != provider.protocol)
    return (provider, *(replace(provider, protocol=protocol) for protocol in others))


def _read_offer(interface: str, query: str) -> _Offer | None:
    """Read a query; None where it says that this is no provider. Raises FormatError."""
    said = _said(query)
    get = _with_defaults(said).get
    if get("side", "provider") != "provider" or get("category", "providers") != "providers":
        return None
    unified = providerurl.names(get("ext.protocol", "").lower())[:_MAX_UNIFIED]
    return _Offer(
        identity=providerurl.identity(interface, get("group", ""), _version(get("version", ""))),
        application=providerurl.plain(get("application", ""), "application"),
        serialization=_serializations(get("prefer.serialization", ""), get("serialization", "")),
        enabled=flag(get("enabled"), default=True) and not flag(get("disabled"), default=False),
        dynamic=flag(get("dynamic"), default=True),
        tls=flag(get("ssl-enabled"), default=False),
        token=is_token(get("token", "")),
        settings=_settings(said),
        timestamp=providerurl.milliseconds(get("timestamp")),
        weight=providerurl.weight(get("weight")),
        unified=tuple(name for name in unified if name.isascii() and name.isalnum()),
    )


@lru_cache(maxsize=4_096)
def _known_offer(interface: str, query: str) -> _Offer | None:
    """The same for a query that is still encoded.

    The providers of one interface mostly come from one deployment and are read one after the other.
    """
    return _read_offer(interface, providerurl.decode(query))


def is_token(text: str) -> bool:
    """Whether calls want this token."""
    return text.lower() not in _NO_TOKEN


def _overrides(registry: str, interface: str, url: ProviderUrl) -> tuple[Override, ...]:
    """``override://`` with ``disabled=true`` (2.6-style governance); other rules change no answer.

    As AbstractConfigurator and UrlUtils.isMatch have it: a host with a port is a provider; 0.0.0.0 is every
    provider; a host without a port is a *consumer*, and switches off nothing for others. A rule for
    consumers, or with further conditions (``~key``), does not take a provider from everybody. Group and
    version must be equal to the provider's, absent ones included.
    """
    if url.scheme != "override":
        return ()
    parameters = parameters_of(providerurl.decode(url.query) if url.encoded else url.query)
    get = parameters.get
    if not flag(get("disabled"), default=False) or not flag(get("enabled"), default=True):
        return ()
    if get("side", "provider") not in ("provider", "*") or any(key.startswith("~") for key in parameters):
        return ()
    host, port = providerurl.address(url.authority)
    everywhere = host == "0.0.0.0"  # noqa: S104 - the wildcard of an override, nothing is bound
    if not everywhere and not port:
        return ()
    application = get("application") or url.user
    found = []
    for place, its_port in _targets(get("providerAddresses", ""), "" if everywhere else host, port):
        identity = providerurl.identity(interface, get("group", ""), _version(get("version", "")))
        found.append(
            Override(
                registry=registry,
                interface_name=interface,
                host=place,
                port=its_port,
                application="" if application == "*" else providerurl.plain(application, "application"),
                group=None if identity.group == "*" else identity.group,
                version=None if identity.version == "*" else identity.version,
            )
        )
    return tuple(found)


def _targets(listed: str, host: str, port: int) -> list[tuple[str, int]]:
    """Where a rule holds: its own address, narrowed by ``providerAddresses`` (2.7 and later)."""
    if not listed:
        return [(host, port)]
    found = []
    for item in providerurl.names(listed):
        place, its_port = providerurl.address(item.removesuffix(":*"))
        place = "" if place == "0.0.0.0" else place  # noqa: S104 - a wildcard, as above
        if (not host or not place or place == host) and (not port or not its_port or port == its_port):
            found.append((place or host, its_port or port))
    return found


def parameters_of(query: str) -> dict[str, str]:
    """The parameters of a query by the rules of Dubbo's URL parser.

    ``&`` and ``;`` separate, the first ``=`` splits, the last of equal keys counts. ``default.x`` (2.6 and
    earlier) stands in for an absent or empty ``x``. A key without ``=`` is its own value up to 2.7 and empty
    in 3.x.
    """
    return _with_defaults(_said(query))


def _said(query: str) -> dict[str, str]:
    """The same without what only stands in for others."""
    if ";" in query:
        query = query.replace(";", "&")
    pairs = [pair.partition("=") for pair in query.split("&")]
    parameters = {key: value for key, mark, value in pairs if mark}
    if len(parameters) < len(pairs):
        new = parameters.get("release", "").startswith("3")
        for key, mark, _ in pairs:
            if not mark and key:
                parameters[key] = "" if new else key
    return parameters


def _with_defaults(said: dict[str, str]) -> dict[str, str]:
    defaults = {key.removeprefix(DEFAULT): value for key, value in said.items() if key.startswith(DEFAULT)}
    if not defaults:
        return said
    return {**said, **{key: value for key, value in defaults.items() if not said.get(key)}}


def _version(text: str) -> str:
    """Absent and ``0.0.0`` are the same (Dubbo writes the latter on the wire for the former)."""
    return "" if text == "0.0.0" else text


def _serializations(preferred: str, fixed: str) -> tuple[str, ...]:
    return providerurl.names(f"{preferred},{fixed}" if preferred and fixed else preferred or fixed)


def _settings(said: dict[str, str]) -> Settings:
    """Those of the interface, then those of its methods."""
    found = [(key, said[key]) for key in SETTINGS & said.keys() if said[key]]
    of_methods: list[tuple[str, str]] = []
    methods: tuple[str, ...] | None = None
    for key in said:
        if "." not in key or key in SETTINGS:
            continue
        if key.startswith(DEFAULT) and (name := key.removeprefix(DEFAULT)) in SETTINGS:
            if not said.get(name):
                found.append((name if name in _ALWAYS_PLAIN else key, said[key]))
            continue
        if key.rpartition(".")[2] not in METHOD_SETTINGS:
            continue
        if methods is None:
            methods = tuple(said.get("methods", "").split(","))
        # Anything else with such an ending (my.app.timeout) belongs to no method.
        if key.partition(".")[0] in methods or "*" in methods:
            of_methods.append((key, said[key]))
    found = [pair for pair in found if pair[0] != "generic" or pair[1].lower() in _GENERIC]
    return providerurl.settings([*found, *sorted(of_methods)])


__all__ = ["CATEGORIES", "FormatError", "child_of", "interface_of", "parameters_of", "parse"]
