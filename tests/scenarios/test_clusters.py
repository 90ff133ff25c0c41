"""Two real clusters with the same Service CIDR, label selectors that a real API server judges, and claims."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scenarios.stage.kubernetes import ADMIN, ApiServer, Etcd
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.stage import RULES, Service, Stage

SAME = "10.96.199.7"
"""Taken in either cluster."""
BALANCER = "203.0.113.9"
USER, PAY, TWIN, ALONE = (f"com.alipay.{name}.Facade" for name in ("user", "pay", "twin", "alone"))


@pytest.fixture
def east(stage: Stage) -> Iterator[ApiServer]:
    """Another cluster, with the story's namespace."""
    etcd = Etcd(stage.folder / "east-etcd")
    server = ApiServer(stage.folder / "east-api-server", etcd)
    try:
        server.start()
        server.create_namespace(stage.namespace)
        server.grant(RULES)
        yield server
    finally:
        server.kill()
        etcd.process.kill()


def both(stage: Stage, east: ApiServer, **of_east: object) -> Soadns:
    """soadns over both clusters, at home in the first."""
    settings = stage.settings()
    [home] = settings["kubernetes"]
    other = {"name": "east", "kubeconfig": str(east.kubeconfig()), "nodes": "never", **of_east}
    zone = {"name": ZONE, "namespaces": [stage.namespace], "cluster": "home", "clusters": ["east"]}
    return stage.soadns(kubernetes=[home, other], zones=[zone])


def remote(stage: Stage, east: ApiServer, name: str, interface: str, **spec: object) -> tuple[Service, str]:
    """A Service of the other cluster and the address of its pod, which registers an interface here."""
    ports = [{"name": "tcp-20880", "port": 20880, "protocol": "TCP"}]
    service = Service(east, stage.namespace, name, {"ports": ports, "selector": {"app": name}, **spec})
    ip = stage.new_ip()
    service.endpoint(ip)
    stage.process(ip, 20880, name).registers(interface)
    return service, ip


def balanced(east: ApiServer, service: Service) -> None:
    """What the controller of a cloud writes."""
    east.apply(
        {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": service.name, "namespace": service.namespace},
            "status": {"loadBalancer": {"ingress": [{"ip": BALANCER}]}},
        },
        subresource="status",
    )  # fmt: skip


def test_an_address_that_both_clusters_have_is_never_the_other_ones(stage: Stage, east: ApiServer) -> None:
    user = stage.service("user", clusterIP=SAME)
    stage.pod(user).registers(USER)
    pay, _ = remote(stage, east, "pay", PAY, clusterIP=SAME, type="LoadBalancer")
    assert (user.cluster_ip, pay.cluster_ip) == (SAME, SAME)
    balanced(east, pay)
    twin = stage.service("twin")
    there, _ = remote(stage, east, "twin", TWIN)
    _, ip = remote(stage, east, "alone", ALONE)
    soadns = both(stage, east)

    soadns.answers(USER, SAME)
    soadns.answers(PAY, BALANCER)
    soadns.answers(TWIN, twin.cluster_ip)
    soadns.answers(ALONE, ip)  # nothing leads to its Service from here
    assert twin.cluster_ip != there.cluster_ip
    assert soadns.explain(PAY)["service"] == f"east/{stage.namespace}/pay"
    [candidate] = [
        each for each in soadns.explain(ALONE)["candidates"] if each["service"].startswith("east/")
    ]
    assert candidate["verdict"] == "unreachable"

    # What is known of a cluster is kept while nobody can ask it; then it is asked again.
    east.kill()
    assert eventually(lambda: "stale: kube/east" in soadns.http("/readyz")[1], within=30.0)
    soadns.keeps_answering(PAY, BALANCER, seconds=4.0)  # longer than the linger
    soadns.answers(USER, SAME)
    east.start()
    assert eventually(lambda: "stale" not in soadns.http("/readyz")[1], within=60.0)
    pay.delete_with_endpoints()
    assert eventually(lambda: BALANCER not in soadns.dig(PAY).data, within=20.0)
    soadns.answers(USER, SAME)


def test_pods_of_a_flat_cluster_are_answered_themselves(stage: Stage, east: ApiServer) -> None:
    _, ip = remote(stage, east, "alone", ALONE)
    soadns = both(stage, east, flat=True)
    soadns.answers(ALONE, ip)
    found = soadns.explain(ALONE)
    assert (found["kind"], found["service"]) == ("headless", f"east/{stage.namespace}/alone")


def test_a_label_that_changes_takes_a_service_in_and_out_of_sight(stage: Stage) -> None:
    """The API server judges the cluster's selector, and tells who stops to fit as deleted; the zone judges its own."""
    settings = stage.settings()
    [cluster] = settings["kubernetes"]
    zone = {"name": ZONE, "namespaces": [stage.namespace], "selector": "stage=live"}
    soadns = stage.soadns(kubernetes=[cluster | {"selector": "team in (pay, user)"}], zones=[zone])
    user = stage.service("user")
    pod = stage.pod(user)
    pod.registers(USER)
    soadns.answers(USER, pod.host)  # it has no label

    def label(**labels: str | None) -> None:
        assert stage.api is not None
        path = f"/api/v1/namespaces/{stage.namespace}/services/user"
        stage.api.request(
            "PATCH", path, {"metadata": {"labels": labels}}, kind="application/merge-patch+json"
        )

    label(team="pay")
    assert eventually(lambda: seen(soadns, user), within=10.0)
    soadns.answers(USER, pod.host)  # the cluster shows it, and the zone does not look at it
    label(stage="live")
    soadns.answers(USER, user.cluster_ip)
    label(team="order")
    assert eventually(lambda: not seen(soadns, user), within=10.0)
    soadns.answers(USER, pod.host, within=20.0)
    label(team="user")
    soadns.answers(USER, user.cluster_ip)


def seen(soadns: Soadns, service: Service) -> bool:
    """Whether the source holds the Service, or its EndpointSlice alone."""
    return soadns.metric('soadns_source_observations{source="kube/home"}') > slices(service)


def slices(service: Service) -> int:
    """How many EndpointSlices there are: the selector is for Services."""
    items = service._api.request("GET", "/apis/discovery.k8s.io/v1/endpointslices", token=ADMIN)["items"]
    return len(items)


def test_a_claim_gives_names_to_a_namespace(stage: Stage) -> None:
    """Without it a declaration does not take what is served in another namespace."""
    assert stage.api is not None
    owner = f"{stage.namespace}-pay"
    stage.api.create_namespace(owner)
    shop = stage.service("shop")
    stage.pod(shop).registers("com.alipay.pay.Refund", "com.alipay.shop.Cart")
    ports = [{"name": "tcp-20880", "port": 20880, "protocol": "TCP"}]
    pay = Service(stage.api, owner, "pay", {"ports": ports, "selector": {"app": "pay"}})
    stage.at_the_end(pay.delete_with_endpoints)
    pay.endpoint(stage.new_ip())
    pay.annotate(interfaces="com.alipay.pay.Refund,com.alipay.shop.Cart")
    claims = [{"prefix": "com.alipay.pay.*", "namespace": owner}]
    soadns = stage.soadns(zones=[{"name": ZONE, "namespaces": [stage.namespace, owner], "claims": claims}])
    soadns.answers("com.alipay.pay.Refund", pay.cluster_ip)
    soadns.answers("com.alipay.shop.Cart", shop.cluster_ip)
    [lost] = [
        each
        for each in soadns.explain("com.alipay.shop.Cart")["candidates"]
        if each["service"] == f"home/{owner}/pay"
    ]
    assert lost["verdict"] == "conflict"
