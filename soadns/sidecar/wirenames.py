"""Wire names: which of them a sidecar can be told, and whose requests one of several interfaces is. Pure.

A wire name is the interface, or the path of its provider's URL. A path is whatever somebody wrote: several interfaces
may have one, it may be the name of another interface, and it may be a pattern to who compares it.
"""

from __future__ import annotations

from collections.abc import Collection

_SIGNS = frozenset("*:")
"""To MOSN a domain with ``*`` anywhere is a pattern, or makes all of the router void, and ``:`` begins a port
(``pkg/router/routers_impl.go``); Envoy's ``dubbo_proxy`` takes ``prefix*`` and ``*suffix`` for patterns; bolt has
``:`` between an interface and its version. No interface of Java, and no path that Dubbo calls, has either."""


def tellable(wire: str) -> bool:
    """Whether every sidecar takes a wire name for itself alone. (What can not be printed is no name at all.)"""
    return bool(wire) and wire.isprintable() and _SIGNS.isdisjoint(wire)


def meant(wire: str, names: Collection[str]) -> Collection[str]:
    """The interfaces that a request for a wire name may mean, of those whose callers write it.

    One that is called so itself comes before all that have it as their path: a path is anybody's to choose.
    """
    return (wire,) if wire in names else names
