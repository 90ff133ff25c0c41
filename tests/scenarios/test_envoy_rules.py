"""What real Envoy does with the filters that soadns renders: each request reaches whom the table says, or is an error.

The whole way is real but for istiod: an estate as in ``docs/sidecar.md``, its routes, EnvoyFilters of it, Envoy, and
Dubbo on the wire. Every provider answers with its name.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from soadns.model import InterfaceId, ObjectRef
from soadns.reports.filterviews import Meshing, rendered
from soadns.routemodel import Route, Target, Vip
from soadns.sidecar import dubboproxy, filterchecks
from soadns.sidecar.destinations import Destinations
from soadns.sidecar.envoyfilters import Rendered
from soadns.sidecar.tiers import Wishes
from tests.scenarios.stage.dubbowire import FASTJSON2, OK, Call, Caller, Reply, ask, providers
from tests.scenarios.stage.envoyproxy import EnvoyProxy, clusters_named, filters_of
from tests.scenarios.stage.process import eventually
from tests.unit import test_filter_checks
from tests.unit.routes_notation import RouteBook

INLINE = Wishes(balancing="request", moves="inline")
AT_USER, AT_ACCOUNT = "10.96.0.1_20880", "10.96.0.2_20880"
NONE = Reply(0, "nobody")


def made(rows: str, wishes: Wishes = INLINE, destinations: Destinations | None = None) -> list[Rendered]:
    """What is rendered for every Service of an estate."""
    book = RouteBook()
    for row in rows.strip().splitlines():
        for statement in row.split(";"):
            book.say(statement.strip())
        book.flush()
    refs = sorted({vip.service for vip in book.table.vips.values()})
    meshing = Meshing(wishes, destinations or Destinations())
    found = [rendered(book.zone, book.table, ref, meshing) for ref in refs]
    whole = [each for each in found if each is not None]
    for each in whole:
        for one in each.filters:
            assert filterchecks.problems(one, listeners=each.listeners) == []
    return whole


@contextmanager
def envoy(tmp_path: Path, whole: list[Rendered]) -> Iterator[EnvoyProxy]:
    """Envoy with the filters; behind each cluster of Istio's is a provider that is called like the Service."""
    filters = filters_of(one for each in whole for one in each.filters)
    files = [json.loads(file.text) for each in whole for file in each.files]
    names = clusters_named([*filters.values(), *files]) - {"BlackHoleCluster"}
    with ExitStack() as stack:
        there = stack.enter_context(providers(*names))
        proxy = EnvoyProxy(tmp_path, filters, {name: [provider.port] for name, provider in there.items()})
        assert proxy.validate() == ""
        stack.callback(proxy.stop)
        proxy.start()
        yield proxy


def service(reply: Reply) -> str:
    """The Service that answered, or the status of an error."""
    if reply.status != OK:
        return str(reply.status)
    _, _, subset, host = reply.said.split("|")
    return f"{subset}@{host.split('.')[0]}" if subset else host.split(".")[0]


def reaches(proxy: EnvoyProxy, at: str, path: str, **attachments: str) -> str:
    version = attachments.pop("version", "0.0.0")
    return service(ask(proxy.ports[at], Call(path, version=version, attachments=attachments)))


MOVED = """
Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register com.x.User,com.x.Address 10.1.0.1
Service shop/account 10.96.0.2; pods shop/account 10.1.0.2; register com.x.User,com.x.Pay 10.1.0.2
unregister com.x.User 10.1.0.1; after 5s
"""


def test_an_interface_that_moved(tmp_path: Path) -> None:
    with envoy(tmp_path, made(MOVED)) as proxy:
        assert reaches(proxy, AT_USER, "com.x.User") == "account"
        assert reaches(proxy, AT_USER, "com.x.Address") == "user"
        assert reaches(proxy, AT_USER, "com.x.user") == "user"
        assert reaches(proxy, AT_USER, "com.x.Unknown") == "user"
        assert reaches(proxy, AT_ACCOUNT, "com.x.User") == "account"
        assert reaches(proxy, AT_USER, "com.x.User", group="blue", version="7") == "account"
        with Caller(proxy.ports[AT_USER]) as caller:  # two interfaces of one connection
            told = [caller.ask(Call(path)) for path in ("com.x.User", "com.x.Address") * 3]
        assert [service(reply) for reply in told] == ["account", "user"] * 3


def test_a_path_is_what_is_compared(tmp_path: Path) -> None:
    rows = """
    Service shop/user 10.96.0.1; pods shop/user 10.1.0.1
    register a.B$C 10.1.0.1 path=ctx/a.B$C; register Address 10.1.0.1
    Service shop/account 10.96.0.2; pods shop/account 10.1.0.2; register a.B$C 10.1.0.2
    unregister a.B$C 10.1.0.1; after 5s
    """
    with envoy(tmp_path, made(rows)) as proxy:
        assert reaches(proxy, AT_USER, "a.B$C") == "account"
        assert reaches(proxy, AT_USER, "ctx/a.B$C") == "account"
        assert reaches(proxy, AT_USER, "ctx/a.B") == "user"


