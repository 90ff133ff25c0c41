"""What callers in a mesh make of what happens, step by step, and what that is held to at each tier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

from tests.scenarios.stage.istiosidecar import DRAIN_S
from tests.scenarios.stage.mesh import CALLERS, MOVES, Kind, Mesh
from tests.scenarios.stage.meshtable import MOVED, STAYED
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.town import Server
from tests.scenarios.stage.watch import FEW, Line, Seen, Watched, may_fail

ALL = (*STAYED, *MOVED)
DUBBO = [kind for kind in CALLERS if kind.protocol == "dubbo"]
INLINE = [kind for kind in DUBBO if not kind.files]
FILES = [kind for kind in DUBBO if kind.files]
BOLT = [kind for kind in CALLERS if kind.protocol == "bolt"]
LOST = {"dubbo-2.7.23": 1, "dubbo-3.3.5": 0}
"""Calls of a line that fail at most when its connection is cut: the one under way, where nothing tries it again."""
SETTLED_S = DRAIN_S + 1.5
"""After so long what was cut by a change of a filter is over."""
AWAY_S = 10.0
"""How long a server is away, at least: longer than names are kept, connections drained and sessions held."""
WATCH_AGAIN_S = 120.0
"""istiod tries once in half a minute at last, or in a minute."""


class Story:
    """What was seen at each of its steps."""

    name = ""
    """What its rows in ``build/mesh/rows.json`` are known by, from which ``docs/istio.md`` has a table."""

    def __init__(self, mesh: Mesh, lines: list[Line]) -> None:
        self.mesh, self.lines = mesh, lines
        self.seen: dict[str, Watched] = {}
        self._watches: Counter[str] = Counter()
        """Of the API server, when it was killed."""

    def watch(
        self,
        step: str,
        happens: Callable[[], object],
        *,
        moved: bool | Collection[Kind] = False,
        within: float = 25.0,
        at_least: float = SETTLED_S,
        cut: Sequence[Kind] = (),
        lines: Collection[Line] = (),
    ) -> None:
        """See ``Mesh.watch``; ``lines`` are those that are looked at, where that is not all of them."""
        at_least = min(within, at_least)
        self.seen[step] = self.mesh.watch(
            step, lines or self.lines, happens, moved=moved, at_least=at_least, within=within, cut=cut, story=self.name
        )  # fmt: skip

    def kill(self, *servers: Server) -> None:
        """kill -9."""
        api = self.mesh.town.api
        if api in servers:
            self._watches = api.watches()
            assert self._watches
        self.mesh.town.kill(*servers)

    def all_watch(self) -> None:
        """Wait until all who watched the API server when it was killed do so again: each tries ever more slowly."""
        found = eventually(self.mesh.town.api.watches, within=WATCH_AGAIN_S, until=self._watches.__le__)
        assert found >= self._watches, self._watches - found

    def without(self, name: str, *servers: Server, begins: str = "", moved: bool = False) -> None:
        """Kill servers and start them again, in two steps, whose names begin so."""
        killed, back = f"{begins}{name} killed", f"{begins}{name} back"
        self.watch(killed, lambda: self.kill(*servers), moved=moved, at_least=AWAY_S)
        self.watch(back, lambda: self.mesh.town.restart(*servers), moved=moved)

    def known(self, *, moved: bool) -> None:
        """Wait until all replicas know where what moves is."""
        for estate in self.mesh.estates.values():
            service = estate.account if moved else estate.user
            self.mesh.town.knows(MOVES, service, quarter=estate.quarter)

    def move(self) -> None:
        """In all estates."""
        for protocol in self.mesh.estates:
            self.mesh.move(protocol)

    def move_back(self) -> None:
        """Likewise."""
        for protocol in self.mesh.estates:
            self.mesh.move_back(protocol)

    # ------------------------------------------------------------------ what was seen

    def of(self, step: str, kind: Kind, *names: str) -> list[Seen]:
        """What became of some of a caller's lines; of those of ``ALL`` that were looked at, where none are named."""
        caller, lines = self.mesh.callers[kind], self.seen[step].lines
        looked = [line.name for line in lines if line.caller is caller]
        assert looked, (step, kind)
        return [self.seen[step].of(caller, name) for name in names or looked]

    def cut(self, step: str, kind: Kind) -> tuple[int, int]:
        """How many of how many connections were cut."""
        caller, seen = self.mesh.callers[kind], self.seen[step]
        return seen.cut[caller], seen.before[caller]

    def unharmed(self, step: str, kind: Kind) -> None:
        """Calls were made, none failed, and no connection was cut."""
        for seen in self.of(step, kind):
            assert seen.calls > FEW, (step, kind, seen)
            assert not seen.failed, (step, kind, seen)
        assert self.cut(step, kind)[0] == 0, (step, kind)

    def follows(self, step: str, kind: Kind) -> None:
        """In the end all calls arrived where they were to arrive."""
        for seen in self.of(step, kind):
            assert seen.for_good_s is not None, (step, kind, seen)

    def cut_once(self, step: str, kind: Kind, *, least: int = 0) -> None:
        """Connections were cut (all but one, or so many at least), and calls arrived where they were to arrive
        afterwards."""
        self.follows(step, kind)
        cut, connections = self.cut(step, kind)
        # One stayed now and then, which docs/istio.md says; calls went where they should in spite of it.
        assert cut >= (least or connections - 1) > 0, (step, kind)

    def lost_little(self, step: str, kind: Kind) -> None:
        """No more failed than what was under way when connections were cut, or began before the caller heard of it."""
        for seen in self.of(step, kind):
            assert seen.calls > FEW, (step, kind, seen)
            assert seen.failed <= may_fail(LOST[kind.program], self.seen[step].late), (step, kind, seen)
