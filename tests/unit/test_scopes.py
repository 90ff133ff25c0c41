"""Which hosts Istio's ``Sidecar`` objects hide, and from whom."""

from __future__ import annotations

from typing import Any

import pytest

from soadns.sidecar.scopes import Scopes

HOST = "account.shop.svc.cluster.local"


def sidecar(*hosts: str, namespace: str = "web", name: str = "default", **spec: Any) -> dict[str, Any]:
    egress = {"egress": [{"hosts": list(hosts)}]} if hosts else {}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {**egress, **spec}}


@pytest.mark.parametrize(
    "hosts",
    [
        ("*/*",),
        ("shop/*",),
        (f"shop/{HOST}",),
        ("*/*.cluster.local",),
        ("istio-system/*", "shop/*.shop.svc.cluster.local"),
        (),
    ],
)
def test_what_is_shown_is_not_hidden(hosts: tuple[str, ...]) -> None:
    assert Scopes([sidecar(*hosts)], "istio-system").hides(HOST) == []


@pytest.mark.parametrize("hosts", [("./*",), ("~/*",), ("web/*",), ("shop/user.shop.svc.cluster.local",)])
def test_what_is_not_shown_is_hidden_from_a_namespace(hosts: tuple[str, ...]) -> None:
    found = Scopes([sidecar(*hosts)], "istio-system").hides(HOST)
    assert found == ["namespace web (Sidecar web/default)"]


def test_a_namespace_shows_its_own_by_a_dot() -> None:
    assert Scopes([sidecar("./*", namespace="shop")], "istio-system").hides(HOST) == []


def test_it_is_said_from_whom() -> None:
    all_of_them = [
        sidecar("./*", name="few", workloadSelector={"labels": {"app": "x"}}),
        sidecar("./*", namespace="istio-system"),
        {"metadata": {"name": "odd", "namespace": "web"}, "spec": {"egress": "x"}},
        {"metadata": {"name": "odder", "namespace": "web"}, "spec": {"egress": [{"hosts": 5}]}},
    ]
    assert Scopes(all_of_them, "istio-system").hides(HOST) == [
        "namespaces without a Sidecar of their own (Sidecar istio-system/default)",
        "some pods of namespace web (Sidecar web/few)",
        "namespace web (Sidecar web/odder)",
    ]