GROUPS = """
Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register User,Address 10.1.0.1
Service shop/account 10.96.0.2; pods shop/account 10.1.0.2; register blue/User 10.1.0.2
"""


@pytest.mark.parametrize("at", [AT_USER, AT_ACCOUNT])
def test_groups_in_two_services(tmp_path: Path, at: str) -> None:
    with envoy(tmp_path, made(GROUPS)) as proxy:
        assert reaches(proxy, at, "User", group="blue") == "account"
        assert reaches(proxy, at, "User") == "user"
        assert reaches(proxy, at, "User", group="") == "user"
        assert reaches(proxy, at, "User", group="green") == "80"
        assert reaches(proxy, at, "User", group="Blue") == "80"
        assert reaches(proxy, at, "User", group="blue", version="3") == "account"
        assert reaches(proxy, at, "Address", group="green") == ("user" if at == AT_USER else "account")


VERSIONS = """
Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register User:1.0.0,User 10.1.0.1
Service shop/account 10.96.0.2; pods shop/account 10.1.0.2; register User:2.0.0 10.1.0.2
"""


def test_versions_in_two_services(tmp_path: Path) -> None:
    with envoy(tmp_path, made(VERSIONS)) as proxy:
        for at in (AT_USER, AT_ACCOUNT):
            assert reaches(proxy, at, "User", version="1.0.0") == "user"
            assert reaches(proxy, at, "User", version="2.0.0") == "account"
            assert reaches(proxy, at, "User", version="0.0.0") == "user"
            assert reaches(proxy, at, "User", version="2.0") == "80"
            assert reaches(proxy, at, "User", version="") == "80"  # Dubbo for Java writes 0.0.0
            assert ask(proxy.ports[at], Call("User", version=None)).status == 0  # the connection is cut


def test_a_version_that_nobody_gives_is_refused_where_all_have_one(tmp_path: Path) -> None:
    with envoy(tmp_path, made(VERSIONS.replace(",User ", " "))) as proxy:
        assert reaches(proxy, AT_USER, "User") == "80"
        assert reaches(proxy, AT_USER, "User", version="2.0.0") == "account"
    opened = f"missing open\n{VERSIONS.strip()}".replace(",User ", " ")
    with envoy(tmp_path, made(opened)) as proxy:
        assert reaches(proxy, AT_ACCOUNT, "User") == "user"
        assert reaches(proxy, AT_ACCOUNT, "User", version="3") == "user"


def test_what_dubbo_proxy_can_not_read_is_cut_and_counted(tmp_path: Path) -> None:
    with envoy(tmp_path, made(MOVED)) as proxy:
        call = Call("com.x.User")
        assert ask(proxy.ports[AT_USER], call, serialization=FASTJSON2).status == 0
        prefix = "dubbo.outbound|20880||user.shop.svc.cluster.local".replace("|", "[|]")
        assert eventually(lambda: proxy.stat(f"{prefix}.request_decoding_error"), within=5.0) == 1


def test_a_split_is_obeyed(tmp_path: Path) -> None:
    metadata = {"name": "user", "namespace": "shop"}
    shares = [
        {"destination": {"host": "user", "subset": f"v{i}"}, "weight": weight}
        for i, weight in ((1, 75), (2, 25))
    ]
    known = Destinations(
        [{"metadata": metadata, "spec": {"hosts": ["user"], "tcp": [{"route": shares}]}}],
        [{"metadata": metadata, "spec": {"host": "user", "subsets": [{"name": "v1"}, {"name": "v2"}]}}],
    )
    with envoy(tmp_path, made(MOVED, destinations=known)) as proxy, Caller(proxy.ports[AT_USER]) as caller:
        found = [service(caller.ask(Call("com.x.Address"))) for _ in range(200)]
        assert set(found) == {"v1@user", "v2@user"}
        assert 20 < found.count("v2@user") < 90  # of 200, 50 on average


def test_each_call_of_one_connection_is_balanced_by_itself(tmp_path: Path) -> None:
    [account, user] = made(MOVED, replace(INLINE, moves="never"))
    filters = filters_of([*account.filters, *user.filters])
    [cluster] = clusters_named(filters[AT_USER])
    with ExitStack() as stack:
        there = stack.enter_context(providers("one", "two", "three"))
        proxy = EnvoyProxy(tmp_path, filters, {cluster: [each.port for each in there.values()]})
        stack.callback(proxy.stop)
        proxy.start()
        with Caller(proxy.ports[AT_USER]) as caller:
            told = [caller.ask(Call("com.x.Address")).said for _ in range(30)]
        assert {name: told.count(name) for name in there} == {"one": 10, "two": 10, "three": 10}


def test_tier_1_sends_everything_to_the_service(tmp_path: Path) -> None:
    with envoy(tmp_path, made(MOVED, replace(INLINE, moves="never"))) as proxy:
        assert reaches(proxy, AT_USER, "com.x.User") == "user"
        assert reaches(proxy, AT_USER, "com.x.Address") == "user"


