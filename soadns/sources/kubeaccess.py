"""What a Kubernetes cluster lets soadns read, asked of the API server itself, and the RBAC rules that are missing.

The API server is asked by SelfSubjectAccessReview (authorization.k8s.io/v1), which everybody may create; nothing is
read but its version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError, Resource
from soadns.sources.kube import NODES, SERVICES, SLICES, KubeSettings
from soadns.yamlfile import dump

_NAMESPACES = Resource("Namespace", "namespaces", namespaced=False)
_READ_SERVICES = '- {apiGroups: [""], resources: [services], verbs: [get, list, watch]}'
_READ_SLICES = "- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}"
_READ_NODES = '- {apiGroups: [""], resources: [nodes], verbs: [get, list, watch]}'
_IDENTIFY = '- {apiGroups: [""], resources: [namespaces], resourceNames: [kube-system], verbs: [get]}'
"""Its UID tells clusters apart, so that no snapshot of another one is believed."""
_NO_NODES = (
    "may not, so providers that registered a node's address with a nodePort are not matched with their Service; "
    "kubernetes[].nodes: never says that this is meant"
)
_NO_IDENTITY = "may not get it: a snapshot of another cluster could not be told from this one's"


@dataclass(frozen=True, slots=True)
class Access:
    """One thing that the source does."""

    what: str
    problem: str = ""
    """Why it can not be done, where the source can not do without; empty when it works."""
    note: str = ""
    """What is missed for want of it, where the source goes on without."""
    cure: str = ""
    """RBAC rules that permit it, as YAML."""


async def probe(settings: KubeSettings, api: KubeApi) -> list[Access]:
    """Try what the source needs: whether the API server answers first, then each permission."""
    try:
        await api.get("/version")
    except (ApiError, KubeConfigError) as error:
        return [Access("connect to the API server", str(error))]
    found = [Access("connect to the API server")]
    for resource in (SERVICES, SLICES):
        for namespace in settings.namespaces or ("",):
            what, missing = await _may_follow(api, resource, namespace)
            found.append(Access(what, missing, cure=rbac(settings) if missing else ""))
    if settings.nodes != "never":
        found.append(await _nodes(settings, api))
    # The request's namespace is the one it asks for, so that a Role in kube-system permits it, too.
    identified = await may(api, "get", _NAMESPACES, "kube-system", name="kube-system")
    missing, cure = ("", "") if identified else (_NO_IDENTITY, rbac(settings))
    return [*found, Access("get namespace kube-system", missing, cure=cure)]


async def _nodes(settings: KubeSettings, api: KubeApi) -> Access:
    what, missing = await _may_follow(api, NODES, "")
    if not missing:
        return Access(what)
    if settings.nodes == "always":
        return Access(what, missing, cure=rbac(settings))
    cure = role("", "soadns-nodes", [_READ_NODES]) if settings.namespaces else rbac(settings)
    return Access(what, note=_NO_NODES, cure=cure)


async def _may_follow(api: KubeApi, resource: Resource, namespace: str) -> tuple[str, str]:
    """What is tried, and what of it is not permitted."""
    where = f" in {namespace}" if namespace else ""
    missing = [verb for verb in ("list", "watch") if not await may(api, verb, resource, namespace)]
    text = f"may not {' or '.join(missing)} {resource.plural}{where}" if missing else ""
    return f"list and watch {resource.plural}{where}", text


async def may(api: KubeApi, verb: str, resource: Resource, namespace: str, *, name: str = "") -> bool:
    """Whether one thing is permitted; ``''``: in all namespaces, or whatever its name is."""
    attributes = {
        "verb": verb, "group": resource.group, "resource": resource.plural, "namespace": namespace, "name": name,
    }  # fmt: skip
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    try:
        body = await api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool(msgspec.json.decode(body)["status"]["allowed"])
    except (ApiError, msgspec.MsgspecError, LookupError, TypeError):
        return False


def rbac(settings: KubeSettings) -> str:
    """The RBAC rules the source needs, as YAML: a ClusterRole, or a Role in each of its namespaces."""
    read = [_READ_SERVICES, _READ_SLICES]
    if not settings.namespaces:
        return role("", "soadns", [*read, *([_READ_NODES] if settings.nodes != "never" else []), _IDENTIFY])
    roles = dict.fromkeys(settings.namespaces, read)
    roles["kube-system"] = [*roles.get("kube-system", []), _IDENTIFY]
    documents = [role(namespace, "soadns", rules) for namespace, rules in roles.items()]
    if settings.nodes == "always":
        documents.append(role("", "soadns-nodes", [_READ_NODES]))
    return "---\n".join(documents)


def role(namespace: str, name: str, rules: Iterable[str]) -> str:
    """A Role as YAML, or a ClusterRole (``''``)."""
    lines = ["apiVersion: rbac.authorization.k8s.io/v1", f"kind: {'Role' if namespace else 'ClusterRole'}"]
    where = [f"  {dump({'namespace': namespace}).rstrip()}"] if namespace else []  # one may be called 08
    lines += ["metadata:", f"  name: {name}", *where, "rules:"]
    return "\n".join([*lines, *rules]) + "\n"
