"""Moves of which every trace is lost but the rules that stand in the cluster: read back from there. Pure.

That is so where all replicas lost their state, and the ConfigMaps that they share it by are gone as well. Whoever came
next would know of no move, and take rules away that callers still need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from soadns.mesh.filterplan import Name, Standing
from soadns.mesh.moveledger import Fact
from soadns.mesh.standing import service_of
from soadns.model import InterfaceId, ObjectRef, ServedPort
from soadns.routemodel import Move
from soadns.sidecar.moves import joined
from soadns.sidecar.routes import RouteTable
from soadns.sidecar.standingrules import Left, what_left
from soadns.sidecar.wirenames import meant

DUBBO = "dubbo"
"""What is called by the rules of a filter."""


def moves(
    zone: str,
    home: str,
    table: RouteTable,
    standing: Mapping[Name, Standing],
    files: Callable[[str], Mapping[str, str]],
    lost: Callable[[Fact], bool],
    now: float,
) -> list[Move]:
    """What the filters say of moves that nobody knows of.

    Only those count that nobody else has a hand in, of Services that still are the same.

    :param files: those of rules that stand in a namespace, by their names.
    :param lost: whether nothing is known of a move, not even that it was forgotten.
    :param now: Unix seconds.
    """
    found: dict[Fact, Move] = {}
    for (namespace, _), each in sorted(standing.items()):
        where, _, name = service_of(each).partition("/")
        ref = ObjectRef(home, where, name)
        service = table.services.get(ref)
        if service is None or service.uid != each.uid or not each.untouched:
            continue
        for left in what_left(each.document, files(namespace), table.services.host(ref)):
            for interface in _interfaces(table, left):
                fact = Fact(zone, ref, interface)
                if table.moves.get(ref, interface) is None and lost(fact):
                    move = Move(
                        ref,
                        interface,
                        service.cluster_ips,
                        (ServedPort(DUBBO, left.port),),
                        (left.wire,),
                        now,
                    )
                    found[fact] = joined(found[fact], move) if fact in found else move
    return [move for move in found.values() if table.holds(move)]


def _interfaces(table: RouteTable, left: Left) -> Iterable[InterfaceId]:
    """Those whose callers write the wire name; of one that nobody has now, what the rules call it.

    A path ends with the interface, behind what it is called below (``ctx/com.x.Api``). Of one that several interfaces
    have now nobody can say whose rule it was: none is believed to have moved.
    """
    name = left.wire.rpartition("/")[2]
    known = table.wires.variants(left.wire) or table.wires.variants(name)
    names = meant(left.wire, {interface.name for interface in known})
    if len(names) > 1:
        return []
    known = tuple(interface for interface in known if interface.name in names)
    return known or [InterfaceId(name, group, version) for group, version in left.variants or [("", "")]]
