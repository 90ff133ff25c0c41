"""The notation of the tables in ``docs/binding.md``, run against the real estate under virtual time.

``docs/binding.md`` explains the words, ``tests/unit/tables.py`` reads them; this module turns them into the events that
sources emit, and reads answers where a nameserver does: from the published records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from soadns import composition, naming
from soadns.binding.clusters import Clusters
from soadns.binding.estate import Estate
from soadns.binding.evidence import Claim
from soadns.binding.zone import Zone
from soadns.binding.zonesettings import ZoneSettings
from soadns.model import (
    Delete,
    Endpoint,
    EndpointSlice,
    Event,
    Identified,
    InterfaceId,
    Key,
    Node,
    ObjectRef,
    Observation,
    Override,
    Port,
    Provider,
    Records,
    Rejected,
    Service,
    Synced,
    Trouble,
    Unbound,
    Upsert,
)
from soadns.persistence import snapshot
from soadns.settings.configfile import parse as parse_config
from soadns.sources.annotations import PREFIX, parse
from tests.unit.saved_file import SavedFile
from tests.unit.tables import Case, expand, host_port, interface_id, seconds, words_of

ZONE = "rpc.test"
NOON = 1_000_000_000.0
SOURCES = {
    "zookeeper": "zookeeper/main/dubbo",
    "second": "zookeeper/second/dubbo",
    "kube": "kube/home",
    "east": "kube/east",
    "files": "static/files",
}
[DEFAULTS] = composition.zone_settings(parse_config("zookeeper: [{hosts: zk1}]", where="defaults"))
"""The rules are run as they are without any setting."""
CLUSTERS = {"home": SOURCES["kube"], "east": SOURCES["east"], "files": SOURCES["files"]}


@dataclass
class Notebook:
    """One estate, what its sources see, and the verbs that change it."""

    settings: ZoneSettings = field(default_factory=lambda: zone_settings({}))
    now: float = NOON
    seen: dict[str, dict[Key, Observation]] = field(default_factory=dict)
    """What each source would read now."""
    sent: dict[str, dict[Key, Observation]] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    published: dict[str, Records | None] = field(default_factory=dict)
    saved: SavedFile = field(default_factory=SavedFile)

    def __post_init__(self) -> None:
        self.start(self.settings)

    @property
    def zone(self) -> Zone:
        return self.estate.zones[ZONE]

    def start(self, settings: ZoneSettings) -> None:
        """A fresh soadns, all of its sources in sync and empty."""
        self.settings = settings
        self.seen = {source: {} for source in sorted(settings.sources)}
        self.sent = {source: {} for source in self.seen}
        self.down = set()
        self.published = {}
        self.estate = Estate([settings])
        self.estate.fold([Synced(source) for source in self.seen], self.now)
        self.flush()

    # ---------------------------------------------------------------- time and delivery

    def run(self, case: Case) -> None:
        """Run a case; an answer that differs raises AssertionError with the line."""
        for row in case.rows:
            for statement in row.given:
                self.say(statement)
            self.flush()
            subject = ""
            for answer in row.answers:
                subject = self.check(answer, subject, row.number)

    def say(self, statement: str) -> None:
        verb = statement.split()[0]
        words, options = words_of(statement.removeprefix(verb))
        getattr(self, f"do_{verb.lower()}")(words, options)

    def flush(self) -> None:
        """Deliver what changed as one instant, and let the estate work."""
        self.hear(self.news())

    def news(self) -> list[Event]:
        """What the sources say of what changed; it counts as said."""
        events: list[Event] = []
        for source, seen in self.seen.items():
            if source not in self.down:
                sent = self.sent[source]
                events += [Delete(source, key) for key in sent if key not in seen]
                events += [Upsert(source, key, v) for key, v in seen.items() if sent.get(key) != v]
                self.sent[source] = dict(seen)
        return events

    def hear(self, events: list[Event]) -> None:
        """Have the estate hear this as one instant, and work."""
        if events:
            self.estate.fold(events, self.now)
        self.work()

    def work(self) -> None:
        self.estate.work(self.now)
        for owner, records in self.zone.take_published().items():
            self.published[naming.key(owner)] = records
        self.saved.save(self.estate, self.now)

    def wait(self, duration: float) -> None:
        """Let time pass, stopping at every clock."""
        end = self.now + duration
        for _ in range(10_000):
            at = self.estate.next_clock()
            if at is None or at > end:
                self.now = end
                self.work()
                return
            self.now = max(self.now, at)
            self.work()
        raise AssertionError("the clocks do not come to rest")

    # ---------------------------------------------------------------- verbs

    def do_zone(self, words: list[str], options: dict[str, str]) -> None:
        self.start(zone_settings(options))
        if "unsynced" in words:
            self.estate = Estate([self.settings])
            self.down = set(self.seen)

    def do_after(self, words: list[str], _: dict[str, str]) -> None:
        self.flush()
        self.wait(seconds(words[0]))

    def do_service(self, words: list[str], options: dict[str, str]) -> None:
        ref = self.ref(words.pop(0))
        values = self.seen[CLUSTERS[ref.cluster]]
        key = ("Service", ref.namespace, ref.name)
        service = values.get(key)
        if not isinstance(service, Service):
            count = sum(len(each) for each in self.seen.values())
            service = Service(ref, self.uid(ref), NOON - 1_000_000 + count, ports=(Port(20880),))
        addresses = tuple(word for word in words if word[0].isdigit() or ":" in word)
        if addresses:
            service = replace(service, cluster_ips=addresses)
        if "headless" in words:
            service = replace(service, headless=True, cluster_ips=())
        if "new" in words:
            service = replace(service, uid=self.uid(ref), created=self.now)
        service = replace(service, terminating="terminating" in words)
        values[key] = _with_options(service, options)

    def uid(self, ref: ObjectRef) -> str:
        """Of a Service that is created now."""
        return f"uid-{ref}-{self.now}".replace("/", "-")

    def do_delete(self, words: list[str], _: dict[str, str]) -> None:
        for name in words:
            ref = self.ref(name)
            del self.seen[CLUSTERS[ref.cluster]]["Service", ref.namespace, ref.name]

    def do_pods(self, words: list[str], options: dict[str, str]) -> None:
        ref = self.ref(words.pop(0))
        key = ("EndpointSlice", ref.namespace, ref.name)
        if words == ["gone"]:
            self.seen[CLUSTERS[ref.cluster]].pop(key, None)
            return
        endpoints = tuple(
            Endpoint(word.rstrip("-~"), ready=word[-1] not in "-~", terminating=word[-1] == "~")
            for word in words
            if word != "none"
        )
        ports = tuple(Port(int(port)) for port in options.get("port", "20880").split(","))
        self.seen[CLUSTERS[ref.cluster]][key] = EndpointSlice(ref, ref, ports, endpoints)

    def do_node(self, words: list[str], _: dict[str, str]) -> None:
        ref = ObjectRef("home", "", words[0])
        self.seen[SOURCES["kube"]]["Node", words[0]] = Node(ref, tuple(words[1:]))

    def do_register(self, words: list[str], options: dict[str, str]) -> None:
        source = SOURCES[options.get("registry", "zookeeper")]
        for interface in expand(words[0].split(",")):
            for place in expand(words[1:]):
                provider = self.provider(source, interface, place, options)
                self.seen[source][_key(provider)] = provider

    def provider(self, source: str, interface: str, place: str, options: dict[str, str]) -> Provider:
        host, port = host_port(place)
        return Provider(
            registry=source,
            interface=interface_id(interface),
            protocol=options.get("protocol", "dubbo"),
            host=host,
            port=port,
            application=options.get("app", ""),
            enabled=options.get("enabled") != "false",
            dynamic=options.get("dynamic") != "false",
            timestamp=int(options.get("timestamp", "0")),
        )

    def do_unregister(self, words: list[str], options: dict[str, str]) -> None:
        """``unregister A,B 10.1.0.1``; ``*`` is everything there."""
        values = self.seen[SOURCES[options.get("registry", "zookeeper")]]
        names = set(expand(words[0].split(",")))
        places = {host_port(word) for word in words[1:]}
        gone = [
            key
            for key, p in values.items()
            if isinstance(p, Provider)
            and (str(p.interface) in names or "*" in names)
            and (p.host, p.port) in places
            and p.application == options.get("app", p.application)
            and str(p.timestamp) == options.get("timestamp", str(p.timestamp))
        ]
        assert gone, f"nothing of {words} is registered"
        for key in gone:
            del values[key]

    def do_override(self, words: list[str], options: dict[str, str]) -> None:
        """``override B 10.1.0.1`` switches B off there; ``override B none`` takes all of B's overrides back."""
        values = self.seen[SOURCES["zookeeper"]]
        if words[1] == "none":
            for key in [k for k in values if k[:2] == (words[0], "configurators")]:
                del values[key]
            return
        value = Override(SOURCES["zookeeper"], words[0], words[1], application=options.get("app", ""))
        values[words[0], "configurators", words[1]] = value

    def do_malformed(self, words: list[str], _: dict[str, str]) -> None:
        """The API server sends an object that can not be understood."""
        ref = self.ref(words[0])
        key = ("Service", ref.namespace, ref.name)
        self.estate.fold([Rejected(SOURCES["kube"], key, str(ref), "bad-object", "no ports")], self.now)

    def do_trouble(self, words: list[str], _: dict[str, str]) -> None:
        self.flush()
        for source in [SOURCES[word] for word in words] or list(self.seen):
            self.down.add(source)
            self.estate.fold([Trouble(source, "connection lost")], self.now)
        self.work()

    def do_synced(self, words: list[str], _: dict[str, str]) -> None:
        """A complete pass: everything that is there, then Synced."""
        for source in [SOURCES[word] for word in words] or list(self.seen):
            self.down.discard(source)
            gone = [Delete(source, key) for key in self.sent[source] if key not in self.seen[source]]
            whole = [Upsert(source, key, value) for key, value in self.seen[source].items()]
            self.estate.fold([*gone, *whole, Synced(source)], self.now)
            self.sent[source] = dict(self.seen[source])

    def do_forbidden(self, words: list[str], _: dict[str, str]) -> None:
        """The registry refuses to show interfaces."""
        self.flush()
        source = SOURCES["zookeeper"]
        self.estate.fold([Trouble(source, "no permission", name, name) for name in words], self.now)
        self.work()

    def do_readable(self, words: list[str], _: dict[str, str]) -> None:
        """It shows them again."""
        self.estate.fold([Synced(SOURCES["zookeeper"], name) for name in words], self.now)
        self.work()

    def do_partly(self, words: list[str], _: dict[str, str]) -> None:
        """What is there so far is read, and the reading is not over."""
        for source in (SOURCES[word] for word in words):
            fresh = {k: v for k, v in self.seen[source].items() if self.sent[source].get(k) != v}
            self.estate.fold([Upsert(source, key, value) for key, value in fresh.items()], self.now)
            self.sent[source].update(fresh)
        self.work()

    def do_identified(self, words: list[str], _: dict[str, str]) -> None:
        """The API server can be asked who it is."""
        identity = f"id-of-{SOURCES['kube']}" if words == ["same"] else "id-of-another-cluster"
        self.estate.fold([Identified(SOURCES["kube"], identity)], self.now)
        self.work()

    def do_release(self, words: list[str], _: dict[str, str]) -> None:
        self.zone.release(SOURCES[words[0]], self.now)

    def do_restart(self, words: list[str], options: dict[str, str]) -> None:
        """Stop, and start from the snapshot with every source out of reach; ``zone`` words may change."""
        self.flush()
        identities = {source: f"id-of-{source}" for source in self.seen}
        self.saved.identities = dict(identities)
        found = self.saved.read(self.estate, self.now)
        if "unasked" in words:
            del identities[SOURCES["kube"]]
        if "other-cluster" in words:
            identities[SOURCES["kube"]] = "id-of-another-cluster"
        if options:
            self.settings = zone_settings(options)
        self.estate = Estate([self.settings])
        self.published = {}
        snapshot.restore(self.estate, found, self.now, identities=identities)
        self.seen = {source: self.seen.get(source, {}) for source in sorted(self.settings.sources)}
        self.sent = {source: {} for source in self.seen}
        self.down = set(self.seen)

    def ref(self, text: str) -> ObjectRef:
        name, _, cluster = text.partition("@")
        namespace, _, name = name.partition("/")
        return ObjectRef(cluster or "home", namespace, name)

    # ---------------------------------------------------------------- answers

    def check(self, answer: str, subject: str, number: int) -> str:
        """Hold one item of the right column to what is answered; returns the name it speaks of."""
        first, _, rest = answer.partition(" ")
        if first == "held":
            found = str(max((alarm.held for alarm in self.zone.guard.alarms(self.now)), default=0))
            assert found == rest, f"line {number}: {found} held, not {rest}"
            return subject
        if "/" in first and not first.startswith("/") and rest and rest.split()[0] not in _ANSWERS:
            found = self.verdict(subject, first)
            assert found == rest, f"line {number}: {first} is {found!r} for {subject}, not {rest!r}"
            return subject
        for owner in expand([first]):
            found = getattr(self, f"see_{rest.split()[0]}", self.answer)(owner, rest)
            assert found == rest, f"line {number}: {owner} is answered {found!r}, not {rest!r}"
            subject = owner
        return subject

    def answer(self, owner: str, expected: str) -> str:
        """What a question for A and AAAA is answered, as ``dig`` would show it."""
        records = self.published.get(naming.key(owner))
        if records is None:
            if self.zone.awaited:
                return "SERVFAIL"
            return f"NXDOMAIN {self.reason(owner)}" if " " in expected else "NXDOMAIN"
        if records.unsaid:
            return "SERVFAIL"
        ttl = f"{records.ttl} " if expected[0].isdigit() else ""
        text = []
        for kind, version in (("A", 4), ("AAAA", 6)):
            of_kind = [a for a in records.addresses if ip_address(a).version == version]
            text += [kind, *of_kind] if of_kind else []
        if len(records.addresses) > 8 and "addresses" in expected:
            return f"{len(records.addresses)} addresses"
        return ttl + " ".join(text) if text else "NODATA"

    def see_ports(self, owner: str, _: str) -> str:
        """The protocols and ports of its SRV records."""
        records = self.published.get(naming.key(owner))
        found = records.ports if records is not None else ()
        return " ".join(["ports", *(f"{port.protocol}:{port.port}" for port in found)])

    def see_because(self, owner: str, _: str) -> str:
        """Why the last change of the answer happened."""
        past = self.zone.history.of(self.interface(owner))
        return f"because {past[-1].why}" if past else "because nothing"

    def see_was(self, owner: str, _: str) -> str:
        """What the last change took away."""
        return f"was {self.zone.history.of(self.interface(owner))[-1].before}"

    def see_is(self, owner: str, _: str) -> str:
        """Which interface answers at an owner name."""
        return f"is {self.zone.owners.at(owner)}"

    def see_split(self, owner: str, _: str) -> str:
        """Among which Services the variants of a name are split."""
        return " ".join(["split", *(str(ref) for ref in self.zone.owners.split(owner))])

    def see_stale(self, owner: str, _: str) -> str:
        """host:ports at which the interface is registered by an application that was replaced."""
        known = self.zone.store.interfaces.get(self.interface(owner))
        live = known.live.values() if known is not None else ()
        hosts = sorted(f"{each.provider.host}" for each in live if each.stale)
        return " ".join(["stale", *hosts]) if hosts else "stale nowhere"

    def interface(self, owner: str) -> InterfaceId:
        return self.zone.owners.at(owner) or naming.interface_of(owner)

    def verdict(self, owner: str, name: str) -> str:
        """What became of a Service as a candidate for the name."""
        outcome = self.zone.outcomes.get(self.interface(owner))
        reasons = outcome.reasons if outcome is not None else ()
        return next((r.verdict for r in reasons if r.candidate == str(self.ref(name))), "no candidate")

    def reason(self, owner: str) -> str:
        """Why a name has no answer."""
        interface = naming.interface_of(owner)
        problem = self.zone.owners.problem(interface)
        if problem is not None:
            return problem[0]
        if self.zone.owners.shadowed(interface):
            return "shadowed"
        outcome = self.zone.outcomes.get(interface)
        return outcome.reason if isinstance(outcome, Unbound) else "unknown"


