"""A small real world: who calls by name comes through CoreDNS, soadns and a ClusterIP to a pod, whatever he speaks.

Most callers here have no framework: one speaks HTTP and looks the name up for every call, one has a protocol of its own
and holds its connections.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from functools import partial
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.clients import page, verdicts
from tests.clients.driving import INTERFACES
from tests.scenarios.stage import preferences
from tests.scenarios.stage.clients import Caller
from tests.scenarios.stage.cluster import NAMESPACE
from tests.scenarios.stage.preferences import SERIALIZATIONS, Preference
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE
from tests.scenarios.stage.town import SOADNS, Behind, Town, at_once
from tests.scenarios.stage.wiretap import A, CallTap, Reply, Wiretap
from tests.scenarios.stage.zookeeper import close

REST, PRIVATE = "rest", "private-tcp"
KINDS = (REST, PRIVATE)
DUBBO, SOFARPC, NODE = "dubbo-3.3.5", "sofarpc-5.12.0", "sofa-rpc-node-2.10.0"
BOARDED = INTERFACES[:3]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    world = Town(tmp_path_factory.mktemp("town"))
    try:
        yield world
    finally:
        world.end()


@pytest.mark.parametrize("kind", KINDS)
def test_callers_reach_interfaces_by_name_and_follow_them_to_another_service(kind: str, town: Town) -> None:
    old, new = town.shop(f"old-{kind}", kind), town.shop(f"new-{kind}", kind)
    interfaces = of_their_own(kind.partition("-")[0])
    pods = town.deploy(kind, old, *interfaces)
    caller = town.caller(kind, "shop")
    town.board(caller, *interfaces)
    for interface in interfaces:
        town.knows(interface, old)
        caller.refer(interface)
        town.follows(caller, interface, *pods)

    fresh = town.move(new, *pods, interfaces=interfaces)

    for interface in interfaces:
        town.follows(caller, interface, *fresh)
        town.knows(interface, new)


def test_names_are_found_by_the_resolvers_of_pods(town: Town) -> None:
    service = town.shop("resolvers", REST)
    # One has so few dots that resolvers go through the search list first (``ndots:5``).
    interfaces = [*of_their_own("resolvers"), "resolvers.Shallow"]
    pod = town.register(REST, service, *interfaces)
    for interface in interfaces:
        town.knows(interface, service)
    names = [f"{interface.replace('$', '-')}.{ZONE}" for interface in interfaces]
    names += [f"{interfaces[0].lower()}.{ZONE}", f"{interfaces[0].upper()}.{ZONE.upper()}."]
    of_the_cluster = {"resolvers": service.cluster_ip, "kubernetes.default": "10.96.0.1"}
    nobody = f"com.example.shop.Nobody.{ZONE}"
    for libc in ("glibc", "musl"):
        found = town.looks_up(pod.home, *names, *of_the_cluster, nobody, libc=libc)
        assert found.pop(nobody).startswith("error: ")
        assert found == dict.fromkeys(names, service.cluster_ip) | of_the_cluster


def test_pods_that_have_soadns_as_second_name_server_find_names_while_coredns_is_gone_or_silent(
    town: Town,
) -> None:
    service = town.shop("beside", REST)
    interface, shallow = "com.beside.Service", "beside.Service"
    pod = town.register(REST, service, interface, shallow)
    for each in (interface, shallow):
        town.knows(each, service)
    home = town.home("who-asks-soadns", further=SOADNS[:1], options=["timeout:1"])
    address, of_the_cluster = service.cluster_ip, "beside"
    # With fewer than five dots a name goes through the search list first, unless it ends with one.
    names = [f"{interface}.{ZONE}", f"{interface}.{ZONE}.".upper(), f"{shallow}.{ZONE}."]
    for libc in ("glibc", "musl"):
        found = town.looks_up(home, *names, f"{shallow}.{ZONE}", of_the_cluster, libc=libc)
        assert set(found.values()) == {address}, (libc, found)
    town.kill(town.coredns)
    try:
        for libc in ("glibc", "musl"):
            found = town.looks_up(home, *names, of_the_cluster, f"com.beside.Nobody.{ZONE}", libc=libc)
            assert [found[name] for name in names] == [address] * len(names)
            assert found[of_the_cluster].startswith("error: ")
            assert found[f"com.beside.Nobody.{ZONE}"].startswith("error: ")
        searched = {libc: town.looks_up(home, f"{shallow}.{ZONE}", libc=libc) for libc in ("glibc", "musl")}
        assert searched["glibc"] == {f"{shallow}.{ZONE}": address}
        assert searched["musl"][f"{shallow}.{ZONE}"].startswith("error: ")
    finally:
        town.restart(town.coredns)
    found = eventually(
        lambda: town.looks_up(home, of_the_cluster, libc="musl"),
        within=20.0,
        until=lambda each: each[of_the_cluster] == address,
    )
    assert found == {of_the_cluster: address}
    town.coredns.server.process.signal(signal.SIGSTOP)
    try:
        for libc in ("glibc", "musl"):
            found = town.looks_up(home, names[0], libc=libc)
            assert found == {names[0]: address}, libc
    finally:
        town.coredns.server.process.signal(signal.SIGCONT)
    pod.stop()


def of_their_own(word: str) -> list[str]:
    """Interfaces that no other test has: a plain one, a nested one, one in capitals, one in a deep package."""
    return [interface.replace(".example.", f".{word}.") for interface in INTERFACES]


def answered(caller: Caller, interface: str) -> str:
    """Who answers. The first call of a program that has just started may take longer than it waits."""
    found = eventually(partial(caller.tries, interface), within=30.0, until=lambda each: bool(each["ok"]))
    assert found["ok"], f"{caller}, {interface}: {found}"
    return str(found["answer"])


def test_an_unmodified_application_is_boarded_as_operators_do_it(town: Town) -> None:
    service = town.shop("boarded", "dubbo")
    pod = town.register(DUBBO, service, *BOARDED)
    caller = town.caller(DUBBO, "boarding")
    for interface in BOARDED:
        town.knows(interface, service)
        caller.refer(interface)
        assert answered(caller, interface) == pod.home.name
    assert caller.connected(service.port) == {pod.home.ip}
    for by in ("file", "home", "property", "configuration centre"):
        if by == "file":
            lines = town.board(caller)  # all that it calls at this moment
        else:
            caller = town.caller(DUBBO, f"boarding-{by.partition(' ')[0]}")
            lines = town.board(caller, *BOARDED, by=by)
        assert len(lines) == len(BOARDED), lines
        for interface in BOARDED:
            caller.refer(interface)
            assert answered(caller, interface) == pod.home.name
        assert caller.connected(service.port) == {service.cluster_ip}, by
        caller.end()
    pod.stop()


# ---------------------------------------------------------------------- names without the zone

SHALLOW, DEEP = INTERFACES[3], INTERFACES[4]
"""With fewer dots than ``ndots`` of a pod's resolv.conf has, and with more."""
BY_BOLT = "com.example.bolt.ByName"
PROVIDED = {
    DUBBO: ("dubbo", (SHALLOW, DEEP)), SOFARPC: ("bolt", (BY_BOLT,)),
    REST: (REST, ("com.example.bare.Rest", "com.example.bare.a.b.c.Rest")),
    PRIVATE: (PRIVATE, ("com.example.bare.Private",)),
}  # fmt: skip
"""By program: its protocol, and what it provides."""
CALLED = {DUBBO: DUBBO, "dubbo-2.7.23": DUBBO, SOFARPC: SOFARPC, NODE: SOFARPC, REST: REST, PRIVATE: PRIVATE}
"""By program: whom it calls."""


