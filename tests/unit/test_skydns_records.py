"""Names as keys of etcd: what CoreDNS's plugin answers from them is what the zone answers, for every name."""

from __future__ import annotations

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from soadns.model import Records, ServedPort
from soadns.nameserver import wire
from soadns.nameserver.table import READY
from soadns.nameserver.zone import ZoneData
from soadns.skydns.book import MOST, Book
from soadns.skydns.plan import Held, batches, steps
from soadns.skydns.records import Layout, names_of
from soadns.skydns.survey import Survey
from tests.unit.etcd_plugin import Plugin

pytestmark = pytest.mark.long

ORIGIN = "rpc.test"
LAYOUT = Layout("/skydns", "us")
SERVED = (ServedPort("dubbo", 20880), ServedPort("tri", 50051), ServedPort("dubbo", 20881))
POOL = (
    Records(("10.96.0.1",)),
    Records(("10.96.0.2",), ports=SERVED, texts=("host=a.b", "kind=service")),
    Records(("10.96.0.3", "10.96.0.4", "fd00::1"), ttl=5, rotate=True, ports=SERVED[:1]),
    Records(("fd00::2",)),
    Records(texts=("alone",)),
    Records(unsaid=True),
    None,
)
LABELS = (
    "a",
    "B",
    "Foo",
    "foo-bar",
    "x1",
    "Outer$Inner",
    "E",
    "A10",
    "_tcp",
    "_dubbo",
    "ns",
    "dns",
    "Foo--v-1",
)
NAMES = st.lists(st.sampled_from(LABELS), min_size=1, max_size=4).map(".".join)
CHANGES = st.lists(st.dictionaries(NAMES, st.sampled_from(POOL), min_size=1, max_size=4), max_size=4)


def zone_of(changes: list[dict[str, Records | None]], *, nested: tuple[str, ...] = ()) -> ZoneData:
    zone = ZoneData(ORIGIN, nested=nested)
    zone.start(("192.0.2.53",))
    zone.set_state(READY)
    for serial, each in enumerate(changes):
        zone.apply(each, serial=serial + 1)
    return zone


def keys_of(zone: ZoneData) -> dict[str, str]:
    """All that etcd is to have."""
    return {key: value for name in names_of(zone) for key, value in LAYOUT.wanted(zone, name).values.items()}


def folded(name: str) -> bytes:
    return wire.fold(wire.encode_name(name))


def answers(zone: ZoneData, kind: str) -> dict[str, set[str]]:
    """By name, in small letters, the data of a type, as the plugin's model spells them."""
    found: dict[str, set[str]] = {}
    for rrset in zone.rrsets():
        if rrset.type == kind:
            data = set(rrset.data)
            if kind == "SRV":
                data = {" ".join(_plain(one).split()[2:]) for one in data}
            elif kind == "TXT":
                data = {string for one in data for string in json.loads(f"[{one.replace(' ', ',')}]")}
            found[_plain(rrset.owner)] = data
    return found


def _plain(text: str) -> str:
    return text.lower().removesuffix(".").replace("\\", "")


# --------------------------------------------------------------------------- what the plugin answers


@settings(max_examples=50)
@given(CHANGES)
def test_the_plugin_answers_every_name_as_the_zone_does(changes: list[dict[str, Records | None]]) -> None:
    zone = zone_of(changes)
    plugin = Plugin(keys_of(zone))
    reserved = {f"{name}.{ORIGIN}" for name in ("ns", "dns", "apex.dns", "ns.dns")}
    existing = {".".join(wire_labels(name)) for name in names_of(zone)}
    for kind in ("A", "AAAA", "SRV", "TXT"):
        held = answers(zone, kind)
        for name in existing | {f"z.{name}" for name in existing} | {f"a10.{name}" for name in existing}:
            if name in reserved or name.endswith((f".ns.dns.{ORIGIN}", f".apex.dns.{ORIGIN}")):
                continue
            wanted = LAYOUT.wanted(zone, folded(name))
            if wanted.stands:
                continue
            code, data = plugin.answer(name, kind)
            assert data == held.get(name, set()), f"{name} {kind}"
            assert (code == "NOERROR") == (name in existing), f"{name} {kind}"


def wire_labels(name: bytes) -> list[str]:
    labels = []
    while length := name[0]:
        labels.append(name[1 : length + 1].decode())
        name = name[length + 1 :]
    return labels