_ANSWERS = ("A", "AAAA", "NXDOMAIN", "NODATA", "SERVFAIL", "because", "was", "is", "30", "5")


def _key(provider: Provider) -> Key:
    return (
        provider.interface.name,
        "providers",
        "|".join(map(str, (*provider.identity[1], *provider.identity[2:], provider.timestamp))),
    )


def _with_options(service: Service, options: dict[str, str]) -> Service:
    texts = {
        PREFIX + word: ",".join(expand(options[word].split(",")))
        for word in ("interfaces", "application", "traffic", "balancing", "moves")
        if word in options
    }
    parsed = parse(texts)
    changes: dict[str, object] = {}
    for word, value in (
        ("interfaces", parsed.declaration),
        ("application", parsed.application),
        ("traffic", parsed.traffic),
        ("balancing", parsed.balancing),
        ("moves", parsed.moves),
    ):
        if word in options:
            changes["declaration" if word == "interfaces" else word] = value
    plain: dict[str, tuple[str, Callable[[str], object]]] = {
        "port": ("ports", lambda text: tuple(Port(int(n)) for n in text.split(","))),
        "external-ip": ("external_ips", lambda text: (text,)),
        "load-balancer": ("load_balancer", lambda text: (text,)),
        "external-name": ("external_name", str),
        "labels": ("labels", lambda text: tuple(tuple(p.split(":")) for p in text.split(","))),
        "created": ("created", lambda text: NOON - 2_000_000 + float(text)),
    }
    for word, (attribute, read) in plain.items():
        if word in options:
            changes[attribute] = read(options[word])
    if "node-port" in options:
        changes["ports"] = (replace(service.ports[0], node_port=int(options["node-port"])),)
    if "target" in options:
        changes["ports"] = (replace(service.ports[0], target=options["target"]),)
    if "external-name" in options:
        changes["type"] = "ExternalName"
    return replace(service, **changes)