def bare_settings(town: Town, kind: str, interfaces: Sequence[str]) -> dict[str, str]:
    """What is rolled out, with nothing but the interface for a name: all else is as it is exported."""
    if kind in KINDS:
        return {name: town.address(name, kind).replace(f".{ZONE}:", ":") for name in interfaces}
    words = [word for name in interfaces for word in ("--interface", name)]
    text = town.exported(*words, "--format", "resolve" if kind.startswith("dubbo") else "sofa")
    lines = text.replace(f".{ZONE}:", ":").splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def call_bare(town: Town, caller: Caller, interfaces: Sequence[str]) -> set[str]:
    """Start a caller and call each of the interfaces; returns who answered."""
    settings = bare_settings(town, caller.kind, interfaces)
    assert settings.keys() == {*interfaces}
    assert all(f"://{name}:" in url for name, url in settings.items()), settings
    if caller.kind.startswith("dubbo"):
        caller.start(*(f"-D{name}={url}" for name, url in settings.items()))
    else:
        word = {SOFARPC: "directUrl", NODE: "serverHost"}.get(caller.kind, "url")
        for name, url in settings.items():
            host = url.partition("://")[2].partition("?")[0].rstrip("/")
            caller.direct[name] = {word: host if word == "serverHost" else url}
        caller.start()
    who = set()
    for name in interfaces:
        caller.refer(name)
        who.add(answered(caller, name))
    return who


