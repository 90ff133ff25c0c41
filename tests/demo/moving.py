"""The chapter of sidecars: an interface moves between two Services, and back, under the connections of its callers.

Each step does what an operator does, shows it, and asserts that it held.
"""

from __future__ import annotations

from typing import Any

from tests.demo.callers import Calls
from tests.demo.teller import Teller
from tests.demo.workloads import Pod

STOCK, PRICE = "com.example.stock.StockService", "com.example.stock.PriceService"
STAYS, MOVES = "Stock of", "Price of"
"""What lines of basket begin with."""
BASKETS = {"basket-envoy": "Envoy", "basket-mosn": "MOSN"}
ADS_PORT = 15010
STEPS = 4


def ads(address: str) -> dict[str, Any]:
    """The section ``sidecar`` of the settings of a replica, by its address."""
    return {"ads": {"listen": f"{address}:{ADS_PORT}"}}


class Moving(Teller):
    """What happens to the two baskets."""

    baskets: dict[str, Calls]
    """By Deployment: the calls of its one pod, since it is accompanied and at work."""
    connected: dict[str, str]
    """What each had for a connection then."""

    def tell(self) -> None:
        """All of it. Raises AssertionError where a step does not hold."""
        self.accompanied()
        self.moved_by_envoy()
        self.moved_by_mosn()
        self.moved_back()

    # ------------------------------------------------------------------ what is asked again and again

    @property
    def at(self) -> str:
        """The ClusterIP that both interfaces were called at in the beginning."""
        return self.cluster.services["stock"].cluster_ip

    def only_pod(self, name: str) -> Pod:
        """The one that runs of a Deployment."""
        [pod] = self.cluster.pods[name]
        return pod

    def call_prices_at(self, name: str, *baskets: str) -> None:
        """Wait until baskets are answered by the pod of a Deployment when they ask for prices."""
        pod = self.only_pod(name)
        for each in baskets:
            calls = self.baskets[each].about(MOVES)
            self.screen.until(
                f"{calls.pod.name} asks {pod.name} for prices",
                lambda calls=calls: calls.reached(pod, at_least=20),  # type: ignore[misc]
                within=60.0,
            )

    def connection(self, basket: str) -> str:
        """The connections of a basket to the ClusterIP, as they are shown: there is one."""
        self.shell.stand_in(self.baskets[basket].pod.home.place)
        self.screen.note(f"in {self.baskets[basket].pod.name}")
        shown = self.types(f"ss -Htn state established dst {self.at}", f"{self.at}]:20880")
        assert len(shown.splitlines()) == 1, "there is more than one connection"
        return shown.split()[2]

    def held(self, basket: str, *prices_by: str) -> None:
        """No call of a basket failed, its connection is the one it had, and each interface was where it should be."""
        calls = self.baskets[basket]
        self.shows(calls)
        assert self.connection(basket) == self.connected[basket], "the connection was cut"
        self.screen.note("it is the connection that there was")
        assert not calls.failed, calls.failed[-1]
        assert set(calls.about(STAYS).by) == {self.only_pod("stock").name}
        assert set(calls.about(MOVES).by) == {self.only_pod(name).name for name in prices_by}
        self.screen.measured(f"{calls.pod.name}, over one connection: {calls}")

    # ------------------------------------------------------------------ the steps

    def accompanied(self) -> None:
        why = (
            "What moved so far was followed by who connected anew. A sidecar looks at each request. stock provides "
            "two interfaces at one ClusterIP, and basket calls both, more than twenty times a second, over one "
            "connection. It runs twice: one pod has an Envoy, the other one a MOSN, and what is called at ClusterIPs "
            "goes through that. Both are told by soadns where requests go; nothing of it takes Istio."
        )
        with self.screen.step("Two interfaces at one ClusterIP, and callers with sidecars", why):
            self.applies("stock.yaml")
            resolve = f"soadns resolve {self.at}:20880 {PRICE}"
            known = lambda: "goes       home/shop/stock port 20880" in self.shell.type(resolve)  # noqa: E731
            self.screen.until("soadns knows the interface", known, within=30.0)
            # Whoever is told by the other replica is listed by that one alone, and sidecars choose by lot.
            servers = f"{self.town.soadns[0].home.ip}:{ADS_PORT}"
            self.types(
                f"soadns export envoy basket-envoy --ads {servers} --node basket-envoy.shop", "envoy -c"
            )
            self.configures("basket-envoy", "basket-envoy/bootstrap.json")
            self.types(
                f"soadns export mosn --node basket-mosn.shop --namespace shop --ads {servers} > mosn.json"
            )
            self.configures("basket-mosn", "mosn.json")
            self.applies("basket.yaml", *(f"{name}.yaml" for name in BASKETS))
            self.baskets = {name: self.consumer(name) for name in BASKETS}
            self.call_prices_at("stock", *BASKETS)
            for calls in self.baskets.values():
                self.shows(calls)
            self.connected = {name: self.connection(name) for name in BASKETS}
            self.all_told()
            # The first calls of a JVM load classes: for longer than a call may take, where much else starts.
            self.baskets = {name: calls.now() for name, calls in self.baskets.items()}

    def all_told(self) -> None:
        """Both sidecars are told by soadns; a MOSN asks it some seconds after its start."""
        names = [f"{name}.shop" for name in BASKETS]
        listed = lambda: all(name in self.shell.type("soadns mesh nodes") for name in names)  # noqa: E731
        self.screen.until("soadns tells both sidecars", listed, within=30.0)
        self.types("soadns mesh nodes", *names)

    def configures(self, name: str, file: str) -> None:
        """Make a ConfigMap of a file that was written."""
        text = (self.shell.folder / file).read_text(encoding="utf-8")
        done = self.cluster.config_map(name, file.rpartition("/")[2], text)
        self.kubectl(f"create configmap {name} --from-file={file}", done)

    def moved_by_envoy(self) -> None:
        why = (
            "price starts, and its annotation says that PriceService is its own. stock provides that interface "
            "still, and callers are connected to stock: by names alone they would stay there. Their sidecars are "
            "told, and send requests for prices to price from then on, those for the stock where they went."
        )
        with self.screen.step("An interface moves while it is called: through Envoy", why):
            self.applies("price.yaml")
            self.call_prices_at("price", "basket-envoy")
            self.types(
                f"soadns resolve {self.at}:20880 {PRICE}", "it has moved", "home/shop/price port 20880"
            )
            self.held("basket-envoy", "stock", "price")

    def moved_by_mosn(self) -> None:
        why = "The same move, at the same time, as the other basket saw it."
        with self.screen.step("The same through MOSN", why):
            self.call_prices_at("price", "basket-mosn")
            self.held("basket-mosn", "stock", "price")

    def moved_back(self) -> None:
        why = "The annotation is price's no more, but stock's. Both provide the interface all the time."
        with self.screen.step("And back", why):
            for service, setting, text in (("price", "-", ""), ("stock", f"={PRICE}", PRICE)):
                done = self.cluster.annotate(service, interfaces=text)
                self.kubectl(f"annotate service {service} soadns.io/interfaces{setting}", done)
            self.call_prices_at("stock", *BASKETS)
            for name in BASKETS:
                self.held(name, "stock", "price")
            self.all_told()