def test_rules_from_a_mounted_file_change_under_a_live_connection(tmp_path: Path) -> None:
    mounted = tmp_path / "routes"
    wishes = replace(
        INLINE, balancing="connection", moves="failing", namespaces=("web",), directory=str(mounted)
    )
    before, after = MOVED.strip().rsplit("\n", 1)[0], MOVED
    mount(mounted, made(before, wishes))
    with envoy(tmp_path, made(before, wishes)) as proxy, Caller(proxy.ports[AT_USER]) as caller:
        assert service(caller.ask(Call("com.x.User"))) == "user"

        mount(mounted, made(after, wishes))

        found = eventually(
            lambda: service(caller.ask(Call("com.x.User"))), within=10.0, until=lambda said: said == "account"
        )
        assert found == "account"  # on the connection that there was
        assert service(caller.ask(Call("com.x.Address"))) == "user"
        assert proxy.stat("listener_manager.listener_modified") == 0


ENVOY_REFUSES = [
    "b3: a type that Envoy lacks",
    "d: no method",
    "d: an empty prefix",
    "e: an empty stat_prefix",
    "e: no stat_prefix",
    "k: a number for a text",
    "n: a bad regular expression",
    "n: one that is not RE2",
    "no weight",
    "no cluster of several",
]


@pytest.mark.parametrize("mistake", ENVOY_REFUSES)
def test_what_envoy_refuses_is_refused_before(tmp_path: Path, mistake: str) -> None:
    """With what each sidecar would refuse the whole listener for, if it got that far."""
    found = test_filter_checks.good()
    assert EnvoyProxy(tmp_path, filters_of([found]), {}).validate() == ""
    test_filter_checks.MISTAKES[mistake](found)
    assert filterchecks.problems(found)
    assert EnvoyProxy(tmp_path, filters_of([found]), {}).validate() != ""


def mount(folder: Path, whole: list[Rendered]) -> None:
    """Put the files where a kubelet does: it replaces a link to a folder, through which all others lead."""
    folder.mkdir(exist_ok=True)
    number = len(list(folder.iterdir()))
    data = folder / f"..{number}"
    data.mkdir()
    for file in (file for each in whole for file in each.files):
        (data / file.key).write_text(file.text)
        if not (folder / file.key).is_symlink():
            (folder / file.key).symlink_to(f"..data/{file.key}")
    (folder / "..data_tmp").symlink_to(data.name)
    os.replace(folder / "..data_tmp", folder / "..data")


@pytest.mark.parametrize("seed", range(6))
def test_envoy_decides_as_the_table_does(tmp_path: Path, seed: int) -> None:
    """Random rules of all kinds: whatever is asked, Envoy leads it where ``Vip.route`` does, or refuses it."""
    rng = random.Random(seed)
    names, groups, versions = ["A", "A$B", "ctx/A", "B"], ["", "blue", "green"], ["", "1", "2"]
    home = ObjectRef("home", "shop", "user")

    def target(name: str) -> Target:
        return Target("service", ObjectRef("home", "shop", name), f"{name}.shop.svc.cluster.local", 20880)

    routes: list[Route] = []
    for name in sorted(rng.sample(names, rng.randint(1, 4))):
        by_group, by_version = rng.choice([(True, False), (False, True), (True, True), (False, False)])
        variants = itertools.product(groups if by_group else [None], versions if by_version else [None])
        kept = [variant for variant in variants if rng.random() < 0.7 or variant == (None, None)]
        for group, version in sorted(kept, key=lambda v: (not v[0], not v[1], str(v))):
            goes = rng.choice([target("user"), target("account"), target("third")])
            routes.append(Route(name, group, version, goes, "variant"))
        if (by_group or by_version) and rng.random() < 0.8:
            routes.append(Route(name, None, None, None, "missing"))
    routes.append(Route("*", None, None, target("user"), "own"))
    vip = Vip("10.96.0.1", 20880, home, "uid", "user.shop.svc.cluster.local", tuple(routes))
    config = dubboproxy.route_configuration(vip.routes, "rules", lambda to: to.cluster, "BlackHoleCluster")
    filters = {AT_USER: dubboproxy.inline("rules", config)}
    with ExitStack() as stack:
        hosts = [target(name).cluster for name in ("user", "account", "third")]
        there = stack.enter_context(providers(*hosts))
        proxy = EnvoyProxy(tmp_path, filters, {name: [each.port] for name, each in there.items()})
        assert proxy.validate() == "", json.dumps(config, indent=1)
        stack.callback(proxy.stop)
        proxy.start()
        caller = stack.enter_context(Caller(proxy.ports[AT_USER]))
        for name, group, version in itertools.product(
            [*names, "C"], [*groups, "red"], [*versions, "3", "0.0.0"]
        ):
            expected = vip.route(name, group, version).target
            attachments = {"group": group} if group else {}
            reply = caller.ask(Call(name, version=version or "0.0.0", attachments=attachments))
            want = expected.service.name if expected is not None and expected.service is not None else "80"
            assert service(reply) == want, (str(InterfaceId(name, group, version)), reply, json.dumps(config))