def searched(interface: str) -> str:
    """What a resolver asks first for a bare name, in a pod with ``ndots:5``."""
    elements = [] if interface.count(".") >= 5 else [NAMESPACE, "svc.cluster.local"]
    return f"{'.'.join([interface, *elements])}.".lower()


def test_clients_call_by_an_interfaces_name_alone_through_the_search_list_of_their_pods(town: Town) -> None:
    """As ``docs/coredns.md`` has it for bare names."""
    bare = town.bare("com.example")
    address = bare.service.cluster_ip
    services = {kind: town.shop(f"bare-{protocol}", protocol) for kind, (protocol, _) in PROVIDED.items()}
    started = at_once(lambda kind: town.register(kind, services[kind], *PROVIDED[kind][1]), PROVIDED)
    pods = dict(zip(PROVIDED, started, strict=True))
    for kind, (_, interfaces) in PROVIDED.items():
        for interface in interfaces:
            town.knows(interface, services[kind])
    for kind, provider in CALLED.items():
        interfaces, service = PROVIDED[provider][1], services[provider]
        caller = town.caller(kind, f"bare-caller-{kind}", started=False, nameserver=address)
        with Wiretap(bare.home) as wire:
            assert call_bare(town, caller, interfaces) == {pods[provider].home.name}, kind
            if kind != REST:  # which has no connection between calls
                assert caller.connected(service.port) == {service.cluster_ip}
        caller.end()
        asked = {
            name for who, name, _ in wire.replies if who == caller.ip and name.startswith("com.example.")
        }
        # The first question for a name is answered: nothing more of the search list is tried.
        assert asked == {searched(each) for each in interfaces}, kind
        for interface in interfaces:
            assert wire.replies[caller.ip, searched(interface), A] == {Reply(rcode=0, answers=1)}, interface
    home = town.home("who-looks-bare-names-up", nameserver=address)
    for libc in ("glibc", "musl"):
        found = town.looks_up(home, SHALLOW, DEEP, "com.example.bare.Nobody", libc=libc)
        assert found.pop("com.example.bare.Nobody").startswith("error: ")
        assert found == dict.fromkeys((SHALLOW, DEEP), services[DUBBO].cluster_ip)
    at_once(Behind.stop, pods.values())


# ---------------------------------------------------------------------- what older callers do not know

BY_DEFAULT, AS_TOLD, ALONE, FIXED, EARLIER = (
    f"com.example.dubbo.{name}"
    for name in ("ByName", "ByTwoNames", "ByTwoUrls", "ByConnections", "ByRegistry")
)
TOLD = "-Ddubbo.protocol.prefer-serialization=fastjson2,hessian2"
PREFERRING = {
    BY_DEFAULT: ("dubbo-3.2.16", "", ()),
    AS_TOLD: (DUBBO, "", (TOLD,)),
    ALONE: ("dubbo-3.2.16", "prefer.serialization=fastjson2", ()),
    FIXED: ("dubbo-3.2.16", "", ("-Ddubbo.protocol.serialization=fastjson2",)),
    EARLIER: ("dubbo-3.0.15", "", ()),
}
"""By interface: who provides it, with which parameters of its URL, by which options of its JVM."""
UNSAFE = (ALONE, FIXED)
OLDER, NEWER = ("dubbo-2.6.12", "dubbo-2.7.23"), ("dubbo-3.2.16", DUBBO)