# --------------------------------------------------------------------------- what is written


def test_the_keys_of_a_name_in_full() -> None:
    zone = zone_of(
        [{"com.x.Foo": Records(("10.96.0.1", "fd00::1"), ttl=30, ports=SERVED[:1], texts=("host=f",))}]
    )
    head = "/skydns/test/rpc"
    group, service = "com.x.foo.rpc.test", "_dubbo._tcp.com.x.foo.rpc.test"
    expected = {
        f"{head}/E": {"host": "rpc.test", "port": -1, "group": "rpc.test"},
        f"{head}/dns/apex/E": {"host": "apex.dns.rpc.test", "port": -1, "group": "apex.dns.rpc.test"},
        f"{head}/dns/ns/E": {},
        f"{head}/ns/E": {"host": "ns.rpc.test", "port": -1, "group": "ns.rpc.test"},
        f"{head}/foo/E": {"host": "foo.rpc.test", "port": -1, "group": "foo.rpc.test"},
        f"{head}/foo/x/E": {"host": "x.foo.rpc.test", "port": -1, "group": "x.foo.rpc.test"},
        f"{head}/foo/x/com": {},
        f"{head}/foo/x/com/A10.96.0.1": {"host": "10.96.0.1", "port": -1, "ttl": 30, "group": group},
        f"{head}/foo/x/com/Afd00::1": {"host": "fd00::1", "port": -1, "ttl": 30, "group": group},
        f"{head}/foo/x/com/T0": {
            "host": "com.x.Foo.rpc.test", "text": "host=f", "port": -1, "ttl": 30, "group": group
        },
        f"{head}/foo/x/com/_tcp/E": {
            "host": "_tcp.com.x.foo.rpc.test", "port": -1, "group": "_tcp.com.x.foo.rpc.test"
        },
        f"{head}/foo/x/com/_tcp/_dubbo": {},
        f"{head}/foo/x/com/_tcp/_dubbo/S20880": {
            "host": "_dubbo._tcp.com.x.Foo.rpc.test", "targetstrip": 2, "port": 20880, "ttl": 30, "group": service,
        },
    }  # fmt: skip
    found = {key: json.loads(value) for key, value in keys_of(zone).items()}
    assert found == {key: value | {"soadns": "us"} for key, value in expected.items()}


@pytest.mark.parametrize(
    ("text", "written"),
    [("a\\b", "a\\\\b"), ('say "x"', 'say "x"'), ("交易", "交易")],
    ids=["backslash", "quotes", "not ASCII"],
)
def test_a_text_is_written_as_the_plugin_reads_it(text: str, written: str) -> None:
    zone = zone_of([{"a": Records(("10.0.0.1",), texts=(text,))}])
    assert json.loads(keys_of(zone)["/skydns/test/rpc/a/T0"])["text"] == written


def test_a_ttl_of_0_is_none_to_the_plugin() -> None:
    zone = zone_of([{"a": Records(("10.0.0.1",), ttl=0)}])
    assert json.loads(keys_of(zone)["/skydns/test/rpc/a/A10.0.0.1"])["ttl"] == 1


@pytest.mark.parametrize(
    "name", ["com.x.Any", "any.Foo", "com.any.x.Foo", "com.ns.Dns", "apex.DNS", "ns.dns"]
)
def test_a_name_that_the_plugin_takes_for_something_else_is_left_out(name: str) -> None:
    zone = zone_of([{name: Records(("10.0.0.1",)), "com.x.Foo": Records(("10.0.0.2",))}])
    assert not any("10.0.0.1" in value for value in keys_of(zone).values())
    assert LAYOUT.wanted(zone, folded(f"{name}.{ORIGIN}")).unfit


@pytest.mark.parametrize(
    ("name", "stands"),
    [
        ("com.x.Foo", True), ("com.x.Foo--v-1-0-0", True), ("a.com.x.Foo", True), ("_dubbo._tcp.com.x.Foo", True),
        ("com.x.Bar", False), ("com.y.Foo", False),
    ],
)  # fmt: skip
def test_what_etcd_has_of_a_name_of_which_nothing_may_be_said_stands(name: str, stands: bool) -> None:
    zone = zone_of([{"com.x.Foo": Records(unsaid=True), "com.z.Bar": Records(("10.0.0.1",))}])
    assert LAYOUT.wanted(zone, folded(f"{name}.{ORIGIN}")).stands is stands