def zone_settings(options: dict[str, str]) -> ZoneSettings:
    """The zone of the tables: one registry and one cluster, and what a ``zone`` line adds."""
    names = {"zookeeper", "kube", *filter(None, options.get("with", "").split(","))}
    names -= set(options.get("without", "").split(","))
    optional = {SOURCES[name] for name in options.get("optional", "").split(",") if name}
    claims = [part.split("=") for part in options.get("claim", "").replace("→", "=").split(",") if part]
    networks = [part.split("→") for part in options.get("network", "").split(",") if part]
    release = options.get("release-after")
    return replace(
        DEFAULTS,
        name=ZONE,
        nested=tuple(filter(None, options.get("nested", "").split(","))),
        sources=frozenset(SOURCES[name] for name in names),
        optional=frozenset(optional),
        immediate=frozenset({SOURCES["files"]}),
        cluster_sources={cluster: s for cluster, s in CLUSTERS.items() if s in {SOURCES[n] for n in names}},
        clusters=Clusters(home="home", flat=frozenset({"east"} if "flat" in options else ())),
        claims=tuple(Claim(prefix, namespace) for prefix, namespace in claims),
        rules=replace(DEFAULTS.rules, unmapped=options.get("unmapped", "providers")),
        guard=replace(DEFAULTS.guard, release_after=None if release is None else seconds(release)),
        store=replace(
            DEFAULTS.store,
            networks={SOURCES[name]: (ip_network(net),) for name, net in networks},
            namespaces=frozenset(filter(None, options.get("namespaces", "").split(","))),
        ),
    )