def said_by_provider(town: Town, interface: str) -> str:
    """What its URL in the registry says of serializations."""
    client = town.zookeeper.client()
    try:
        [leaf] = client.get_children(f"/dubbo/{interface}/providers")
    finally:
        close(client)
    query = parse_qs(urlsplit(unquote(leaf)).query)
    keys = ("prefer.serialization", "serialization")
    return "&".join(f"{key}={value}" for key in keys for value in query.get(key, ()))


def outcome(caller: Caller, interface: str) -> str:
    """Of a call. The first ones of a program that has just started may fail for other reasons on a busy machine: who is
    to succeed has time for it."""
    caller.refer(interface)
    within = 3.0 if caller.kind in OLDER and interface == FIXED else 30.0
    found = eventually(partial(caller.tries, interface), within=within, until=lambda each: bool(each["ok"]))
    if not found["ok"]:
        print(f"{caller}, {interface}: {found['error']}")
    return "succeed" if found["ok"] else "fail"


def called(town: Town, caller: Caller, interface: str, told: str, by_registry: str) -> Preference:
    """What becomes of a call of a boarded caller, and the serializations on the wire."""
    with CallTap(caller) as tap:
        by_name = outcome(caller, interface)
    numbers = (dict.fromkeys(found) for found in (tap.requests, tap.answers))
    requests, answers = (tuple(SERIALIZATIONS[number] for number in found) for found in numbers)
    return Preference(
        caller=in_words(caller.kind), provider=in_words(PREFERRING[interface][0]),
        says=said_by_provider(town, interface), told=told, requests=requests, answers=answers, by_name=by_name,
        by_registry=by_registry,
    )  # fmt: skip


def in_words(program: str) -> str:
    return program.replace("dubbo-", "Dubbo ")


def provided(town: Town, interface: str) -> None:
    """One provider of each kind, at a Service of its own."""
    program, parameters, java = PREFERRING[interface]
    service = town.shop(f"prefers-{interface.rpartition('.')[2].lower()}", "dubbo")
    town.register(
        program, service, interface, java=java, **({"parameters": parameters} if parameters else {})
    )
    town.knows(interface, service)


def test_callers_write_by_name_what_they_write_by_the_registry_whatever_providers_prefer(town: Town) -> None:
    at_once(partial(provided, town), PREFERRING)
    items = town.operator.cli_json("export", "resolve", "--everyone")["items"]
    told = {row["key"]: f"not safe: {'; '.join(row['why'])}" if row["why"] else "safe" for row in items}
    callers = [town.caller(program, f"from-{program}") for program in (*OLDER, *NEWER)]
    by_registry = at_once(lambda caller: {each: outcome(caller, each) for each in PREFERRING}, callers)
    at_once(lambda caller: town.board(caller, *PREFERRING), callers)
    rows = {
        (caller.kind, each): called(town, caller, each, told[each], seen[each])
        for caller, seen in zip(callers, by_registry, strict=True)
        for each in PREFERRING
    }
    preferences.write(rows.values())
    for row in rows.values():
        print(row)
    for (program, interface), row in rows.items():
        assert (row.told == "safe") == (interface not in UNSAFE)
        assert row.by_name == row.by_registry, row
        if program in OLDER and interface == FIXED:
            # They do not have what is fixed, and send nothing: by the registry neither.
            assert (row.requests, row.by_name) == ((), "fail")
            continue
        assert row.by_name == "succeed"
        newer = program in NEWER and interface in (BY_DEFAULT, AS_TOLD, *UNSAFE)
        assert row.requests == row.answers == (("fastjson2",) if newer else ("hessian2",)), row
    said = page.PAGE.read_text(encoding="utf-8")
    assert verdicts.of_preferences(page.draft()) == verdicts.of_preferences(said)
