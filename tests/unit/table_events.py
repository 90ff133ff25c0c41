"""What a table of routes may be told, for tests that tell it anything in any order: Services, bindings and wire names.

Wire names are those of one interface and paths that several have; Services have twins in another cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from soadns.model import Binding, InterfaceId, ObjectRef, Port, ServedPort, Service
from soadns.sidecar.routes import RouteTable

REFS = [ObjectRef("home", "shop", name) for name in ("user", "account", "third")]
AWAY = [ref._replace(cluster="east") for ref in REFS[1:]]
INTERFACES = [
    InterfaceId("A"), InterfaceId("A", "blue"), InterfaceId("A", version="1"), InterfaceId("A", "blue", "1"),
    InterfaceId("B$c"), InterfaceId("C"), InterfaceId("C", version="1"),
]  # fmt: skip
PORTS = (ServedPort("dubbo", 20880), ServedPort("bolt", 12200))

Told = tuple[str, ObjectRef | InterfaceId, object]
"""``service`` or ``binding``, whose, and what it is now; or ``forget``, what left whom."""


def service(number: int, ip: int, *, uid: str = "1", ports: Sequence[int] = (20880,)) -> Service:
    return Service(
        REFS[number], uid, 100.0 * number, cluster_ips=(f"10.96.0.{ip}",), ports=tuple(map(Port, ports))
    )


def binding(
    interface: InterfaceId, ref: ObjectRef | None, ports: tuple[ServedPort, ...] = PORTS[:1]
) -> Binding:
    kind = "providers" if ref is None else "service" if ref.cluster == "home" else "remote"
    host = f"{ref.name}.{ref.namespace}.svc.cluster.local" if ref is not None else ""
    return Binding(interface, kind, ("192.0.2.1",), ports, ref, host, 2)


def services() -> st.SearchStrategy[Told]:
    def variants(number: int) -> st.SearchStrategy[Told]:
        ip = number + 1
        values = [
            service(number, ip), service(number, ip), service(number, ip % 3 + 1), service(number, (ip + 1) % 3 + 1),
            service(number, ip, uid="2"), service(number, ip, ports=(20880, 12200)),
            service(number, ip, ports=(30880,)), None,
            replace(service(number, ip), cluster_ips=(f"10.96.0.{ip}", "fd00::1")),
            replace(service(number, ip), cluster_ips=("fd00::1", f"10.96.0.{ip % 3 + 1}")),
            replace(service(number, ip), cluster_ips=(), headless=True),
        ]  # fmt: skip
        return st.sampled_from(values).map(lambda value: ("service", REFS[number], value))

    return st.integers(0, 2).flatmap(variants)


def bindings() -> st.SearchStrategy[Told]:
    where = st.sampled_from([*REFS, *REFS, *AWAY, None, "unbound"])
    ports = st.sampled_from([PORTS[:1], PORTS[:1], PORTS, ()])
    paths = st.sampled_from([(), (), ("A",), ("api",), ("api", "ctx/A"), ("*", "C:1")])

    def told(interface: InterfaceId) -> st.SearchStrategy[Told]:
        return st.tuples(where, ports, paths).map(
            lambda drawn: (
                "binding",
                interface,
                None if drawn[0] == "unbound" else (binding(interface, drawn[0], drawn[1]), drawn[2]),
            )
        )

    return st.sampled_from(INTERFACES).flatmap(told)


def forgets() -> st.SearchStrategy[Told]:
    return st.sampled_from(REFS).map(lambda ref: ("forget", ref, None))


def instants() -> st.SearchStrategy[list[list[Told]]]:
    told = st.one_of(services(), bindings(), bindings(), bindings(), forgets())
    one = st.lists(told, max_size=6, unique_by=lambda told: told[1])
    return st.lists(one, min_size=1, max_size=8)


def hear(table: RouteTable, batch: Sequence[Told]) -> None:
    for kind, whose, value in batch:
        if kind == "service":
            assert isinstance(whose, ObjectRef)
            table.put(whose, value, f"{whose.name}.{whose.namespace}.svc.cluster.local")  # type: ignore[arg-type]
        elif kind == "forget":
            assert isinstance(whose, ObjectRef)
            table.forget(whose)
        else:
            assert isinstance(whose, InterfaceId)
            bound, wires = value if value is not None else (None, ())  # type: ignore[misc]
            table.bind(whose, bound, wires)


def table_of(history: Sequence[Sequence[Told]], missing: str) -> RouteTable:
    table = RouteTable("home", missing)
    for number, batch in enumerate(history):
        hear(table, batch)
        table.flush(float(number))
    return table
