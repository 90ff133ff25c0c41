"""Which Istio hosts are hidden from which callers: what ``Sidecar`` objects say of egress. Pure.

Such an object takes hosts out of what the sidecars of its namespace (or of some of its pods, or of all namespaces
without one) know. A rule that leads to one of these fails each call there, and nobody refuses it.
Source: networking.istio.io/v1 Sidecar; istio ``pilot/pkg/model/sidecar.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class _Scope(NamedTuple):
    namespace: str
    name: str
    some: bool
    """Whether it is for some pods alone."""
    hosts: tuple[tuple[str, str], ...]
    """Namespaces (``*``: all) and hosts, or wildcards of such."""

    def shows(self, host: str, namespace: str) -> bool:
        return any(
            where in ("*", namespace) and (host == each or (each.startswith("*") and host.endswith(each[1:])))
            for where, each in self.hosts
        )


class Scopes:
    """The ``Sidecar`` objects of a cluster. ``root`` is Istio's root namespace: one there is the default of all."""

    def __init__(self, sidecars: Iterable[Mapping[str, Any]], root: str) -> None:
        self._root = root
        self._scopes = sorted(filter(None, map(_scope, sidecars)))

    def hides(self, host: str) -> list[str]:
        """From whom a Service's host is hidden, and by what; in words, in order."""
        namespace = host.partition(".")[2].partition(".")[0]
        return [self._whom(each) for each in self._scopes if not each.shows(host, namespace)]

    def _whom(self, each: _Scope) -> str:
        by = f"Sidecar {each.namespace}/{each.name}"
        if each.namespace == self._root and not each.some:
            return f"namespaces without a Sidecar of their own ({by})"
        return f"{'some pods of ' if each.some else ''}namespace {each.namespace} ({by})"


def _scope(found: Mapping[str, Any]) -> _Scope | None:
    """None for one that hides nothing: it says nothing of egress."""
    metadata, spec = found["metadata"], found.get("spec")
    egress = spec.get("egress") if isinstance(spec, Mapping) else None
    if not isinstance(spec, Mapping) or not isinstance(egress, list) or not egress:
        return None
    namespace = str(metadata.get("namespace") or "")
    hosts = []
    for each in egress:
        listed = each.get("hosts") if isinstance(each, Mapping) else None
        for text in listed if isinstance(listed, list) else ():
            where, _, host = str(text).rpartition("/")
            hosts.append((namespace if where == "." else where or namespace, host))
    return _Scope(namespace, str(metadata["name"]), bool(spec.get("workloadSelector")), tuple(hosts))
