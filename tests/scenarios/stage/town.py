"""A small real world, told as a story: ``register``, ``board``, ``call``, ``move``, ``kill``, ``restart``.

In a cluster of its own run ZooKeeper, two soadns behind CoreDNS as ``docs/coredns.md`` puts them up, and in pods the
providers and callers of ``tests/clients``. What operators do is done with the commands that they have.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote

from tests.clients.driving import SCRIPTS
from tests.scenarios.stage.clients import Caller, Provider
from tests.scenarios.stage.cluster import DNS, MACHINE_NAME, NAMESPACE, STUB, Cluster, Home
from tests.scenarios.stage.istiod import Istiod
from tests.scenarios.stage.istiosidecar import NONE, Sidecar
from tests.scenarios.stage.kubernetes import READER
from tests.scenarios.stage.nameservers import CoreDns
from tests.scenarios.stage.network import OLD_WORLD, PODS
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.quarters import TOWN, Quarter
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.stage import RULES, Service
from tests.scenarios.stage.volumes import Volume
from tests.scenarios.stage.zookeeper import ZooKeeper, close

T = TypeVar("T")
R = TypeVar("R")
SOADNS = ("10.96.0.53", "10.96.0.54")
"""The ClusterIPs in the files of ``deploy/coredns``: one for each replica."""
TTL_S = 5
"""Of the zone; no shorter one would be kept for less by CoreDNS."""
MOUNTED = Path("/mnt/routes")
"""Where pods find the files of what they mount; below a folder that every Linux has."""
MOUNTS = {"soadns.io/routes": "mounted"}
_ports = {"dubbo": 20880, "tri": 50051, "bolt": 12200, "rest": 8080, "private-tcp": 7000}
DNS_PORTS = [
    {"name": "dns", "port": 53, "targetPort": 1053, "protocol": "UDP"},
    {"name": "dns-tcp", "port": 53, "targetPort": 1053, "protocol": "TCP"},
]


class Server(Protocol):
    """What can be killed, and started again."""

    def start(self) -> None: ...
    def kill(self) -> None: ...


class Behind:
    """A server in a pod behind a Service: who kills it takes it out of the Service, too, as the kubelet does."""

    def __init__(self, server: Soadns | CoreDns | Provider, service: Service, home: Home) -> None:
        self.server = server
        self.service = service
        self.home = home

    def start(self) -> None:
        self.server.start()
        self.service.endpoint(self.home.ip)

    def kill(self) -> None:
        """kill -9."""
        self.server.process.kill()
        self.service.endpoint(self.home.ip, ready=False)

    def stop(self) -> None:
        """SIGTERM; the endpoint goes at the same time, as with a pod that is deleted."""
        self.service.without(self.home.ip)
        self.server.process.stop()


class Silent:
    """A soadns that neither runs nor refuses between ``kill`` and ``start``: SIGSTOP, and its pod stays ready."""

    def __init__(self, soadns: Soadns) -> None:
        self.soadns = soadns

    def start(self) -> None:
        self.soadns.signalled(signal.SIGCONT)
        self.soadns.wait_ready()

    def kill(self) -> None:
        self.soadns.signalled(signal.SIGSTOP)


class Town(Cluster):
    """The world of a story."""

    def __init__(
        self,
        folder: Path,
        *,
        quarters: Sequence[Quarter] = (),
        linger: str = "10m",
        sidecar: Callable[[str], dict[str, Any]] = lambda _: {},
        zookeeper: Sequence[str] = (),
        installed: bool = True,
    ) -> None:
        """``linger``: how long soadns keeps a name where it is, when nobody declares it there any more.

        ``sidecar``: that section of the settings of a replica, by its address. ``zookeeper``: lines of that one's.
        ``installed``: whether soadns is there from the beginning, and not from ``install`` and ``forward`` on.
        """
        super().__init__(folder)
        self._sidecar = sidecar
        self._linger = linger
        self._quarters = quarters
        self._names = itertools.count(1)
        self.coredns: Behind
        """The one that there always is."""
        self.soadns: list[Behind] = []
        self.istiod: Istiod
        self._sidecars: dict[Caller, Sidecar] = {}
        self._volumes: list[Volume] = []
        try:
            self.zookeeper = ZooKeeper(folder / "zookeeper", *zookeeper, host=OLD_WORLD, place=self.node)
            self.zookeeper.process.start()
            self._name_server(STUB if installed else "")
            if installed:
                self.install()
        except BaseException:
            self.end()
            raise

    def _name_server(self, stub: str) -> None:
        dns = self.service("kube-dns", *_server_ports(), clusterIP=DNS)
        coredns, home = self.name_server(stub=stub)
        self.coredns = Behind(coredns, dns, home)
        self.zookeeper.start()
        client = self.zookeeper.client()
        for root in ("/dubbo", "/sofa-rpc", *(quarter.root for quarter in self._quarters)):
            client.ensure_path(root)
        close(client)
        self.coredns.start()

    def install(self) -> None:
        """Put up soadns, a replica behind each of ``SOADNS``; both are ready when this returns."""
        self.api.grant(RULES)
        for number, address in enumerate(SOADNS):
            service = self.service(f"soadns-{number}", *DNS_PORTS, clusterIP=address)
            home = self.home(f"soadns-{number}")
            soadns = Soadns(home.folder / "soadns", self._settings(), place=home.place)
            listen = [f"127.0.0.1:{soadns.port}", f"{home.ip}:1053"]
            soadns.write_config(nameserver={"listen": listen, "workers": 1}, sidecar=self._sidecar(home.ip))
            self.soadns.append(Behind(soadns, service, home))
        for each in self.soadns:
            each.start()

    def forward(self) -> None:
        """Give CoreDNS the block that sends what is soadns's there; it holds when this returns."""
        coredns = self.coredns.server
        assert isinstance(coredns, CoreDns)
        coredns.change(self.corefile())

    def _settings(self) -> dict[str, Any]:
        roots = [{"path": "/dubbo"}, {"path": "/sofa-rpc", "dialect": "sofa"}]
        kubeconfig = str(self.api.kubeconfig(READER))
        main = (
            {"name": ZONE, "registries": ["main"]},
            {"name": "main", "hosts": self.zookeeper.hosts, "roots": roots},
        )
        settings = [main, *(quarter.settings(self.zookeeper.hosts) for quarter in self._quarters)]
        return {
            "zones": [zone | {"ttl": TTL_S, "namespaces": [NAMESPACE]} for zone, _ in settings],
            "zookeeper": [registry for _, registry in settings],
            "kubernetes": [{"name": "home", "kubeconfig": kubeconfig, "networks": [PODS], "nodes": "never"}],
            "binding": {"settle": "500ms", "linger": self._linger},
        }

    def second_coredns(self) -> Behind:
        """Another CoreDNS behind the same ClusterIP, which works when this returns."""
        coredns, home = self.name_server("coredns-2")
        second = Behind(coredns, self.coredns.service, home)
        second.start()
        return second

    def bare(self, prefix: str) -> Behind:
        """A CoreDNS for pods that ask for bare names which begin so; it works when this returns."""
        server, home = self.bare_names(prefix)
        found = Behind(server, self.service("bare-dns", *_server_ports()), home)
        found.start()
        return found

    def mesh(self) -> None:
        """Install Istio; its istiod works when this returns."""
        self.istiod = Istiod(self.folder / "istiod", self.api, self.node)
        self.istiod.install()
        self.istiod.start()

    # ------------------------------------------------------------------ applications

    def shop(self, name: str, protocol: str, *, port_name: str = "", **spec: object) -> Service:
        """A Service of an application, without pods. By its port's name Istio takes it for TCP, HTTP or nothing."""
        port = _ports[protocol]
        named = port_name or f"{protocol}-{port}"
        return self.service(name, {"name": named, "port": port, "protocol": "TCP"}, **spec)

    def register(
        self,
        kind: str,
        service: Service,
        *interfaces: str,
        quarter: Quarter = TOWN,
        java: Sequence[str] = (),
        **options: object,
    ) -> Behind:
        """A new pod of a Service: its provider registers interfaces, and the pod becomes ready.

        Who has no registry declares them at its Service. ``options`` are of the provider's command line
        (``timeout=1000``), ``java`` of its JVM.
        """
        pod = self.pod(kind, service, *interfaces, quarter=quarter, java=java, **options)
        pod.start()
        return pod

    def pod(
        self,
        kind: str,
        service: Service,
        *interfaces: str,
        quarter: Quarter = TOWN,
        java: Sequence[str] = (),
        **options: object,
    ) -> Behind:
        """The same before its start."""
        name = f"{service.name}-{next(self._names)}"
        home = self.home(name)
        if kind in SCRIPTS:
            service.annotate(interfaces=",".join(interfaces))
        provider = Provider(
            kind, name, interfaces, app=service.name, registry=quarter.registry(kind, self.zookeeper.hosts),
            at=(home.ip, service.port), folder=home.folder, place=home.place, java=[*quarter.java, *java],
            more=_command_line(options),
        )  # fmt: skip
        self._last_to_first.callback(provider.end)
        return Behind(provider, service, home)

    def label(self, pod: Behind, **labels: str) -> None:
        """Say in the API server which labels a pod has, by which Istio finds subsets."""
        document: dict[str, Any] = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod.home.name, "namespace": NAMESPACE, "labels": labels},
        }  # fmt: skip
        spec = {"containers": [{"name": "app", "image": "app"}], "nodeName": MACHINE_NAME}
        self.api.apply(document | {"spec": spec})
        # Of a pod that is not ready istiod does not note the address: an EndpointSlice that it read before the pod
        # would lack it until one of them changes again.
        status = {
            "phase": "Running", "podIP": pod.home.ip, "podIPs": [{"ip": pod.home.ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }  # fmt: skip
        self.api.apply(document | {"status": status}, subresource="status")
        pod.service.refer(pod.home.ip, pod.home.name)

    def caller(
        self,
        kind: str,
        app: str,
        *,
        quarter: Quarter = TOWN,
        started: bool = True,
        nameserver: str = DNS,
        further: Sequence[str] = (),
        resolver: Sequence[str] = (),
        sidecar: bool = False,
        mounts: Collection[str] = (),
        **options: object,
    ) -> Caller:
        """An application that calls, in a pod of its own. It has the registry, if it can have one.

        ``further`` are name servers that it asks when the first does not answer, ``resolver`` options of that. With a
        sidecar its pod is one of the mesh (``mesh``), and the sidecar works before it starts. ``mounts`` are ConfigMaps
        whose files it finds in ``MOUNTED``, and its label says that it does.
        """
        name = f"{app}-{next(self._names)}"
        home = self.home(name, nameserver=nameserver, further=further, options=resolver)
        if mounts:
            volume = Volume(self.api, NAMESPACE, mounts, home.folder / "mounted" / "routes")
            self._last_to_first.callback(volume.end)
            self._volumes.append(volume)
            volume.start()
            home.place.mount(home.folder / "mounted", MOUNTED.parent)
        beside = Sidecar(home, app, labels=MOUNTS if mounts else NONE) if sidecar else None
        if beside:
            beside.start()
        caller = Caller(
            kind, app, registry=quarter.registry(kind, self.zookeeper.hosts), folder=home.folder, place=home.place,
            java=quarter.java, more=_command_line(options), ip=home.ip,
        )  # fmt: skip
        self._last_to_first.callback(caller.end)
        if beside:
            self._sidecars[caller] = beside
        if started:
            caller.start()
        return caller

    def mounted(self, *names: str) -> None:
        """Wait until all pods that mount files have these."""
        for volume in self._volumes:
            found = eventually(
                lambda each=volume: [name for name in names if not (each.folder / name).exists()],
                within=60.0,
                until=lambda missing: not missing,
            )
            assert not found, f"{volume.folder}: {found}"

    def sidecar(self, caller: Caller) -> Sidecar:
        """The one in a caller's pod."""
        return self._sidecars[caller]

    def deregister(self, pod: Behind, *interfaces: str, quarter: Quarter = TOWN) -> list[str]:
        """Take interfaces of a pod out of the registry, while it serves on, as Dubbo's ``offline`` does.

        Returns where they stood.
        """
        client = self.zookeeper.client()
        taken = []
        try:
            for root in (quarter.root, "/sofa-rpc") if quarter == TOWN else (quarter.root,):
                for name in client.get_children(root):
                    if unquote(name) in interfaces:
                        folder = f"{root}/{name}/providers"
                        for leaf in client.get_children(folder):
                            if f"{pod.home.ip}:" in unquote(leaf):
                                client.delete(f"{folder}/{leaf}")
                                taken.append(f"{folder}/{leaf}")
        finally:
            close(client)
        return taken

    def register_again(self, places: Iterable[str]) -> None:
        """Put what ``deregister`` took back where it stood, as ``online`` does; nobody takes it away any more."""
        client = self.zookeeper.client()
        try:
            for place in places:
                client.create(place)
        finally:
            close(client)

    def deploy(self, kind: str, service: Service, *interfaces: str, pods: int = 2) -> list[Behind]:
        """So many new pods of a Service, all at once."""
        return at_once(lambda _: self.register(kind, service, *interfaces), range(pods))

    def move(self, to: Service, *pods: Behind, interfaces: Sequence[str]) -> list[Behind]:
        """Deploy interfaces in another Service: as many new pods there, and when they are ready the old ones end."""
        [kind] = {pod.server.kind for pod in pods if isinstance(pod.server, Provider)}
        fresh = self.deploy(kind, to, *interfaces, pods=len(pods))
        for service in {id(pod.service): pod.service for pod in pods}.values():
            if service.annotations:
                service.annotate(interfaces="")
        at_once(Behind.stop, pods)
        return fresh

    # ------------------------------------------------------------------ what operators do

    @property
    def operator(self) -> Soadns:
        """The replica that operators ask."""
        server = self.soadns[0].server
        assert isinstance(server, Soadns)
        return server

    def knows(
        self, interface: str, service: Service, *, quarter: Quarter = TOWN, within: float = 20.0
    ) -> None:
        """Wait until all replicas answer an interface with the address of a Service."""
        for each in self.soadns:
            assert isinstance(each.server, Soadns)
            name = f"{interface.replace('$', '-')}.{quarter.zone}."
            each.server.answers(name, service.cluster_ip, within=within)

    def exported(self, *arguments: str, quarter: Quarter = TOWN) -> str:
        """What ``soadns export resolve`` writes to a file."""
        done = self.operator.verb("export", "resolve", quarter.zone, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def board(self, caller: Caller, *interfaces: str, by: str = "file") -> dict[str, str]:
        """Let an application call by name what it calls, and return what stands for that, line by line.

        Rolled out ``by`` a ``file`` that the JVM is told of, one in the ``home`` directory, a ``property``, the
        ``configuration centre``, or the application's own ``code``. Without ``interfaces``, it is all that the
        application calls at this moment. Who has no framework has an address in its settings.
        """
        if caller.kind in SCRIPTS:
            urls = {name: self.address(name, caller.kind) for name in interfaces}
            caller.direct |= {name: {"url": url} for name, url in urls.items()}
            return urls
        whose = [word for name in interfaces for word in ("--interface", name)] or [
            "--application",
            caller.app,
        ]
        sofa = by == "code" and caller.kind.startswith("sofa")
        form = "sofa" if sofa else "config-center" if by == "configuration centre" else "resolve"
        text = self.exported(*whose, "--format", form)
        lines = dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
        java: list[str] = []
        match by:
            case "file":
                file = caller.folder / "from-soadns.properties"
                file.write_text(text)
                java.append(f"-Ddubbo.resolve.file={file}")
            case "home":
                (caller.folder / "dubbo-resolve.properties").write_text(text)
            case "property":
                java += [f"-D{key}={url}" for key, url in lines.items()]
            case "configuration centre":
                self.configure(caller.app, text)
            case "code":
                word = "directUrl" if sofa else "url"
                caller.direct |= {key.partition(":")[0]: {word: url} for key, url in lines.items()}
            case _:
                raise ValueError(by)
        caller.start(*java)
        return lines

    def configure(self, app: str, text: str) -> None:
        """Put an application's properties into the configuration centre, which all quarters share."""
        client = self.zookeeper.client()
        try:
            path = f"/dubbo/config/{app}/dubbo.properties"
            client.ensure_path(path)
            client.set(path, text.encode())
        finally:
            close(client)

    def address(self, interface: str, protocol: str) -> str:
        """Where an interface is reached by name."""
        return f"{'http' if protocol == 'rest' else 'tcp'}://{name_of(interface)}:{_ports[protocol]}"

    def follows(self, caller: Caller, interface: str, *pods: Behind, within: float = 60.0) -> None:
        """Calls of a caller reach these pods, and no other ones, before long: ten of them one after another."""
        names = {pod.home.name for pod in pods}

        def strays() -> list[dict[str, Any]]:
            found = (caller.tries(interface) for _ in range(10))
            return [each for each in found if each.get("answer") not in names][:1]

        got = eventually(strays, within=within, until=lambda strayed: not strayed)
        assert not got, f"{caller} calls {interface}: {got}, expected {names}"

    # ------------------------------------------------------------------ faults

    def kill(self, *servers: Server) -> None:
        """kill -9, one after another without a pause."""
        for each in servers:
            each.kill()

    def restart(self, *servers: Server) -> None:
        """Start what was killed, all at once, and wait until it is ready."""
        at_once(lambda each: each.start(), servers)


def _server_ports() -> list[dict[str, object]]:
    """Those of a CoreDNS."""
    return [{**port, "targetPort": 53} for port in DNS_PORTS]


def name_of(interface: str) -> str:
    """The name of an interface in the town's zone."""
    return f"{interface.replace('$', '-')}.{ZONE}"


def at_once(do: Callable[[T], R], each: Iterable[T], *, most: int = 0) -> list[R]:
    """Do it with each in a thread of its own, with so many at a time at ``most`` (0: with all).

    The first error is raised when all have ended.
    """
    them = list(each)
    with ThreadPoolExecutor(most or max(1, len(them))) as pool:
        return list(pool.map(do, them))


def _command_line(options: Mapping[str, object]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]
