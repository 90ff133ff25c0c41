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
    "Sidecar": ("sidecars", "v1"),
}


def define(api: ApiServer) -> None:
    """Have the API server know the kinds, if it does not yet."""
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


def deny_filters(api: ApiServer, story: str, part: str, *, root: str) -> None:
    """The API server lets nobody write an EnvoyFilter of a story's Services that are called so."""
    group = "/apis/admissionregistration.k8s.io/v1"
    kept = "application/apply-patch+yaml"
    name = f"{story}.soadns.test"
    resources = [
        {
            "apiGroups": [GROUP], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
            "resources": ["envoyfilters"],
        }
    ]  # fmt: skip
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail", "matchConstraints": {"resourceRules": resources},
            "validations": [
                {
                    "expression": f"!object.metadata.name.startsWith('soadns-{story}-{part}-')",
                    "message": f"no filter for {part}",
                }
            ],
        },
    }  # fmt: skip
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]},
    }  # fmt: skip
    for plural, document in (("policies", policy), ("policybindings", binding)):
        path = f"{group}/validatingadmission{plural}/{name}?fieldManager=test&force=true"
        api.request("PATCH", path, document, kind=kept)
    probe = f"soadns-{story}-{part}-probe"

    def denied() -> bool:
        try:
            apply(api, "EnvoyFilter", root, probe, {"priority": 1})
        except AssertionError as error:
            return f"no filter for {part}" in str(error)
        api.request("DELETE", f"{collection_of('EnvoyFilter', root)}/{probe}")
        return False

    assert eventually(denied, within=20.0)


def _served(api: ApiServer, kind: str) -> bool:
    try:
        api.request("GET", collection_of(kind, "default"))
    except AssertionError:
        return False
    return True


def remove_all(api: ApiServer, story: str) -> None:
    """Delete every object of the kinds in the namespaces of a story, whoever wrote it."""
    for kind, (plural, version) in KINDS.items():
        for item in api.request("GET", f"/apis/{GROUP}/{version}/{plural}")["items"]:
            name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
            if namespace == story or namespace.startswith(f"{story}-"):
                api.request("DELETE", f"{collection_of(kind, namespace)}/{name}")
