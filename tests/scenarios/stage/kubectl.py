"""What ``kubectl`` does on pages, done through the API server: it annotates Services, and lists or deletes by label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import yaml

from tests.scenarios.stage.istiokinds import GROUP, KINDS
from tests.scenarios.stage.kubernetes import ApiServer
from tests.scenarios.stage.stage import Service

_FILTERS, _VERSION = KINDS["EnvoyFilter"]
_COLLECTIONS = {
    "envoyfilters": (f"/apis/{GROUP}/{_VERSION}", f"envoyfilter.{GROUP}"),
    "configmaps": ("/api/v1", "configmap"),
}
"""Where objects of a kind are, and what it is called when one is deleted."""


class Kubectl:
    """``kubectl`` of a story whose Services are known by name."""

    def __init__(self, api: ApiServer, services: Mapping[str, Service]) -> None:
        self._api = api
        self._services = services

    def run(self, words: list[str]) -> str:
        """``annotate service NAME SETTING...``, ``get|delete KIND -A|-n NAMESPACE -l LABEL [-o yaml]``."""
        verb, *rest = words
        if verb == "annotate":
            return self._annotate([word for word in rest if word != "--overwrite"])
        kind, *rest = rest
        namespace = rest[rest.index("-n") + 1] if "-n" in rest else ""
        found = self._labelled(kind, namespace, rest[rest.index("-l") + 1])
        if verb == "delete":
            return "".join(self._delete(kind, each) for each in found) or "No resources found\n"
        assert verb == "get", verb
        if "-o" in rest:
            return yaml.safe_dump({"kind": "List", "items": found})
        rows = [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in found]
        return "".join(f"{where}   {name}\n" for where, name in rows) or "No resources found\n"

    def _annotate(self, words: list[str]) -> str:
        kind, name, *settings = words
        assert kind == "service"
        pairs = (setting.removeprefix("soadns.io/").partition("=") for setting in settings)
        self._services[name].annotate(**{key.removesuffix("-"): text for key, _, text in pairs})
        return f"service/{name} annotated\n"

    def _labelled(self, kind: str, namespace: str, label: str) -> list[dict[str, Any]]:
        root, _ = _COLLECTIONS[kind]
        within = f"/namespaces/{namespace}" if namespace else ""
        path = f"{root}{within}/{kind}?labelSelector={quote(label)}"
        return [dict(each) for each in self._api.request("GET", path)["items"]]

    def _delete(self, kind: str, document: dict[str, Any]) -> str:
        root, title = _COLLECTIONS[kind]
        metadata = document["metadata"]
        self._api.request("DELETE", f"{root}/namespaces/{metadata['namespace']}/{kind}/{metadata['name']}")
        return f'{title} "{metadata["name"]}" deleted\n'
