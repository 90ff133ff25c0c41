"""Kubernetes label selectors: ``team=pay``, ``team!=pay``, ``team in (pay, user)``, ``notin``, ``team``, ``!team``.

Pure. The API server evaluates a cluster's selector itself; here one is judged without asking it. The grammar is that of
the ``labelSelector`` parameter, less its comparisons of numbers, which mean nothing for Services.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_KEY = rf"(?:[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}"
_VALUE = rf"(?:{_NAME})?"
_REQUIREMENT = re.compile(
    rf"\s*(?:(?P<absent>!)\s*(?P<without>{_KEY})"
    rf"|(?P<key>{_KEY})(?:\s*(?P<equals>==?|!=)\s*(?P<value>{_VALUE})"
    rf"|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?P<end>,|$)"
)
_ONE = re.compile(_VALUE)


class SelectorError(ValueError):
    """A text that is no label selector; the message says so."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One part of a selector; all must hold."""

    key: str
    values: frozenset[str] | None
    """What the label may be; None: anything."""
    wanted: bool = True
    """False turns it round; a label that is absent then fits as well."""

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet it."""
        held = self.key in labels and (self.values is None or labels[self.key] in self.values)
        return held is self.wanted


def parse(text: str) -> tuple[Requirement, ...]:
    """The requirements of a selector; none for an empty one. Raises SelectorError."""
    found: list[Requirement] = []
    at = 0
    while text[at:].strip():
        part = _REQUIREMENT.match(text, at)
        if part is None:
            raise SelectorError(f"{text!r} is no label selector")
        at = part.end()
        if part["end"] and not text[at:].strip():
            raise SelectorError(f"{text!r} ends with a comma")
        found.append(_requirement(text, part))
    return tuple(found)


def _requirement(text: str, part: re.Match[str]) -> Requirement:
    if part["absent"]:
        return Requirement(part["without"], None, wanted=False)
    if part["equals"]:
        return Requirement(part["key"], frozenset({part["value"]}), wanted=part["equals"] != "!=")
    if part["set"]:
        values = [value.strip() for value in part["values"].split(",")]
        if not all(map(_ONE.fullmatch, values)):
            raise SelectorError(f"{text!r} is no label selector")
        return Requirement(part["key"], frozenset(values), wanted=part["set"] == "in")
    return Requirement(part["key"], None)


def matches(text: str, labels: Mapping[str, str]) -> bool:
    """Whether labels meet a selector. Raises SelectorError."""
    return all(requirement.fits(labels) for requirement in parse(text))


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """The label=value pairs of a selector that has nothing else. Raises SelectorError."""
    found = []
    for requirement in parse(text):
        if not requirement.wanted or requirement.values is None or len(requirement.values) > 1:
            raise SelectorError(f"{text!r} is no list of label=value")
        found += [(requirement.key, value) for value in requirement.values]
    return tuple(found)