@given(NAMES.map(lambda name: folded(f"{name}.{ORIGIN}")))
def test_a_key_tells_whose_it_is(name: bytes) -> None:
    path, (start, end) = LAYOUT.own(name)
    zone = zone_of([{".".join(wire_labels(name)[:-2]): POOL[1]}])
    for key in LAYOUT.wanted(zone, name).values:
        assert LAYOUT.name_of(key) == name
        assert key == path or start <= key < end
    below = [key for other in names_of(zone) if other != name for key in LAYOUT.wanted(zone, other).values]
    assert not any(key == path or start <= key < end for key in below)


# --------------------------------------------------------------------------- what is done

KEYS = st.sampled_from([f"/k/{name}" for name in "abcdefgh"])
OURS, THEIRS = '{"soadns":"us"}', '{"soadns":"them"}'
VALUES = st.sampled_from([OURS, '{"host":"x","soadns":"us"}', THEIRS, "no JSON", "[1]", ""])


@given(
    st.dictionaries(KEYS, st.sampled_from([OURS, '{"host":"y","soadns":"us"}'])),
    st.dictionaries(KEYS, st.builds(Held, VALUES, st.integers(1, 99))),
)
def test_the_steps_give_what_is_wanted_and_leave_what_others_have(
    wanted: dict[str, str], held: dict[str, Held]
) -> None:
    after = {key: one.value for key, one in held.items()}
    others = {key: value for key, value in after.items() if not LAYOUT.is_ours(value)}
    for step in steps(wanted, held, LAYOUT.is_ours):
        assert step.revision == (held[step.key].revision if step.key in held else 0)
        if step.value is None:
            del after[step.key]
        else:
            assert after.get(step.key) != step.value, "nothing is written in vain"
            after[step.key] = step.value
    assert after == wanted | others


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 20))
def test_what_changes_of_a_name_is_in_one_batch_if_there_is_room(sizes: list[int], most: int) -> None:
    units = [
        steps({f"/{unit}/{number}": OURS for number in range(size)}, {}, LAYOUT.is_ours)
        for unit, size in enumerate(sizes)
    ]
    found = list(batches(units, most))
    assert [step for batch in found for step in batch] == [step for unit in units for step in unit]
    assert all(0 < len(batch) <= most for batch in found)
    for unit in units:
        if 0 < len(unit) <= most:
            assert any(all(step in batch for step in unit) for batch in found)


# --------------------------------------------------------------------------- what is looked at


class Store(dict[str, str]):
    """etcd, and who publishes to it, without time."""

    def catch_up(self, book: Book) -> int:
        """Do what is to be done of all names that were noted; returns how many those were."""
        count = 0
        while names := book.take(3):
            count += len(names)
            for name in names:
                wanted = LAYOUT.wanted(book.zone, name)
                path, (start, end) = LAYOUT.own(name)
                held = {
                    key: Held(value, 1) for key, value in self.items() if key == path or start <= key < end
                }
                for step in steps(wanted.values, held, LAYOUT.is_ours) if not wanted.stands else []:
                    if step.value is None:
                        del self[step.key]
                    else:
                        self[step.key] = step.value
        return count

    def compare(self, book: Book) -> Survey:
        """What a comparison with the whole zone finds, noted."""
        survey = Survey(LAYOUT, book.zone)
        start, end = LAYOUT.below(book.zone.origin_wire)
        for key in sorted(self):
            if start <= key < end:
                survey.see(key, self[key])
        book.note(*filter(None, survey.missing()))
        book.note(*survey.wrong)
        book.due = False
        return survey


def book_of(zone: ZoneData) -> Book:
    book = Book(zone, lambda: None)
    zone.witnesses.append(book)
    return book


def standing(zone: ZoneData, store: Store) -> dict[str, str]:
    """What of a store is of names of which nothing may be said."""
    found = {}
    for key, value in store.items():
        name = LAYOUT.name_of(key)
        if name is not None and LAYOUT.wanted(zone, name).stands:
            found[key] = value
    return found


