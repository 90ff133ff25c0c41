"""The story: an interface that is called by the registry alone is boarded, moved, and taken back.

Each step does what an operator does, shows it, and asserts that it held.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.demo.callers import Calls
from tests.demo.screen import Screen
from tests.demo.shell import Shell
from tests.demo.workloads import MANIFESTS, Workloads, documents
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE
from tests.scenarios.stage.town import Town

USER, PAY = "com.example.user.UserService", "com.example.pay.PayService"
SHOP_FILE, TILL_FILE = "shop.properties", "till.properties"
LOOKS = f"dig +noall +answer {USER}.{ZONE}"
CALLS_A_SECOND = 5
"""Of shop."""
STEPS = 6


class Story:
    """The world of the example, and what happens in it."""

    def __init__(self, screen: Screen, town: Town, folder: Path) -> None:
        self.screen = screen
        self.town = town
        self.shell = Shell(folder, town)
        self.cluster = Workloads(town)
        self.shop: Calls
        self.till: Calls

    def tell(self) -> None:
        """All of it. Raises AssertionError where a step does not hold."""
        self.by_the_registry()
        self.a_service()
        self.boarded()
        self.boarded_sofarpc()
        self.moved()
        self.taken_back()

    # ------------------------------------------------------------------ what is typed

    def types(self, command: str, *expected: str) -> str:
        """Type a command, and show it with what it prints, in which all this must be."""
        printed = self.shell.type(command)
        self.screen.typed(command, printed)
        missing = [text for text in expected if text not in printed]
        assert not missing, f"{command} does not say {missing}"
        return printed

    def kubectl(self, command: str, done: str) -> None:
        """Show what was done in place of ``kubectl``."""
        self.screen.typed(f"kubectl {command}", done)

    def applies(self, *files: str) -> None:
        """Apply manifests, and wait for what they start."""
        for file in files:
            self.kubectl(f"apply -f {file}", self.cluster.apply(file))
        self.screen.until("pods become ready", self.cluster.rolled_out, within=90.0)

    def consumer(self, name: str) -> Calls:
        """The calls of the pod that runs of a consumer."""
        [pod] = self.cluster.pods[name]
        return Calls(pod)

    def shows(self, calls: Calls) -> None:
        """What a consumer logs."""
        self.kubectl(f"logs {calls.pod.name} --tail=4", calls.tail())

    def answered_by(self, calls: Calls, *names: str, within: float = 45.0) -> None:
        """Wait until calls are answered by the pods of these Deployments, and show that."""
        pods = [pod for name in names for pod in self.cluster.pods[name]]
        who = " and ".join(pod.name for pod in pods)
        self.screen.until(
            f"{calls.pod.name} is answered by {who}", lambda: calls.reached(*pods), within=within
        )
        self.shows(calls)

    def leads_to(self, service: str) -> None:
        """Wait until pods find the name at a Service, and show it."""
        address = self.cluster.services[service].cluster_ip
        self.name_leads(f"to Service {service}", lambda printed: printed.split()[-1:] == [address])

    def name_leads(self, where: str, right: Callable[[str], bool]) -> None:
        """The same for any answer."""
        seconds = self.screen.until(
            f"the name leads {where}, as pods see it", lambda: right(self.shell.type(LOOKS)), within=30.0
        )
        self.screen.measured(f"in {seconds:.1f} s the name led {where}, behind CoreDNS with its cache")
        self.types(LOOKS)

    # ------------------------------------------------------------------ the steps

    def by_the_registry(self) -> None:
        why = (
            "The provider runs in two pods and registers in ZooKeeper, as it always did; consumers ask the "
            "registry. Kubernetes knows nothing of interfaces, and no Service is in front of these pods: what the "
            "name answers are addresses of single pods, which come and go. That is nothing to hand out to "
            "applications. soadns says so, and exports nothing."
        )
        with self.screen.step("As it was: calls go by the registry", why):
            self.applies("zookeeper.yaml", "user.yaml", "shop.yaml", "pay.yaml", "till.yaml")
            self.shop, self.till = self.consumer("shop"), self.consumer("till")
            self.shell.stand_in(self.shop.pod.home.place)
            self.answered_by(self.shop, "user")
            knows = lambda: USER in self.shell.type(f"soadns lookup {USER}")  # noqa: E731
            self.screen.until("soadns has read the registry", knows, within=20.0)
            self.types("soadns survey", f"{USER}", "no-service", "user")
            self.types("soadns export resolve --application shop", f"# {USER}: not safe to board")
            assert self.shell.status == 1
            self.types(LOOKS)

    def a_service(self) -> None:
        why = (
            "A Service is put in front of the pods; nothing is restarted, and nobody notices. soadns sees that "
            "all registered addresses of the interface are endpoints of this Service, so the name becomes the "
            "Service's."
        )
        with self.screen.step("A Service: now there is something to call by name", why):
            for file in ("user-service.yaml", "pay-service.yaml"):
                self.kubectl(f"apply -f {file}", self.cluster.apply(file))
            self.leads_to("user")
            self.types(
                f"soadns explain {USER}", "answered with Service home/shop/user", "2 of 2 endpoints ready"
            )
            can = "Applications that can board now: 2"
            self.screen.until(
                "both applications can board", lambda: can in self.shell.type("soadns survey"), within=20.0
            )
            self.types("soadns survey", can)

    def boarded(self) -> None:
        why = (
            "What shop calls is exported while it runs, and rolled out as a ConfigMap that Dubbo reads at its "
            "start: the same image, and options of the JVM. From then on it asks no registry for this interface. "
            "It connects to the ClusterIP, and kube-proxy brings it to a pod: one connection, so one pod."
        )
        with self.screen.step("shop is boarded: it calls by name", why):
            self.types(f"soadns export resolve --application shop > {SHOP_FILE}")
            assert self.shell.status == 0
            self.types(f"cat {SHOP_FILE}", f"{USER}=dubbo://{USER}.{ZONE}:20880")
            config, _ = documents("shop-boarded.yaml")
            assert (self.shell.folder / SHOP_FILE).read_text() == config["data"][
                "dubbo-resolve.properties"
            ], "the ConfigMap of shop-boarded.yaml is not what was exported"
            self.screen.note("this is the text in the ConfigMap of shop-boarded.yaml, to the letter")
            self.applies("shop-boarded.yaml")
            self.shop = self.consumer("shop")
            self.shell.stand_in(self.shop.pod.home.place)
            self.screen.until("calls are answered", lambda: self.shop.by.total() >= 5, within=60.0)
            self.shows(self.shop)
            assert set(self.shop.by) <= {pod.name for pod in self.cluster.pods["user"]}
            address = self.cluster.services["user"].cluster_ip
            self.types(f"ss -Htn state established dst {address}", f"{address}]:20880")
            self.looks_well(SHOP_FILE, "shop")

    def looks_well(self, file: str, application: str) -> None:
        """``soadns boarded`` finds nothing to look at, once the registry has forgotten the consumer's last session."""
        command = f"soadns boarded {file} --application {application}"
        self.screen.until(
            "soadns boarded finds all well", lambda: ": all well" in self.shell.type(command), within=20.0
        )
        self.types(command, "1 interface called by name: all well")

    def boarded_sofarpc(self) -> None:
        why = (
            "SOFARPC reads no such file: its directUrl is a setting of the application, here PAY_SERVICE_URL. It "
            "is given what soadns exports."
        )
        with self.screen.step("till, an application of SOFARPC, is boarded", why):
            export = "soadns export resolve --application till --format sofa"
            printed = self.types(f"{export} | tee {TILL_FILE}", f"{PAY}=bolt://{PAY}.{ZONE}:12200")
            [deployment] = documents("till-boarded.yaml")
            env = {
                each["name"]: each["value"]
                for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
            }
            assert f"{PAY}={env['PAY_SERVICE_URL']}\n" in printed, "till-boarded.yaml has another URL"
            self.applies("till-boarded.yaml")
            self.till = self.consumer("till")
            self.answered_by(self.till, "pay")
            self.looks_well(TILL_FILE, "till")

    def moved(self) -> None:
        why = (
            "The interface is to run in another Service. account starts with the same image; its annotation "
            "soadns.io/interfaces says whose the interface is, so the name is account's as soon as a pod there is "
            "ready. Then the old pods end: their connections break, and who connects anew asks for the name. No "
            "consumer is restarted, no file is changed."
        )
        with self.screen.step("The interface moves to another Service, and calls follow", why):
            self.applies("account.yaml")
            self.leads_to("account")
            self.types(f"soadns explain {USER}", "answered with Service home/shop/account")
            self.shows(self.shop)
            self.screen.note("the connection is where it was: a name decides where one is opened")
            moving = self.shop.now()
            with self.screen.waiting("the old pods end, which Dubbo does ten seconds after it was told to"):
                done = self.cluster.scale_to_none("user")
            self.kubectl("scale deployment user --replicas=0", done)
            self.answered_by(moving, "account")
            self.screen.measured(f"shop, from the order to end the old pods on: {moving}")
            assert not moving.failed, moving.failed[-1]
            address = self.cluster.services["account"].cluster_ip
            self.types(f"ss -Htn state established dst {address}", f"{address}]:20880")

    def taken_back(self) -> None:
        why = (
            "To take back at once, without a restart, the Service is annotated: the name then answers the "
            "addresses that the registry has, for whoever connects anew. To take back for good, shop starts "
            "without the file: it asks the registry, as in the beginning."
        )
        with self.screen.step("shop is taken back", why):
            done = self.cluster.annotate("account", traffic=f"{USER}=registry")
            self.kubectl(f"annotate service account soadns.io/traffic={USER}=registry", done)
            [pod] = self.cluster.pods["account"]
            self.name_leads(f"to {pod.name} itself", lambda printed: printed.split()[-1:] == [pod.home.ip])
            self.kubectl(
                "annotate service account soadns.io/traffic-", self.cluster.annotate("account", traffic="")
            )
            self.leads_to("account")
            self.applies("shop.yaml")
            self.shop = self.consumer("shop")
            self.answered_by(self.shop, "account")
            command = f"soadns boarded {SHOP_FILE} --application shop"
            asks = f"shop asks the registry for it at {self.shop.pod.home.ip}"
            eventually(lambda: asks in self.shell.type(command), within=20.0)
            self.types(command, asks)


def manifest_folder() -> str:
    """Where the manifests are, for people."""
    return str(MANIFESTS.relative_to(MANIFESTS.parents[2]))
