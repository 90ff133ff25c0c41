"""SOFARPC's registry tree: ``<root>/<interface>/providers/<URL>``. Pure.

The same four names as ``soadns.sources.dubbo``. The directory of an interface is its raw name. The
URL's ``version=1.0`` is a constant of the Java framework and never part of the identity; ``uniqueId`` is,
as the group. Node.js providers differ in what they leave empty, not in how they are read.
"""

from __future__ import annotations

from sys import intern

from soadns.model import InterfaceId, Override, Provider
from soadns.sources import providerurl
from soadns.sources.providerurl import FormatError

CATEGORIES = ("providers",)

SETTINGS = frozenset({"timeout", "retries", "concurrents", "invokeType", "connections"})

_MAX_INTERFACE = 1_000


def interface_of(child: str) -> str | None:
    """The interface named by a child of the root: its raw name."""
    return intern(child) if child and len(child) <= _MAX_INTERFACE else None


def child_of(interface: str) -> str:
    """The child of the root that holds an interface."""
    return interface


def parse(registry: str, interface: str, category: str, leaf: str) -> tuple[Provider | Override, ...]:
    """The Provider in one leaf; none for leaves that are no URL. Raises FormatError."""
    if category != "providers" or not providerurl.is_url(leaf):
        return ()
    url = providerurl.parse(leaf)
    providerurl.require_callable(url)
    parameters = url.parameters
    unique = parameters.get("uniqueId", "")
    serialization = parameters.get("serialization", "")
    return (
        Provider(
            registry=registry,
            interface=InterfaceId(interface, intern(unique), ""),
            protocol=url.scheme,
            host=url.host,
            port=url.port,
            application=intern(parameters.get("appName", "")),
            path=intern(url.path),
            serialization=(intern(serialization),) if serialization else (),
            # dynamic=false is a provider that starts offline: nobody may call it yet.
            enabled=url.flag("dynamic", True) and not url.flag("disabled", False),
            dynamic=True,
            settings=providerurl.settings_of(parameters, SETTINGS),
            timestamp=url.number("startTime"),
        ),
    )


__all__ = ["CATEGORIES", "FormatError", "child_of", "interface_of", "parse"]
