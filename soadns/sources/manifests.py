"""The text of one file of a static source: Kubernetes objects, provider URLs, and what is neither. Pure.

Each document is read or rejected alone, with the line at which it begins. A document whose meaning nobody can tell (no
kind, or one that neither Kubernetes nor soadns knows, most likely a slip of the pen) is *opaque*: it may be what held
something that the file held before, so its absence proves nothing. Manifest folders hold many objects that are not for
soadns; those are passed over and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from soadns import yamlfile
from soadns.model import Key, Observation, Rejected
from soadns.sources import FormatError, kubeobjects
from soadns.sources.dialects import DIALECTS
from soadns.sources.providerurl import without_secrets

PROVIDERS = "Providers"
EXPECTED = "expected Service, EndpointSlice, Node, List or Providers (docs/static.md)"
_GROUPS = {"Service": "", "EndpointSlice": "discovery.k8s.io", "Node": ""}
"""API groups of the kinds that are read; another group's Service (Knative's) is another thing."""
_KUBERNETES = frozenset({
    "Binding", "ComponentStatus", "ConfigMap", "CronJob", "DaemonSet", "Deployment", "Endpoints", "Event",
    "HorizontalPodAutoscaler", "Job", "LimitRange", "Namespace", "PersistentVolume", "PersistentVolumeClaim", "Pod",
    "PodDisruptionBudget", "PodTemplate", "ReplicaSet", "ReplicationController", "ResourceQuota", "Secret",
    "ServiceAccount", "StatefulSet",
})  # fmt: skip
"""Kinds of API groups without a dot in their name; those of the others are told by their apiVersion."""


@dataclass(slots=True)
class Contents:
    """What one file holds."""

    values: dict[Key, Observation] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    opaque: int = 0
    """How many documents, or parts of one, may be anything."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """Objects that are not for soadns, by kind."""


def read(text: bytes, *, name: str, source: str, cluster: str) -> Contents:
    """Read a file called ``name``. Raises YamlError where it is no YAML."""
    reader = _Reader(name, source, cluster)
    for document in yamlfile.documents(text, where=name):
        reader.document(document.value, document.line)
    return reader.contents


class _Reader:
    def __init__(self, name: str, source: str, cluster: str) -> None:
        self.contents = Contents()
        self._name = name
        self._source = source
        self._cluster = cluster
        self._line = 0

    def document(self, value: object, line: int) -> None:
        self._line = line
        kind = value.get("kind") if isinstance(value, dict) else None
        if isinstance(value, dict) and isinstance(kind, str) and kind.endswith("List") and "items" in value:
            items = value["items"]
            if not isinstance(items, list):
                self._opaque("bad-object", f"items of a {kind} is no list")
                return
            for item in items:
                inner = kind.removesuffix("List")
                self._item({"kind": inner, **item} if inner and isinstance(item, dict) else item)
        else:
            self._item(value)

    def _item(self, item: object) -> None:
        if not isinstance(item, dict):
            self._opaque("bad-object", f"a document is no mapping; {EXPECTED}")
            return
        if item.get("kind") is None:
            self._opaque("no-kind", f"a document has no kind; {EXPECTED}")
            return
        kind, version = str(item["kind"]), item.get("apiVersion", "")
        group = version.rpartition("/")[0] if isinstance(version, str) else ""
        if kind == PROVIDERS:
            self._providers(item)
        elif kind in kubeobjects.KINDS and (not version or group == _GROUPS[kind]):
            self._object(kind, item)
        elif kind in _KUBERNETES or "." in group:
            self.contents.passed_over[kind] += 1
        else:
            near = get_close_matches(kind, [*_GROUPS, PROVIDERS, "List"], n=1)
            hint = f"did you mean {near[0]}?" if near else EXPECTED
            self._opaque("unknown-kind", f"the kind {kind[:60]!r} is neither Kubernetes' nor ours; {hint}")

    def _object(self, kind: str, document: dict[str, object]) -> None:
        item = kubeobjects.from_object(kind, document, cluster=self._cluster)
        key = (self._name, *item.key)
        if item.value is not None:
            self.contents.values[key] = item.value
        elif item.reason:
            self._reject(key, item.where, item.reason, item.detail)

    def _providers(self, document: dict[str, object]) -> None:
        spec = document.get("spec")
        if not isinstance(spec, dict):
            self._opaque("bad-object", "a Providers document needs a spec (docs/static.md)")
            return
        dialect = DIALECTS.get(str(spec.get("dialect", "dubbo")))
        if dialect is None:
            known = " and ".join(DIALECTS)
            self._opaque("bad-object", f"spec.dialect is {spec['dialect']!r}; known are {known}")
            return
        for category in ("providers", "configurators"):
            for interface, leaves in self._leaves(category, spec.get(category) or {}):
                for leaf in leaves:
                    key = (self._name, interface, category, leaf)
                    try:
                        observations = dialect.parse(self._source, interface, category, leaf)
                    except FormatError as error:
                        where = f"{category} of {interface}: {without_secrets(leaf)}"
                        self._reject(key, where, error.reason, error.detail)
                        continue
                    for index, value in enumerate(observations):
                        self.contents.values[(*key, str(index))] = value

    def _leaves(self, category: str, value: object) -> Iterator[tuple[str, Sequence[str]]]:
        if not isinstance(value, dict):
            self._opaque("bad-object", f"spec.{category} maps interfaces to lists of URLs")
            return
        for interface, leaves in value.items():
            if isinstance(leaves, list) and all(isinstance(leaf, str) for leaf in leaves):
                yield str(interface), leaves
            else:
                self._opaque("bad-object", f"spec.{category}[{interface}] is no list of URLs")

    def _opaque(self, reason: str, detail: str) -> None:
        self.contents.opaque += 1
        key = (self._name, f"line {self._line}", reason, str(len(self.contents.rejected)))
        self._reject(key, "", reason, detail)

    def _reject(self, key: Key, what: str, reason: str, detail: str) -> None:
        where = f"{self._name} line {self._line}" + (f": {what}" if what else "")
        self.contents.rejected.append(Rejected(self._source, key, where, reason, detail))
