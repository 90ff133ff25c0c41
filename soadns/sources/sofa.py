"""SOFARPC's registry tree: ``<root>/<interface>/providers/<URL>``. Pure.

Offers the same names as ``soadns.sources.dubbo``. The directory of an interface is its raw name and the
authority for it: Node.js encodes the URL's own ``interface`` twice. The URL's ``version=1.0`` is a constant
of the Java framework and never part of the identity; ``uniqueId`` is, as the group. Configurations and
overrides are read by nobody. ``dynamic=false`` only asks for a start offline: SOFARPC's consumers call such a
provider all the same, and its node is as ephemeral as others (``createEphemeral=false`` is not in the URL).

The URL's path is the context path of the *server* (``ServerConfig.contextPath``), the same for all of its interfaces,
and never the name of one: bolt has ``interface:version`` on the wire, and REST the paths of the interface's methods.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from soadns.model import InterfaceId, Override, Provider
from soadns.sources import FormatError, providerurl
from soadns.sources.providerurl import Settings, flag

CATEGORIES: tuple[str, ...] = ("providers",)

SETTINGS = frozenset({"timeout", "retries", "concurrents", "connections", "invokeType"})
"""Parameters of a provider URL that its callers take over and a direct URL loses."""


def interface_of(child: str) -> str | None:
    """The interface named by a child of the root: its raw name."""
    return child or None


def child_of(interface: str) -> str:
    """The child of the root that holds an interface."""
    return interface


def parse(registry: str, interface: str, category: str, leaf: str) -> tuple[Provider | Override, ...]:
    """The Provider in one leaf; none for what is no provider. Raises FormatError."""
    if category not in CATEGORIES:
        return ()
    url = providerurl.split(leaf, fragments=False)
    if url.scheme in ("consumer", "override"):
        return ()
    query, started = url.query, ""
    if url.encoded:
        _, query = providerurl.take(query, "%26pid%3D")
        _, query = providerurl.take(query, "%26id%3D")
        started, query = providerurl.take(query, "%26startTime%3D")
        offer = _known_offer(interface, query)
    else:
        offer = _read_offer(interface, query)
    host, port = providerurl.site(url.authority)
    return (
        Provider(
            registry,
            offer.identity,
            url.scheme,
            host,
            port,
            offer.application,
            "",
            offer.serialization,
            offer.enabled,
            True,
            False,
            False,
            offer.settings,
            offer.timestamp or providerurl.milliseconds(started),
            offer.weight,
        ),
    )


class _Offer(NamedTuple):
    """What a query says: equal for all providers of one deployment but for their start times."""

    identity: InterfaceId
    application: str
    serialization: tuple[str, ...]
    enabled: bool
    settings: Settings
    timestamp: int
    weight: int


def _read_offer(interface: str, query: str) -> _Offer:
    """Read a query. Raises FormatError."""
    parameters = parameters_of(query)
    get = parameters.get
    found = [(key, parameters[key]) for key in SETTINGS & parameters.keys() if parameters[key] != "0"]
    return _Offer(
        identity=providerurl.identity(interface, get("uniqueId", ""), ""),
        application=providerurl.plain(get("appName", ""), "appName"),
        serialization=providerurl.names(get("serialization", "")),
        enabled=flag(get("enabled"), default=True) and not flag(get("disabled"), default=False),
        settings=providerurl.settings(found),
        timestamp=providerurl.milliseconds(get("startTime")),
        weight=providerurl.weight(get("weight")),
    )


# The providers of one interface mostly come from one deployment and are read one after the other.
@lru_cache(maxsize=4_096)
def _known_offer(interface: str, query: str) -> _Offer:
    """The same for a query that is still encoded, as nearly all are."""
    return _read_offer(interface, providerurl.decode(query))


def parameters_of(query: str) -> dict[str, str]:
    """The parameters of a query: ``&`` separates, the first ``=`` splits, the last of equal keys counts.

    Node.js escapes each value once more by itself and writes ``undefined`` for what it does not know.
    """
    parameters = {key: value for key, _, value in (pair.partition("=") for pair in query.split("&"))}
    if parameters.get("language") == "nodejs":
        for key, value in parameters.items():
            parameters[key] = "" if value == "undefined" else unquote(value)
    return parameters


__all__ = ["CATEGORIES", "FormatError", "child_of", "interface_of", "parameters_of", "parse"]
