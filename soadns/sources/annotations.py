"""The ``soadns.io/*`` annotations of a Service, as text and as values. Pure.

Each annotation stands for itself: a malformed one gives None and a sentence for people, and whoever
keeps the Service's earlier state keeps its last good value; the others still count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from soadns import naming
from soadns.model import Declaration, InterfaceId, TrafficRule

PREFIX = "soadns.io/"
INTERFACES = f"{PREFIX}interfaces"
APPLICATION = f"{PREFIX}application"
TRAFFIC = f"{PREFIX}traffic"
BALANCING = f"{PREFIX}balancing"
MOVES = f"{PREFIX}moves"
KNOWN = (INTERFACES, APPLICATION, TRAFFIC, BALANCING, MOVES)
MODES = ("mesh", "registry", "off")
WAYS = ("connection", "request")
"""How Istio's sidecars balance calls of the Service."""
RULES = ("failing", "inline", "never")
"""For which interfaces that live elsewhere Istio's sidecars are told of it by the listener."""
MAX_TEXT = 262_144
"""Kubernetes limits all annotations of an object to 256 KiB together."""
MAX_APPLICATION = 256


class _Malformed(ValueError):  # noqa: N818 - a verdict about one annotation, caught in this module
    pass


@dataclass(frozen=True, slots=True)
class Parsed:
    """The values of one Service's annotations; None where the text is malformed."""

    application: str | None = ""
    declaration: Declaration | None = Declaration()
    traffic: tuple[TrafficRule, ...] | None = ()
    balancing: str | None = ""
    moves: str | None = ""
    problems: tuple[str, ...] = ()


_NOTHING = Parsed()


def parse(annotations: Mapping[str, str]) -> Parsed:
    """Read the annotations of one Service; never raises."""
    mine = {key: value for key, value in annotations.items() if key.startswith(PREFIX)}
    if not mine:
        return _NOTHING
    problems = []
    for key in sorted(mine.keys() - {*KNOWN}):
        near = get_close_matches(key.removeprefix(PREFIX), [name.removeprefix(PREFIX) for name in KNOWN], n=1)
        hint = f"; did you mean {PREFIX}{near[0]}?" if near else f"; known are {', '.join(KNOWN)}"
        problems.append(f"{key}: unknown annotation{hint}")
    application: str | None = ""
    declaration: Declaration | None = Declaration()
    traffic: tuple[TrafficRule, ...] | None = ()
    words: dict[str, str | None] = {}
    try:
        application = parse_application(mine.get(APPLICATION, ""))
    except _Malformed as error:
        application = None
        problems.append(f"{APPLICATION}: {error}")
    try:
        declaration = parse_interfaces(mine.get(INTERFACES, ""))
        if declaration.everything and not application:
            raise _Malformed(f"'*' means all interfaces of an application: set {APPLICATION} as well")
    except _Malformed as error:
        declaration = None
        problems.append(f"{INTERFACES}: {error}")
    try:
        traffic = parse_traffic(mine.get(TRAFFIC, ""))
    except _Malformed as error:
        traffic = None
        problems.append(f"{TRAFFIC}: {error}")
    for key, known in ((BALANCING, WAYS), (MOVES, RULES)):
        try:
            words[key] = parse_word(mine.get(key, ""), known)
        except _Malformed as error:
            words[key] = None
            problems.append(f"{key}: {error}")
    return Parsed(application, declaration, traffic, words[BALANCING], words[MOVES], tuple(problems))


def parse_word(text: str, known: Sequence[str]) -> str:
    """One of some words, or nothing. Raises ValueError."""
    word = text.strip()
    if word and word not in known:
        near = get_close_matches(word, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise _Malformed(f"{word[:40]!r} is not one of {', '.join(known)}{hint}")
    return word


def parse_application(text: str) -> str:
    """An application's name. Raises ValueError."""
    name = text.strip()
    if len(name) > MAX_APPLICATION or any(c.isspace() or c == "," or not c.isprintable() for c in name):
        raise _Malformed(f"{name[:60]!r} is no application name (one word, as the registry spells it)")
    return name


def parse_interfaces(text: str) -> Declaration:
    """A comma list of ``[group/]interface[:version]``, or ``*``. Raises ValueError."""
    entries = _entries(text)
    interfaces: dict[InterfaceId, None] = {}
    everything = False
    for entry in entries:
        if entry == "*":
            everything = True
            continue
        interfaces[parse_interface(entry)] = None
    return Declaration(tuple(interfaces), everything)


def parse_interface(text: str) -> InterfaceId:
    """One ``[group/]interface[:version]``. Raises ValueError."""
    interface = naming.parse_interface(text)
    if "/" in interface.group or ":" in interface.version:
        raise _Malformed(f"{text[:80]!r}: expected [group/]interface[:version]")
    if not interface.name:
        raise _Malformed(f"{text[:80]!r}: the interface is missing")
    problem = naming.problem(InterfaceId(interface.name), "")
    if problem is not None:
        raise _Malformed(f"{text[:80]!r}: {problem[1][:200]}")
    if not text.isprintable() or any(c.isspace() for c in text):
        raise _Malformed(
            f"{text[:80]!r} contains a space or what can not be printed; commas separate interfaces"
        )
    return interface


def parse_traffic(text: str) -> tuple[TrafficRule, ...]:
    """A mode, or a comma list of ``pattern=mode``. Raises ValueError."""
    rules = []
    for entry in _entries(text):
        pattern, equals, mode = entry.rpartition("=")
        pattern = pattern.strip() if equals else "*"
        mode = mode.strip()
        if mode not in MODES:
            near = get_close_matches(mode, MODES, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise _Malformed(f"{mode[:40]!r} is no mode ({', '.join(MODES)}){hint}")
        if not pattern:
            raise _Malformed(f"{entry[:80]!r}: expected pattern=mode, e.g. com.example.pay.*=mesh")
        rules.append(TrafficRule(pattern, mode))
    return tuple(rules)


def _entries(text: str) -> list[str]:
    if len(text) > MAX_TEXT:
        raise _Malformed(f"{len(text)} characters; at most {MAX_TEXT} are read")
    return [entry.strip() for entry in text.split(",") if entry.strip()]
