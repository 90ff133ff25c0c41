"""Istio's kinds in the API server, without Istio: whatever they hold is kept as it is."""

from __future__ import annotations

from typing import Any

from tests.scenarios.stage.kubernetes import ApiServer
from tests.scenarios.stage.process import eventually

GROUP = "networking.istio.io"
KINDS = {
    "EnvoyFilter": ("envoyfilters", "v1alpha3"),
    "VirtualService": ("virtualservices", "v1"),
    "DestinationRule": ("destinationrules", "v1"),
}


def define(api: ApiServer) -> None:
    """Have the API server know the three kinds, if it does not yet."""
    for kind, (plural, version) in KINDS.items():
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {
                    "kind": kind,
                    "plural": plural,
                    "singular": kind.lower(),
                    "listKind": f"{kind}List",
                },
                "versions": [
                    {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
                ],
            },
        }
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{GROUP}"
        kept = "application/apply-patch+yaml"
        api.request("PATCH", f"{path}?fieldManager=test&force=true", definition, kind=kept)
    for kind in KINDS:
        assert eventually(lambda each=kind: _served(api, each), within=20.0), f"{kind} is not served"


def collection_of(kind: str, namespace: str) -> str:
    """The path of a kind's objects."""
    plural, version = KINDS[kind]
    return f"/apis/{GROUP}/{version}/namespaces/{namespace}/{plural}"


def apply(api: ApiServer, kind: str, namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Write one as somebody else than soadns."""
    _, version = KINDS[kind]
    metadata = {"name": name, "namespace": namespace}
    document = {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": metadata, "spec": spec}
    path = f"{collection_of(kind, namespace)}/{name}?fieldManager=test&force=true"
    return dict(api.request("PATCH", path, document, kind="application/apply-patch+yaml"))


def _served(api: ApiServer, kind: str) -> bool:
    try:
        api.request("GET", collection_of(kind, "default"))
    except AssertionError:
        return False
    return True
