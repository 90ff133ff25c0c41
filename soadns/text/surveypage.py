"""``soadns survey`` as text: counts first, then names, so many of each. Pure: a survey in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from soadns.onboarding.survey import Application, Survey
from soadns.publishers.verdicts import REASONS
from soadns.text.render import printable, table

SHOWN = 10
"""Lines of one kind, unless all are wanted."""
EVERY = 1 << 30
_HELD_BY = {
    "declaration": "by its declaration",
    "guard": "by the guard",
    "recreateGrace": "for the recreateGrace: its Service is gone",
    "linger": "for the linger",
    "endpoints": "by the ready addresses of its Service",
}
_UNKNOWN = "(unknown)"


def lines(found: Survey, data: Mapping[str, Any], *, shown: int = SHOWN) -> list[str]:
    """The page. ``data`` says how it was read (``zone``, ``callersRead``, ``unread``)."""
    safe, boarding = found.safe, [each for each in found.applications if each.can_board]
    total = len(safe) + found.unsafe
    text = [
        f"Survey of {data['zone']}: {len(safe):,} of {_several(total, 'interface')} and {len(boarding):,} of "
        f"{_several(len(found.applications), 'calling application')} can board now"
    ]
    text += _section(f"Interfaces that can board now: {len(safe):,}", [*safe], shown)
    known = [
        f"{each.protocol}, {_several(each.interfaces, 'interface')}: {each.text}" for each in found.advice
    ]
    text += _section("To know before one of these boards (docs/boarding.md)", known, EVERY)
    text += _reasons(found, shown)
    names = [f"{each.name}  {_several(each.interfaces, 'interface')}" for each in boarding]
    text += _section(f"Applications that can board now: {len(boarding):,}", names, shown)
    text += _waiting([each for each in found.applications if not each.can_board], shown)
    rows = table(
        [[e.caller or _UNKNOWN, "->", e.provider or _UNKNOWN, str(e.interfaces)] for e in found.calls]
    )
    text += _section("Who calls whom, and by how many interfaces", rows, shown)
    text += _section(
        f"Half-boarded, provided by a Service and by the old world: {len(found.half_boarded):,}",
        found.half_boarded,
        shown,
    )
    text += _section(
        "Boarded, but no provider is registered any more while callers outside the cluster subscribe: "
        f"{len(found.silent):,}",
        [
            f"{each.interface}: {_several(each.outside, 'address', 'addresses')} of "
            f"{', '.join(name or _UNKNOWN for name in each.applications)}; {each.service} is answered "
            f"{_HELD_BY[each.held_by]}"
            for each in found.silent
        ],
        shown,
    )
    return printable([*text, *_not_known(found, data, shown)])


def _reasons(found: Survey, shown: int) -> list[str]:
    text = [] if not found.unsafe else ["", f"Interfaces that can not board yet: {found.unsafe:,}"]
    for reason in found.reasons:
        text.append(f"  {len(reason.interfaces):,} {reason.reason}: {REASONS.get(reason.reason, '')}")
        text += _some([f"{name}: {detail}" for name, detail in reason.interfaces], shown, indent="    ")
    return text


def _waiting(applications: Sequence[Application], shown: int) -> list[str]:
    if not applications:
        return []
    unsafe = [each for each in applications if each.waits_for]
    outside = [each for each in applications if each.outside]
    ruled = [each for each in applications if each.rules]
    asking = [each for each in applications if each.asks]
    text = ["", f"Applications that can not board as a whole yet: {len(applications):,}"]
    if unsafe:
        text.append(f"  {len(unsafe):,} interfaces: they call what is not safe to board")
    if outside:
        text.append(
            f"  {len(outside):,} outside: addresses not known to be in a cluster (kubernetes[].networks), from where "
            "no ClusterIP is reached"
        )
    if ruled:
        text.append(
            f"  {len(ruled):,} rules: routers or configurators of their own, of which a direct URL knows nothing"
        )
    if asking:
        text.append(
            f"  {len(asking):,} asks: for what no direct URL gives (any group or version, more than one provider)"
        )
    return [*text, *_some([_said_of(each) for each in applications], shown, indent="    ")]


def _said_of(each: Application) -> str:
    said = [f"{each.interfaces - len(each.waits_for)} of {_several(each.interfaces, 'interface')} can board"]
    if each.waits_for:
        said.append(f"not {_first(each.waits_for)}")
    if each.outside:
        said.append(f"outside: {_first(each.outside)}")
    if each.rules:
        said.append(f"it has {_first(each.rules)}")
    if each.asks:
        said.append(f"it asks too much of {_first(each.asks)}")
    return f"{each.name}: {'; '.join(said)}"


def _not_known(found: Survey, data: Mapping[str, Any], shown: int) -> list[str]:
    """What keeps the page from being the whole truth."""
    text: list[str] = []
    if not data["callersRead"]:
        text += [
            "",
            "No registry in ZooKeeper is read: nothing is known of callers, routers and configurators, so no "
            "application is listed and no rule counts",
        ]
    if found.nameless:
        text += ["", f"Callers of {_several(found.nameless, 'interface')} do not say their application"]
    if unread := data["unread"]:
        text += _section("Could not be read, so callers or rules may be missing above", unread, shown)
    if count := data["callersUnread"]:
        text.append(
            f"  Callers of {_several(count, 'interface')} are not known: applications that are said to be able "
            "to board may call these as well"
        )
    return text


def _section(title: str, rows: Sequence[str], shown: int) -> list[str]:
    return ["", title, *_some(rows, shown, indent="  ")] if rows else []


def _some(rows: Sequence[str], shown: int, *, indent: str) -> list[str]:
    rest = len(rows) - shown
    more = [f"{indent}and {rest:,} more (--all)"] if rest > 0 else []
    return [*(f"{indent}{row}" for row in rows[:shown]), *more]


def _first(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _several(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