@settings(max_examples=50)
@given(CHANGES, CHANGES)
def test_who_follows_changes_has_what_who_compares_all_has(
    before: list[dict[str, Records | None]], after: list[dict[str, Records | None]]
) -> None:
    zone = zone_of(before)
    book, store = book_of(zone), Store()
    store.compare(book)
    store.catch_up(book)
    assert store == keys_of(zone)
    for serial, changes in enumerate(after):
        zone.apply(changes, serial=100 + serial)
        store.catch_up(book)
        assert dict(store.items() - standing(zone, store).items()) == keys_of(zone)
        assert not book.pending
    again = store.compare(book)
    assert not again.wrong
    assert not again.foreign
    assert again.keys == len(store)


def test_a_change_of_an_answer_is_looked_at_alone() -> None:
    zone = zone_of([{f"com.x.Foo{number}": POOL[1] for number in range(50)}])
    book, store = book_of(zone), Store()
    store.compare(book)
    store.catch_up(book)
    zone.apply({"com.x.Foo7": POOL[0]}, serial=99)
    assert store.catch_up(book) == 4, "the name, two of its services, and what leads to these"
    zone.apply({"com.x.Foo7": None}, serial=100)
    assert store.catch_up(book) == 3, "the name, and the two that led to it"


def test_what_is_not_in_the_zone_goes_and_what_is_not_ours_stays() -> None:
    zone = zone_of([{"com.x.Foo": POOL[0]}])
    book, store = book_of(zone), Store()
    store.compare(book)
    store.catch_up(book)
    right = dict(store)
    theirs = {
        "/skydns/test/rpc/foo/x/com/x1": '{"host":"192.0.2.1"}',
        "/skydns/test/rpc/foo/x/com/A192.0.2.1": THEIRS,
        "/skydns/test/rpc//": "no JSON",
    }
    ours = {
        "/skydns/test/rpc/bar/x/com/A10.0.0.9": OURS,
        "/skydns/test/rpc/foo/x/com/A10.0.0.9": OURS,
        "/skydns/test/rpc/bar/x/E": OURS,
        "/skydns/test/rpc/foo/E": '{"host":"changed by hand","soadns":"us"}',
    }
    store.update(theirs | ours)
    found = store.compare(book)
    assert sorted(found.foreign) == sorted(theirs)
    assert (found.vanishing.names, found.vanishing.of) == (1, 2)
    store.catch_up(book)
    assert store == right | theirs


@pytest.mark.parametrize(
    ("held", "left", "trips"),
    [(100, 80, False), (100, 79, True), (24, 5, False), (25, 5, True), (25, 0, True)],
)
def test_the_brake_counts_names_that_would_lose_all(held: int, left: int, trips: bool) -> None:
    before = zone_of([{f"com.x.Foo{number}": POOL[1] for number in range(held)}])
    store = Store(keys_of(before))
    zone = zone_of([{f"com.x.Foo{number}": POOL[0] for number in range(left)}])
    survey = store.compare(book_of(zone))
    assert (survey.vanishing.names, survey.vanishing.of) == (held - left, held)
    assert survey.vanishing.trips(0.2, 20) is trips
    gone = {".".join(wire_labels(name)) for name in survey.vanished()}
    assert {f"com.x.foo{number}.rpc.test" for number in range(left, held)} <= gone
    assert not any(f"com.x.foo{number}.rpc.test" in gone for number in range(left))


def test_keys_of_a_zone_within_another_are_not_the_outer_ones() -> None:
    inner = "inner.rpc.test"
    zone = zone_of([{"com.x.Foo": POOL[0]}], nested=(inner,))
    other = ZoneData(inner)
    other.start()
    other.set_state(READY)
    other.apply({"com.x.Foo": POOL[1]}, serial=1)
    store = Store(keys_of(zone) | keys_of(other))
    survey = store.compare(book_of(zone))
    assert not survey.wrong
    assert not survey.foreign
    assert survey.keys == len(keys_of(zone))


def test_of_too_many_changes_the_whole_zone_is_compared() -> None:
    zone = zone_of([])
    book = book_of(zone)
    book.due = False
    for number in range(MOST // 2):
        zone.apply({f"a.b.Foo{number}": POOL[0]}, serial=number + 1)
    assert book.due
    assert not book.take(10)


def test_before_a_comparison_nothing_is_noted() -> None:
    zone = zone_of([])
    book = book_of(zone)
    zone.apply({"a": POOL[0]}, serial=1)
    assert book.pending
    assert not book.take(10)
