"""What happens in a mesh, and what it costs: the rows of three tables of ``docs/istio.md``.

Each situation that is watched belongs to one of them; otherwise ``tests/scenarios/mesh/test_page.py`` names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.scenarios.stage.mesh import LINES
from tests.scenarios.stage.meshtable import (
    BY_NAME,
    BY_SERVICE,
    MOVED,
    NOTHING,
    Cut,
    Event,
    Follow,
    Row,
    watched,
)

ALL_LINES = tuple(LINES)

_COMES_1, _COMES_3 = "T0 to T1: the filter comes", "T0 to T3: the filter comes"
BEFORE = "T0 to T1: the filter comes, before a Service is created again"
"""It is watched for what comes next, and not until all is cut."""
_RULES, _GO = "T0 to T2, T3: moved, rules come", "T2 to T0, T3: came back, rules go"
_RULES_1, _GOES = "T1 to T2: rules come", "T2 to T0: the filter goes"
_MOVE, _BACK = "T0: moves", "T0: comes back"
_OVER = (_RULES, _RULES_1, _GO)
MOVE, BACK, BOTH = "interfaces move", "they come back", "interfaces move, and come back"


def _lost(what: str, tier: str, begins: str = "", story: str = "") -> Event:
    """A server is killed, and started again ten seconds later; its situations begin so."""
    name = begins + what.partition(" (")[0]
    return Event(
        f"{what}: killed, away for ten seconds, and back", tier, "all", (f"{name} killed", f"{name} back"),
        story=story,
    )  # fmt: skip


BY_HAND = (
    Event(MOVE, "0", "Dubbo", (_MOVE,), follow=Follow.STAY),
    Event(BACK, "0", "Dubbo", (_BACK,)),
    Event(BOTH, NOTHING, "SOFARPC 5.6", (_MOVE, _BACK, *_OVER)),
    Event(
        BOTH, NOTHING, "SOFARPC 5.12", _OVER, failed=1, failing=MOVED[:1], follow=Follow.BY_NAME
    ),
    Event(
        f"{MOVE}, with `soadns.io/moves: never`", "1", "Dubbo 2.7", ("T1: moved, nothing changes",),
        follow=Follow.STAY,
    ),
    Event(
        f"{MOVE}, with `soadns.io/moves: never`", "1", "Dubbo 3.3", ("T1: moved, nothing changes",),
        follow=Follow.STAY,
    ),
    Event("the filter comes", "0 → 1", "Dubbo 2.7", (_COMES_1,), Cut.MOST, 1),
    Event("the filter comes", "0 → 1", "Dubbo 3.3", (_COMES_1,), Cut.MOST),
    Event("the filter comes", "0 → 3", "Dubbo 2.7 with files", (_COMES_3,), Cut.MOST, 1),
    Event("the filter comes", "0 → 3", "Dubbo 3.3 with files", (_COMES_3,), Cut.MOST),
    Event("moved, rules come", "0 → 2, 1 → 2", "Dubbo 2.7", (_RULES, _RULES_1), Cut.MOST, 1, Follow.ALL),
    Event("moved, rules come", "0 → 2, 1 → 2", "Dubbo 3.3", (_RULES, _RULES_1), Cut.MOST, 0, Follow.ALL),
    Event("came back, rules go", "2 → 0", "Dubbo 2.7", (_GO,), Cut.MOST, 1, Follow.ALL),
    Event("came back, rules go", "2 → 0", "Dubbo 3.3", (_GO,), Cut.MOST, 0, Follow.ALL),
    Event("the filter goes", "2 → 0", "Dubbo 2.7", (_GOES,), Cut.SOME, 1),
    Event("the filter goes", "2 → 0", "Dubbo 3.3", (_GOES,), Cut.SOME),
    Event(BOTH, "3", "Dubbo with files", (_RULES, _GO), follow=Follow.ALL),
    _lost("soadns (both replicas)", "2, 3"),
    _lost("istiod", "2, 3"),
    _lost("API server", "2, 3"),
    _lost("ZooKeeper", "0, 3"),
    Event(
        "a canary with a pod of its own that provides what moves, and a headless twin with the Service's pod, come "
        "and go",
        "0, 3", "all", ("a canary and a headless twin come", "a canary and a headless twin go"),
    ),
    Event("`soadns.io/traffic: registry`, and back", "0, 3", "all", ("traffic: registry", "traffic: mesh again")),
    *(
        Event(
            "a Service is deleted and created again, with another ClusterIP", tier, who,
            ("a Service is created again",), Cut.ALL, None, Follow.ALL, lines=("stays", "moves"),
        )
        for tier, who in (("1, 3", "Dubbo"), (NOTHING, "SOFARPC 5.6"), (NOTHING, "SOFARPC 5.12"))
    ),
)  # fmt: skip


WRITES, AWAY = "soadns writes", "servers are away"
"""Stories: as their rows are marked."""
BESIDE = tuple(
    f"{tiers}: {what}"
    for tiers in ("written T1, T3", "written T2, T3")
    for what in (
        "a canary and a headless twin come",
        "they are gone, traffic: registry",
        "traffic: mesh again",
    )
)
_BEGINS, _BY_ANNOTATION, _BY_CONSENT, _TAKEN_BACK = (
    "soadns writes T0 to T3", "soadns writes T0 to T1", "soadns writes T1 to T2: by consent",
    "soadns takes back T2, T3 to T0",
)  # fmt: skip
_SUCCEED = "written T1, T3: moves, calls succeed where they are"
_PLAIN, _MOUNTING = ("Dubbo 2.7", "Dubbo 3.3"), ("Dubbo 2.7 with files", "Dubbo 3.3 with files")
_LOST = {"Dubbo 2.7": 1, "Dubbo 3.3": 0, "Dubbo 2.7 with files": 1, "Dubbo 3.3 with files": 0}
"""Calls of each interface that fail at most when connections are cut: one under way, where nothing tries it again."""


def _cut(
    what: str,
    tier: str,
    whose: Iterable[str],
    situation: str,
    story: str,
    follow: Follow = Follow.ALL,
    lines: tuple[str, ...] = ALL_LINES,
) -> Iterator[Event]:
    """Connections are cut, once."""
    for who in whose:
        yield Event(what, tier, who, (situation,), Cut.CALLED, _LOST[who], follow, lines, lines, story)


WRITTEN = (
    *_cut(
        "soadns begins to write: files, and then the filter that names them", "0 → 3", _MOUNTING, _BEGINS, WRITES,
        Follow.HERE,
    ),
    *_cut("`soadns.io/balancing: request`", "0 → 1", _PLAIN, _BY_ANNOTATION, WRITES, Follow.HERE),
    Event(
        "interfaces move, and the Service that callers hold provides them as well", "1", "Dubbo without files",
        (_SUCCEED,), follow=Follow.STAY, story=WRITES,
    ),
    Event("the same", "3", "Dubbo with files", (_SUCCEED,), follow=Follow.ALL, story=WRITES),
    *_cut("`soadns.io/moves: inline` after that", "1 → 2", _PLAIN, _BY_CONSENT, WRITES),
    *(_lost(server, "2, 3", "written T2, T3: ", WRITES) for server in ("API server", "ZooKeeper")),
    *(
        Event(
            "a canary and a headless twin come and go; `soadns.io/traffic: registry`, and back", tier, who, BESIDE,
            Cut.NONE, failed, Follow.HERE, failing, story=WRITES,
        )
        for tier, who, failed, failing in (
            ("1, 2, 3", "Dubbo", 0, ALL_LINES), (NOTHING, "SOFARPC 5.6", 0, ALL_LINES),
            (NOTHING, "SOFARPC 5.12", 1, BY_NAME),
        )
    ),
    *_cut(
        "`soadns.io/moves: never` and `balancing: connection`", "2, 3 → 0", (*_PLAIN, *_MOUNTING), _TAKEN_BACK, WRITES,
        Follow.HERE, BY_SERVICE,
    ),
)  # fmt: skip


def _away(server: str) -> str:
    return f"{server} away, interfaces move"


def _back(server: str) -> str:
    return f"{server} back, interfaces moved meanwhile"


def _quiet(what: str, tier: str, who: str, situation: str, follow: Follow) -> Event:
    """No call fails, and no connection is cut."""
    return Event(what, tier, who, (situation,), Cut.NONE, 0, follow, BY_SERVICE, BY_SERVICE, AWAY)


_IS_AWAY, _IS_BACK = "{} away, interfaces move", "{} back"
_SERVERS = ("soadns", "API server", "istiod", "ZooKeeper")
MEANWHILE = (
    _quiet(_IS_AWAY.format("soadns (both replicas)"), "0, 3", "Dubbo", _away("soadns"), Follow.WAIT),
    _quiet(_IS_BACK.format("soadns"), "3", "Dubbo with files", _back("soadns"), Follow.ALL),
    *_cut(_IS_BACK.format("soadns"), "0 → 2", _PLAIN, _back("soadns"), AWAY, lines=BY_SERVICE),
    _quiet(_IS_AWAY.format("API server"), "2, 3", "Dubbo", _away("API server"), Follow.WAIT),
    _quiet(_IS_BACK.format("API server"), "3", "Dubbo with files", _back("API server"), Follow.ALL),
    *_cut(_IS_BACK.format("API server"), "2 → 1", _PLAIN, _back("API server"), AWAY, lines=BY_SERVICE),
    _quiet(_IS_AWAY.format("istiod"), "0", "Dubbo without files", _away("istiod"), Follow.WAIT),
    _quiet(_IS_AWAY.format("istiod"), "3", "Dubbo with files", _away("istiod"), Follow.ALL),
    *_cut(_IS_BACK.format("istiod"), "0 → 2", _PLAIN, _back("istiod"), AWAY, lines=BY_SERVICE),
    _quiet(_IS_BACK.format("istiod"), "3", "Dubbo with files", _back("istiod"), Follow.HERE),
    _quiet(_IS_AWAY.format("ZooKeeper"), "3", "Dubbo with files", _away("ZooKeeper"), Follow.ALL),
    *_cut(_IS_AWAY.format("ZooKeeper"), "0 → 2", _PLAIN, _away("ZooKeeper"), AWAY, lines=BY_SERVICE),
    _quiet(_IS_BACK.format("ZooKeeper"), "2, 3", "Dubbo", _back("ZooKeeper"), Follow.HERE),
    *(
        Event(
            "each of them away, and back", NOTHING, who,
            tuple(each(name) for name in _SERVERS for each in (_away, _back)), Cut.NONE, failed, follow, failing,
            story=AWAY,
        )
        for who, failed, follow, failing in (
            ("SOFARPC 5.6", 0, Follow.HERE, ALL_LINES), ("SOFARPC 5.12", 1, Follow.BY_NAME, MOVED[:1]),
        )
    ),
)  # fmt: skip
EVENTS = (*BY_HAND, *WRITTEN, *MEANWHILE)
BETWEEN = {
    ("", BEFORE), (AWAY, "away: soadns writes T0 to T3"), (AWAY, "away: soadns writes T2, T3 to T0"),
    (AWAY, "away: soadns writes T0 to T3 again"), (AWAY, "away: soadns writes T2, T3 to T0 once more"),
    (AWAY, "away: soadns writes T0 to T3, and has consent to T2"),
}  # fmt: skip
"""Stories and situations that are there for what comes next."""


def nobodys(rows: Iterable[Row]) -> list[str]:
    """Situations that were watched and are in no row of a table."""
    known = {*BETWEEN, *((event.story, situation) for event in EVENTS for situation in event.situations)}
    seen = {(str(row.get("story", "")), str(row["situation"])) for row in watched(rows)}
    return sorted(": ".join(filter(None, each)) for each in seen - known)
