"""The notation of the tables in ``docs/sidecar.md``: that of ``docs/binding.md``, with routes in the right column."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace

from soadns.addresses import print_address
from soadns.model import Provider
from soadns.persistence.snapshot import Snapshot
from soadns.routemodel import Route, Vip
from soadns.routing import Routing
from soadns.sidecar.clusters import cluster_name
from soadns.sidecar.routes import RouteTable
from tests.unit.notation import ZONE, Notebook
from tests.unit.tables import host_port, interface_id, words_of


@dataclass
class RouteBook(Notebook):
    """An estate whose decisions a ``Routing`` follows, as in the control process."""

    missing: str = "closed"
    routing: Routing = field(init=False)
    kept: Snapshot | None = None

    @property
    def table(self) -> RouteTable:
        return self.routing.tables[ZONE]

    def work(self) -> None:
        fresh = getattr(self, "routing", None) is None or self.routing._estate is not self.estate
        if fresh:
            self.routing = Routing(self.estate, self.missing, "replica")
            self.routing.begin({} if self.kept is None else self.kept.moves)
            self.saved.moves = {ZONE: self.table.moves}
        super().work()
        self.follow()
        if self.zone.complete and not self.estate.pending:
            self.routing.announce(ZONE, self.now)

    def follow(self) -> None:
        self.routing.follow(self.now)
        while self.routing.pending:
            self.routing.follow(self.now)

    # ---------------------------------------------------------------- verbs

    def do_missing(self, words: list[str], _: dict[str, str]) -> None:
        """Whether a group or version that nobody has is refused (``closed``) or not (``open``)."""
        [self.missing] = words
        self.start(self.settings)

    def do_restart(self, words: list[str], options: dict[str, str]) -> None:
        """With the moves of the snapshot, unless it is ``lost``."""
        self.flush()
        self.kept = self.saved.read(self.estate, self.now)
        if "lost" in words:
            self.kept = None
            self.estate = type(self.estate)([self.settings])
            self.sent = {source: {} for source in self.seen}
            self.down = set(self.seen)
        else:
            super().do_restart(words, options)

    def do_forget(self, words: list[str], _: dict[str, str]) -> None:
        interface = interface_id(words[1]) if words[1:] else None
        assert self.routing.forget(ZONE, self.ref(words[0]), interface, self.now)

    def provider(self, source: str, interface: str, place: str, options: dict[str, str]) -> Provider:
        preferred = tuple(options["serialization"].split(",")) if "serialization" in options else ()
        found = super().provider(source, interface, place, options)
        return replace(found, path=options.get("path", ""), serialization=preferred)

    # ---------------------------------------------------------------- answers

    def check(self, answer: str, subject: str, number: int) -> str:
        """``10.96.0.1 routes …``, ``sends … to …``, ``reaches … at …``, ``moves …``; else what DNS answers."""
        first, _, rest = answer.partition(" ")
        verb = rest.split(" ")[0]
        if first in ("moves", "untold"):
            found = getattr(self, f"see_{first}")()
            assert found == rest, f"line {number}: {first} {found!r}, not {rest!r}"
        elif verb in ("routes", "sends", "reaches", "says"):
            found = getattr(self, f"see_{verb}")(first, rest)
            assert found == rest, f"line {number}: {first} {found!r}, not {rest!r}"
        else:
            return super().check(answer, subject, number)
        return subject

    def see_moves(self) -> str:
        """Every interface that callers of a Service may still send to it."""
        found = [f"{short(move.service)}→{move.interface}" for move in self.table.moves]
        return ", ".join(found) or "none"

    def see_untold(self) -> str:
        """Why routes are not told."""
        return self.routing.unready(ZONE).split(":")[0].removeprefix(f"{ZONE} ")

    def see_routes(self, at: str, _: str) -> str:
        """All rules of a ClusterIP and port, in order."""
        vip = self.table.vips.get(host_port(at))
        return f"routes {', '.join(shown(vip, route) for route in vip.routes)}" if vip else "routes none"

    def see_says(self, at: str, rest: str) -> str:
        """Why a rule is there."""
        wire = shlex.split(rest)[1]
        vip = self.table.vips[host_port(at)]
        return f"says {wire} {', '.join(route.why for route in vip.routes if route.interface == wire)}"

    def see_sends(self, at: str, rest: str) -> str:
        """Where one request goes; ``User group=blue version=1.0``."""
        asked, _, _ = rest.removeprefix("sends ").partition(" to ")
        return f"sends {asked} to {goes(*self.asked(at, asked))}"

    def see_reaches(self, at: str, rest: str) -> str:
        """The endpoints of where it goes."""
        asked, _, _ = rest.removeprefix("reaches ").partition(" at ")
        _, route = self.asked(at, asked)
        assert route.target is not None
        cluster = self.routing.clusters[ZONE].clusters[cluster_name(route.target)]
        return (
            f"reaches {asked} at {', '.join(print_address(*end) for end in cluster.endpoints) or 'nothing'}"
        )

    def asked(self, at: str, request: str) -> tuple[Vip, Route]:
        """The place, and the route of one request there."""
        [wire], options = words_of(request)
        vip = self.table.find(*host_port(at))
        assert vip is not None
        return vip, vip.route(wire, options.get("group", ""), options.get("version", ""))


def short(ref: object) -> str:
    return str(ref).removeprefix("home/")


def shown(vip: Vip, route: Route) -> str:
    """``[group/]wire[:version]→where``; ``-`` is none given, and what is not compared is left out."""
    group, version = ("-" if part == "" else part for part in (route.group, route.version))
    text = f"{group}/{route.interface}" if group is not None else route.interface
    text += f":{version}" if version is not None else ""
    return f"{text}→{goes(vip, route)}"


def goes(vip: Vip, route: Route) -> str:
    """The Service, with its port where that is another one; ``providers``, or ``refused``."""
    if route.target is None:
        return "refused"
    where = "providers" if route.target.service is None else short(route.target.service)
    where += f" ({route.target.kind})" if route.target.kind in ("headless", "remote") else ""
    return where if route.target.port == vip.port else f"{where}:{route.target.port}"
