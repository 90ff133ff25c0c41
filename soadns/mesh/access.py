"""What a cluster lets soadns do beside reading its Services, by what is configured, and the rules that are missing.

Asked of the API server (SelfSubjectAccessReview), which everybody may; nothing is written. Who soadns is there
(SelfSubjectReview) is asked as well, so that the commands that are missing can be typed as they are.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import NamedTuple

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError, Resource
from soadns.mesh import istiod, movefiles
from soadns.mesh.events import EVENTS
from soadns.mesh.istioreader import DESTINATION_RULES, ENVOY_FILTERS, GROUP, SIDECARS, VIRTUAL_SERVICES
from soadns.mesh.lease import LEASES, NAME
from soadns.mesh.sharedmoves import CONFIG_MAPS
from soadns.sidecar import drdsfiles
from soadns.sources.kubeaccess import Access, may, role

SHARE, ISTIO, TOLD = "soadns-share", "soadns-istio", "soadns-events"
"""Names of the roles."""
_READ, _WRITE = ("list", "watch"), ("create", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Wants:
    """What is configured."""

    namespace: str
    """soadns's own."""
    moves: bool
    events: bool
    mode: str
    """``none``, ``read`` or ``write``."""
    root_namespace: str
    try_first: str
    files: tuple[str, ...]
    """Namespaces of callers whose pods mount files of rules."""
    shards: int
    metrics: tuple[str, ...]
    """URLs of istiod's metrics."""
    namespaces: tuple[str, ...]
    """Those whose Services are read, and told of; ``()``: all."""


class Rule(NamedTuple):
    """What is done with one kind of object."""

    resource: Resource
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()
    """``()``: whatever they are called."""

    def yaml(self) -> str:
        """As RBAC has it."""
        verbs = ", ".join(self.verbs)
        parts = [f"apiGroups: [{self.resource.group or chr(34) * 2}]", f"resources: [{self.resource.plural}]"]
        parts += [f"resourceNames: [{', '.join(self.names)}]"] if self.names else []
        return f"- {{{', '.join([*parts, f'verbs: [{verbs}]'])}}}"


class Need(NamedTuple):
    """A role, in a namespace or in all (``''``)."""

    role: str
    namespace: str
    rules: tuple[Rule, ...]


def needs(wants: Wants) -> list[Need]:
    """The roles that what is configured takes."""
    found = []
    if wants.moves:
        lease = Rule(LEASES, ("get", "update"), (NAME,))
        moves = Rule(CONFIG_MAPS, ("update",), tuple(movefiles.names()))
        made = (Rule(LEASES, ("create",)), Rule(CONFIG_MAPS, (*_READ, "create")))
        found.append(Need(SHARE, wants.namespace, (made[0], lease, made[1], moves)))
    if wants.mode != "none":
        write = wants.mode == "write"
        kinds = (VIRTUAL_SERVICES, DESTINATION_RULES, SIDECARS, ENVOY_FILTERS)
        found.append(Need(ISTIO, "", tuple(Rule(kind, _READ) for kind in kinds)))
        filters = [Rule(ENVOY_FILTERS, _WRITE)] if write else []
        shared = tuple(drdsfiles.config_map_name(shard) for shard in range(wants.shards))
        files = [Rule(CONFIG_MAPS, (*_READ, "create") if write else _READ)]
        files += [Rule(CONFIG_MAPS, ("patch",), shared)] if write else []
        for namespace in dict.fromkeys((wants.root_namespace, wants.try_first, *wants.files)):
            rules = [*filters, *(files if namespace in wants.files else [])]
            if namespace and rules:
                found.append(Need(ISTIO, namespace, tuple(rules)))
    if wants.events:
        tell = (Rule(EVENTS, ("create", "patch")),)
        found += [Need(TOLD, namespace, tell) for namespace in dict.fromkeys(wants.namespaces or ("",))]
    return found


async def probe(wants: Wants, api: KubeApi) -> list[Access]:
    """Each permission that what is configured takes, Istio's kinds, and istiod's metrics."""
    required = needs(wants)
    if not required:
        return []
    try:
        await api.get("/version")
    except (ApiError, KubeConfigError):
        return []  # which is told with the Services of the cluster
    missing = [await _missing(api, need) for need in required]
    lacking = [need for need, found in zip(required, missing, strict=True) if any(found)]
    cure = await _cure(api, lacking) if lacking else ""
    found = []
    for need, absent in zip(required, missing, strict=True):
        where = f" in {need.namespace}" if need.namespace else ""
        for rule, verbs in zip(need.rules, absent, strict=True):
            which = f" ({rule.names[0]}{' ...' if len(rule.names) > 1 else ''})" if rule.names else ""
            what = f"{_and(rule.verbs)} {rule.resource.plural}{which}{where}"
            problem = f"may not {' or '.join(verbs)} {rule.resource.plural}{which}{where}" if verbs else ""
            found.append(Access(what, problem, cure=cure if verbs else ""))
    if wants.mode != "none":
        found.append(await _kinds(api))
        found += await asyncio.gather(*map(_metrics, wants.metrics))
    return found


async def _missing(api: KubeApi, need: Need) -> list[list[str]]:
    """By rule of a role: the verbs that are not permitted."""
    found = []
    for rule in need.rules:
        asked = [(verb, name) for verb in rule.verbs for name in rule.names or ("",)]
        answers = await asyncio.gather(
            *(may(api, verb, rule.resource, need.namespace, name=name) for verb, name in asked)
        )
        refused = {verb for (verb, _), allowed in zip(asked, answers, strict=True) if not allowed}
        found.append([verb for verb in rule.verbs if verb in refused])
    return found


async def _cure(api: KubeApi, lacking: list[Need]) -> str:
    """The roles, and as comments what binds them to who soadns is there."""
    roles = [role(need.namespace, need.role, [rule.yaml() for rule in need.rules]) for need in lacking]
    who = await _who(api)
    lines = []
    for need in lacking:
        kind = "role" if need.namespace else "clusterrole"
        where = f" -n {need.namespace}" if need.namespace else ""
        lines.append(f"# then: kubectl create {kind}binding {need.role}{where} --{kind}={need.role} {who}\n")
    return "---\n".join(roles) + "".join(lines)


async def _who(api: KubeApi) -> str:
    """The option of ``kubectl create rolebinding`` that says who soadns is."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = json.loads(await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", review))
        name = str(answer["status"]["userInfo"]["username"])
    except (ApiError, ValueError, LookupError, TypeError):
        return "--serviceaccount=NAMESPACE:NAME"
    account = name.removeprefix("system:serviceaccount:")
    return f"--serviceaccount={account}" if account != name else f"--user={name}"


async def _kinds(api: KubeApi) -> Access:
    what = f"know {GROUP}"
    try:
        await api.get(f"/apis/{GROUP}")
    except ApiError as error:
        if error.status == 404:
            return Access(
                what,
                "the cluster does not have Istio's kinds: install Istio, or set sidecar.istio.mode: none",
            )
        return Access(what, str(error))
    return Access(what)


async def _metrics(url: str) -> Access:
    what = f"read istiod's metrics at {url}"
    if problem := await asyncio.to_thread(istiod.tried, url):
        return Access(what, note=f"{problem}; what sidecars refuse stops nothing then")
    return Access(what)


def _and(verbs: tuple[str, ...]) -> str:
    return f"{', '.join(verbs[:-1])} and {verbs[-1]}" if len(verbs) > 1 else verbs[0]
