"""What files hold: read, passed over, or rejected with file, line and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from soadns.commands import checks
from soadns.model import Provider, Service
from soadns.settings.configfile import parse
from soadns.sources import manifests

# Each document, and what becomes of it.
DOCUMENTS = {
    "kind: Service\nmetadata: {name: user}": "+ user",
    "apiVersion: v1\nkind: Service\nmetadata: {name: user}": "+ user",
    "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: user}": "passed over: Service 1",
    "apiVersion: apps/v1\nkind: Deployment": "passed over: Deployment 1",
    "kind: ConfigMap": "passed over: ConfigMap 1",
    "apiVersion: v1\nkind: Namespace": "passed over: Namespace 1",
    "apiVersion: networking.istio.io/v1\nkind: VirtualService": "passed over: VirtualService 1",
    "apiVersion: example.com/v1\nkind: AllowList\nspec: {}": "passed over: AllowList 1",
    "kind: List\nitems: [{kind: Secret}, {kind: Secret}]": "passed over: Secret 2",
    "kind: ServiceList\nitems: [{metadata: {name: user}}, {metadata: {name: pay}}]": "+ user; + pay",
    "kind: List\nitems: []": "",
    "kind: Foo": "line 3: unknown-kind: the kind 'Foo' is neither Kubernetes' nor ours; expected Service, "
    "EndpointSlice, Node, List or Providers (docs/static.md)",
    "apiVersion: v1\nkind: Provider": "line 3: unknown-kind: the kind 'Provider' is neither Kubernetes' nor ours; "
    "did you mean Providers?",
    "kind: service": "line 3: unknown-kind: the kind 'service' is neither Kubernetes' nor ours; did you mean Service?",
    "kind: [Service]": "line 3: unknown-kind: the kind \"['Service']\" is neither Kubernetes' nor ours; "
    "did you mean Service?",
    "metadata: {name: user}": "line 3: no-kind: a document has no kind; expected Service, EndpointSlice, Node, List "
    "or Providers (docs/static.md)",
    "[1, 2]": "line 3: bad-object: a document is no mapping; expected Service, EndpointSlice, Node, List or Providers "
    "(docs/static.md)",
    "kind: List\nitems: {}": "line 3: bad-object: items of a List is no list",
    "kind: Providers": "line 3: bad-object: a Providers document needs a spec (docs/static.md)",
    "kind: Providers\nspec: {dialect: hsf}": "line 3: bad-object: spec.dialect is 'hsf'; known are dubbo and sofa",
    "kind: Providers\nspec: {providers: {A: dubbo}}": "line 3: bad-object: spec.providers[A] is no list of URLs",
    "kind: Providers\nspec: {providers: [A]}": "line 3: bad-object: spec.providers maps interfaces to lists of URLs",
    "kind: Providers\nspec: {providers: {A: ['dubbo://10.9.0.1:20880/A', 'dubbo://10.9.0.2/A']}}": "+ A; line 3: "
    "providers of A: dubbo://10.9.0.2/A: no-port: 10.9.0.2 has no port; a provider must register host:port",
    "kind: Service\nmetadata: {name: user}\nspec: {clusterIPs: [ten]}": "line 3: Service default/user: bad-address: "
    "spec.clusterIPs holds 'ten', which is no IP address",
    "kind: Service\nmetadata: {name: user}\nspec: {clusterIPs: [10.96.0.\u0661]}": "line 3: Service default/user: "
    "bad-address: spec.clusterIPs holds '10.96.0.\u0661', which is no IP address",
}


def told(text: str) -> str:
    found = manifests.read(text.encode(), name="f.yaml", source="static/f", cluster="home")
    said = []
    for value in found.values.values():
        if isinstance(value, Service):
            said.append(f"+ {value.ref.name}")
        elif isinstance(value, Provider):
            said.append(f"+ {value.interface}")
    said += [f"{r.where.removeprefix('f.yaml ')}: {r.reason}: {r.detail}" for r in found.rejected]
    said += [f"passed over: {kind} {count}" for kind, count in found.passed_over.items()]
    return "; ".join(said)


@pytest.mark.parametrize("text", DOCUMENTS)
def test_a_document_is_read_passed_over_or_rejected_with_its_line(text: str) -> None:
    assert told(f"# a file\n---\n{text}\n") == DOCUMENTS[text]


def test_a_document_that_is_rejected_does_not_cost_its_neighbours() -> None:
    said = told(
        "kind: Service\nmetadata: {name: user}\n---\nkind: Foo\n---\nkind: Service\nmetadata: {name: pay}\n"
    )
    assert said.startswith("+ user; + pay; line 4: unknown-kind")


async def test_check_names_what_is_rejected_and_counts_what_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        "kind: ConfigMap\n---\nkind: Deployment\n---\nkind: ConfigMap\n---\nkind: Foo\n"
    )
    config = parse(f"static: [{{name: files, paths: [{tmp_path}]}}]", where="test")
    rejected, others = await checks.check(config)
    assert rejected.what == f"{tmp_path}/all.yaml line 7"
    assert rejected.problem.startswith("unknown-kind: the kind 'Foo' is neither")
    assert (others.what, others.problem) == (
        "pass over 3 objects that are not for soadns (ConfigMap 2, Deployment 1)",
        "",
    )
