"""The story: an interface that is called by the registry alone is boarded, moved, and taken back.

Each step does what an operator does, shows it, and asserts that it held.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.demo.callers import Calls
from tests.demo.teller import Teller
from tests.demo.workloads import MANIFESTS, documents
from tests.scenarios.stage.soadns import ZONE

USER, PAY = "com.example.user.UserService", "com.example.pay.PayService"
SHOP_FILE, TILL_FILE = "shop.properties", "till.properties"
STEPS = 7
MOMENT_S = 3.0
"""Calls may fail that meet the moment. SOFARPC has the new address alone before it is connected at a move
(``AbstractCluster.updateAllProviders``); pods of Dubbo that end take back their services before they close connections,
and refuse what comes in between. Both take some milliseconds, or what they take on a machine that does much else: then
more than one call of a consumer is in it, for as long at most."""
SAYS, NO = '; echo "exit status $?"', "exit status 1"
"""What follows a command that is to fail, and what is printed then."""


class Story(Teller):
    """What happens to shop, till and guest."""

    shop: Calls
    till: Calls
    guest: Calls
    """Of one process from the beginning to the end."""

    def tell(self) -> None:
        """All of it. Raises AssertionError where a step does not hold."""
        self.by_the_registry()
        self.a_name()
        self.a_service()
        self.boarded()
        self.boarded_sofarpc()
        self.moved()
        self.taken_back()

    # ------------------------------------------------------------------ what is asked again and again

    def leads_to(self, service: str, interface: str = USER) -> None:
        """Wait until pods find the name of an interface at a Service, and show it."""
        address = self.cluster.services[service].cluster_ip
        self.name_leads(f"to Service {service}", lambda printed: printed.split()[-1:] == [address], interface)

    def name_leads(self, where: str, right: Callable[[str], bool], interface: str = USER) -> None:
        """The same for any answer."""
        looks = looks_up(interface)
        seconds = self.screen.until(
            f"the name leads {where}, as pods see it", lambda: right(self.shell.type(looks)), within=60.0
        )
        self.screen.measured(f"in {seconds:.1f} s the name led {where}, behind CoreDNS with its cache")
        self.types(looks)

    def nobody_lost(self, calls: Calls, since: str) -> None:
        """Every call of a consumer was answered, but for those of one moment."""
        self.screen.measured(f"{calls.pod.name}, {since}: {calls}")
        assert calls.failing_s <= MOMENT_S, calls.failed

    def declared_by(self, service: str, interface: str, *, no_more: str) -> None:
        """One Service's annotation has the interface, and another one's no more."""
        for name, setting, text in ((no_more, "-", ""), (service, f"={interface}", interface)):
            done = self.cluster.annotate(name, interfaces=text)
            self.kubectl(f"annotate service {name} soadns.io/interfaces{setting}", done)

    # ------------------------------------------------------------------ the steps

    def by_the_registry(self) -> None:
        why = (
            "The provider runs in two pods and registers in ZooKeeper, as it always did; consumers ask the "
            "registry. guest is the same consumer without a way to it: what it has is the name of the interface. "
            "Kubernetes knows nothing of interfaces, so that name leads nowhere, and each of its calls fails."
        )
        with self.screen.step("As it was: the registry leads to the interface, and no name does", why):
            self.applies("zookeeper.yaml", "user.yaml", "shop.yaml", "pay.yaml", "till.yaml", "guest.yaml")
            self.shop, self.till, self.guest = map(self.consumer, ("shop", "till", "guest"))
            self.shell.stand_in(self.guest.pod.home.place)
            self.answered_by(self.shop, "user")
            self.screen.until("guest has tried to call", lambda: len(self.guest.failed) >= 5, within=60.0)
            self.finds(self.guest, "grep -m1 UnknownHost", f"{USER}.{ZONE}")
            self.finds(self.guest, "grep Greeter | tail -1 | cut -c-120", "RpcException")
            assert not self.guest.by, "somebody has answered guest"
            self.types(f"dig +noall +comments {USER}.{ZONE}", "status: NXDOMAIN")

    def a_name(self) -> None:
        why = (
            "Two replicas of soadns read the registry, and CoreDNS gets the block of their zone; nothing else "
            "is changed. The name leads to who registers the interface. No Service is in front of these pods yet: "
            "what the name answers are addresses of single pods, which come and go. That is nothing to hand out to "
            "applications. soadns says so, and exports nothing. But who has the name can call: guest does not "
            "restart, and is answered as soon as Java has forgotten that there was no such name."
        )
        with self.screen.step("soadns: the interface has a name, and can be called", why):
            with self.screen.waiting("soadns starts, twice"):
                self.town.install()
            self.shell.ask(self.town.operator)
            self.screen.note("two replicas as in soadns.yaml, each behind a ClusterIP of its own")
            knows = lambda: USER in self.shell.type(f"soadns lookup {USER}")  # noqa: E731
            self.screen.until("soadns has read the registry", knows, within=60.0)
            self.town.forward()
            self.screen.note("CoreDNS has the block of deploy/coredns/stub.Corefile, beside all that it had")
            self.types(looks_up(USER))
            self.types("soadns survey", f"{USER}", "no-service", "user")
            self.types(f"soadns export resolve --application shop{SAYS}", f"# {USER}: not safe to board", NO)
            self.screen.until("guest is answered", self.guest.answered, within=60.0)
            self.shows(self.guest)
            failed = len(self.guest.failed)
            self.guest = self.guest.since_answered()
            self.screen.measured(f"{self.guest.pod.name}: the first {failed} calls failed, and none since")

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
                "both applications can board", lambda: can in self.shell.type("soadns survey"), within=60.0
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
            "soadns boarded finds all well", lambda: ": all well" in self.shell.type(command), within=60.0
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
            "Each interface is to run in another Service. account and wallet start with the same images; their "
            "annotation soadns.io/interfaces says whose the interface is, so the name is theirs as soon as a pod "
            "there is ready. SOFARPC asks for the name every ten seconds, and follows. Dubbo asks when it connects: "
            "so the old pods end, and connections with them. No consumer is restarted, no file is changed."
        )
        with self.screen.step("Interfaces move to other Services, and calls follow", why):
            paying = self.till.now()
            self.applies("account.yaml", "wallet.yaml")
            self.leads_to("account")
            self.types(f"soadns explain {USER}", "answered with Service home/shop/account")
            self.shows(self.shop)
            self.screen.note("the connection is where it was: a name decides where one is opened")
            self.leads_to("wallet", PAY)
            moving = self.shop.now()
            with self.screen.waiting("the old pods end, which Dubbo does ten seconds after it was told to"):
                done = self.cluster.scale_to_none("user")
            self.kubectl("scale deployment user --replicas=0", done)
            self.answered_by(moving, "account")
            self.nobody_lost(moving, "from the order to end the old pods on")
            address = self.cluster.services["account"].cluster_ip
            self.types(f"ss -Htn state established dst {address}", f"{address}]:20880")
            self.answered_by(self.guest, "account")
            self.nobody_lost(self.guest, "from its first answered call on")
            self.answered_by(paying, "wallet")
            self.nobody_lost(paying, "while PayService moved")
            self.screen.note("no pod of pay has ended: SOFARPC asks for the name every ten seconds")

    def taken_back(self) -> None:
        why = (
            "PayService goes back to pay by its annotation, and till follows as it did before. To go back to the "
            "registry at once, without a restart, a Service is annotated, too: the name then answers the "
            "addresses that the registry has, for whoever connects anew. To go back for good, shop and till start "
            "as they did in the beginning, and ask the registry."
        )
        with self.screen.step("Both are taken back", why):
            paying = self.till.now()
            self.declared_by("pay", PAY, no_more="wallet")
            self.leads_to("pay", PAY)
            done = self.cluster.annotate("account", traffic=f"{USER}=registry")
            self.kubectl(f"annotate service account soadns.io/traffic={USER}=registry", done)
            [pod] = self.cluster.pods["account"]
            self.name_leads(f"to {pod.name} itself", lambda printed: printed.split()[-1:] == [pod.home.ip])
            self.kubectl(
                "annotate service account soadns.io/traffic-", self.cluster.annotate("account", traffic="")
            )
            self.leads_to("account")
            self.answered_by(paying, "pay")
            self.nobody_lost(paying, "while PayService moved back")
            self.kubectl("scale deployment wallet --replicas=0", self.cluster.scale_to_none("wallet"))
            self.applies("shop.yaml", "till.yaml")
            self.shop, self.till = self.consumer("shop"), self.consumer("till")
            self.answered_by(self.shop, "account")
            self.answered_by(self.till, "pay")
            command = f"soadns boarded {SHOP_FILE} --application shop"
            asks = f"shop asks the registry for it at {self.shop.pod.home.ip}"
            self.types(command + SAYS, asks, NO)


def looks_up(interface: str) -> str:
    """The command that asks for the addresses of a name."""
    return f"dig +noall +answer {interface}.{ZONE}"


def manifest_folder() -> str:
    """Where the manifests are, for people."""
    return str(MANIFESTS.relative_to(MANIFESTS.parents[2]))
