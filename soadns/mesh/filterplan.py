"""What is to be done so that the EnvoyFilters in the API server are the wanted ones: steps, and when each may be. Pure.

Compared is what soadns writes: labels, annotations and ``spec``. Where an API server changes that on its way in, what
it made of it the last time counts as the same, so that nothing is written again and again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from soadns.sidecar.envoyfilters import REFUSED_SINCE

Data = dict[str, Any]
Name = tuple[str, str]
"""Namespace and name."""
CREATE, CHANGE, REMOVE = "create", "change", "remove"
APART_S = 60.0
"""Between the first changes of one Service's rules in filters: each cuts its connections after Envoy's drain."""
BURST_S = 5.0
"""For so long after a first change more may follow it: what they would cut is cut by the first one already, unless it
was opened since, and that is cut once as well. Much shorter than the drain (Istio's default: 45 s)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object as it should be."""

    document: Data
    uid: str
    """Of its Service."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One object of ours as it stands in the API server."""

    document: Data
    version: str
    object_uid: str
    uid: str
    """Of its Service."""
    untouched: bool = False
    """Whether we wrote all of its ``spec``, as its managed fields say."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do."""

    kind: str
    name: Name
    uid: str
    """Of the Service."""
    document: Data | None = None
    rules: bool = False
    """Whether it holds rules of its own, as it stands or as it is wanted, so that a change cuts connections."""
    urgent: bool = False
    """What stands there is wrong by proof: it waits for nobody."""


def step_for(
    name: Name,
    wish: Wanted | None,
    held: Standing | None,
    fate: Callable[[Standing], str],
    same: Callable[[Name, Data, Data], bool],
) -> Step | None:
    """What is to be done so that one object is as it is wanted; None: nothing.

    :param fate: what became of the Service of an object: ``here``, ``gone``, or ``replaced`` (somebody else has its
        name, or a ClusterIP whose listener the object names).
    :param same: whether an object stands as it is wanted.
    """
    if wish is None:
        return Step(REMOVE, name, held.uid, urgent=fate(held) == "replaced") if held is not None else None
    if held is None:
        return Step(CREATE, name, wish.uid, wish.document, has_rules(wish.document))
    if same(name, wish.document, held.document):
        return None
    rules = has_rules(wish.document) or has_rules(held.document)
    return Step(CHANGE, name, wish.uid, wish.document, rules, urgent=fate(held) == "replaced")


def turn(step: Step) -> tuple[bool, Name]:
    """What steps are done in the order of: removals first, and then by names."""
    return (step.kind != REMOVE, step.name)


def name_of(document: Data) -> Name:
    """Namespace and name."""
    return (str(document["metadata"].get("namespace") or ""), str(document["metadata"]["name"]))


def listeners_of(document: Data) -> list[str]:
    """The listeners that an EnvoyFilter names."""
    patches = (document.get("spec") or {}).get("configPatches")
    found = []
    for patch in patches if isinstance(patches, list) else ():
        match patch:
            case {"match": {"listener": {"name": str(name)}}}:
                found.append(name)
    return found


def has_rules(document: Data) -> bool:
    """Whether an EnvoyFilter holds more than the rule for everything."""
    patches = (document.get("spec") or {}).get("configPatches")
    for patch in patches if isinstance(patches, list) else ():
        match patch:
            case {
                "patch": {"value": {"typed_config": {"multiple_route_config": {"route_config": [_, _, *_]}}}}
            }:
                return True
    return False


def digest(document: Mapping[str, Any]) -> str:
    """What tells two states of an object apart, as far as soadns writes it."""
    metadata = document.get("metadata") or {}
    annotations = metadata.get("annotations")
    if annotations and REFUSED_SINCE in annotations:
        annotations = {key: text for key, text in annotations.items() if key != REFUSED_SINCE}
    told = [metadata.get("labels"), annotations, document.get("spec"), document.get("data")]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


class Likeness:
    """What API servers made of what was written."""

    def __init__(self) -> None:
        self._made: dict[Name, tuple[str, str]] = {}
        self._compared: dict[Name, tuple[Mapping[str, Any], Mapping[str, Any], bool]] = {}
        """What was compared last, and how that ended: most objects are the very same ones the next time."""

    def note(self, name: Name, written: Mapping[str, Any], answered: Mapping[str, Any]) -> None:
        """``written`` became ``answered``."""
        self._made[name] = (digest(written), digest(answered))
        self._compared.pop(name, None)

    def same(self, name: Name, wanted: Mapping[str, Any], held: Mapping[str, Any]) -> bool:
        """Whether an object stands as it is wanted."""
        before = self._compared.get(name)
        if before is not None and before[0] is wanted and before[1] is held:
            return before[2]
        pair = (digest(wanted), digest(held))
        found = pair[0] == pair[1] or self._made.get(name) == pair
        self._compared[name] = (wanted, held, found)
        return found


class Pace:
    """How often rules of one Service change."""

    def __init__(self) -> None:
        self._changed: dict[str, float] = {}
        """UID of a Service → when the first change of its last burst was, in seconds."""

    def wait(self, step: Step, now: float) -> float:
        """Seconds until a step may be done."""
        if step.kind != CHANGE or not step.rules or step.urgent:
            return 0.0
        since = now - self._changed.get(step.uid, now - APART_S)
        return 0.0 if 0.0 <= since < BURST_S else max(0.0, APART_S - since)

    def note(self, step: Step, now: float) -> None:
        """It was done."""
        if step.rules and now - self._changed.get(step.uid, now - BURST_S) >= BURST_S:
            self._changed[step.uid] = now
        if step.kind == REMOVE:
            self._changed.pop(step.uid, None)

    def begin(self, uids: Iterable[str], now: float) -> None:
        """Somebody else may just have changed these."""
        for uid in uids:
            self._changed[uid] = max(self._changed.get(uid, 0.0), now - BURST_S)
