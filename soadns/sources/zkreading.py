"""What is read of a ZooKeeper registry when somebody asks, and not kept: leaves as they are, consumers, rules, tokens.

All of it blocks and belongs in a thread of its own. Nothing is watched, and nothing ever written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from soadns.model import Caller, Reading
from soadns.sources import governance, zkclient
from soadns.sources.governance import CENTRE, CONSUMERS, PROVIDERS, RULES
from soadns.sources.providerurl import masked
from soadns.sources.zktree import Tree

CALLERS, GOVERNED, TOKENS = "callers", "rules", "tokens"
"""What ``about`` may be asked for."""

MOST_UNREAD = 3
"""Directories of one interface that are named when they can not be read."""


def children(tree: Tree, names: set[str]) -> dict[str, str]:
    """The children of a root that hold these interfaces, and which each does (two may hold one: ``A$B``, ``A%24B``)."""
    return {child: name for child, name in tree.interfaces.items() if name in names}


def texts(client: Any, tree: Tree, wanted: Mapping[str, str]) -> list[str]:
    """The paths of the leaves below some children, secrets masked. Blocks."""
    found: list[str] = []
    for child in wanted:
        for category in tree.dialect.CATEGORIES:
            path = tree.join(child, category)
            found += [f"{path}/{masked(name)}" for name in zkclient.children(client, path)]
    return found


def about(
    client: Any, tree: Tree, wanted: Mapping[str, str], what: frozenset[str], *, in_flight: int
) -> dict[str, Reading]:
    """What a registry says of the interfaces of some children, and of applications that have rules, by name. Blocks.

    ``what`` are items of ``CALLERS``, ``GOVERNED`` and ``TOKENS``. Rules that can not be read count as rules: what
    nobody may see may well be there.
    """
    found = {name: _Found() for name in wanted.values()}
    governed = GOVERNED in what and governance.has_rules(tree.dialect)
    directories = {tree.join(child, c): (wanted[child], c) for child, c in _asked(tree, wanted, what)}
    # One directory of the configuration centre has the rules of all interfaces and applications.
    paths = [*directories, *([tree.join(*CENTRE)] if governed else [])]
    for path, leaves, trouble in zkclient.children_of_many(client, paths, in_flight=in_flight):
        said = f"{path}: {trouble}" if trouble else ""
        if path in directories:
            name, category = directories[path]
            found[name].take(tree, category, leaves, said)
        else:
            _take_central(found, leaves, said)
    return {name: each.reading() for name, each in found.items()}


def _asked(tree: Tree, wanted: Mapping[str, str], what: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The directories below each child that have what was asked for."""
    categories = [CONSUMERS] if CALLERS in what else []
    if GOVERNED in what and governance.has_rules(tree.dialect):
        categories += RULES
    if TOKENS in what:
        categories.append(PROVIDERS)
    return ((child, category) for child in wanted for category in categories)


class _Found:
    """What was found of one interface so far."""

    def __init__(self) -> None:
        self.callers: set[Caller] = set()
        self.rules: set[str] = set()
        self.tokens: set[str] = set()
        self.unread: list[str] = []

    def take(self, tree: Tree, category: str, leaves: list[str], trouble: str) -> None:
        if trouble:
            self.unread.append(trouble)
            if category in RULES:
                self.rules.add(f"rules that could not be read ({trouble})")
        for leaf in leaves:
            if category == CONSUMERS:
                if (caller := governance.caller_of(tree.dialect, leaf)) is not None:
                    self.callers.add(caller)
            elif category == PROVIDERS:
                if token := governance.token_of(tree.dialect, leaf):
                    self.tokens.add(token)
            elif rule := governance.rule_of(category, leaf):
                self.rules.add(rule)

    def reading(self) -> Reading:
        unread = tuple(self.unread[:MOST_UNREAD])
        return Reading(frozenset(self.callers), frozenset(self.rules), frozenset(self.tokens), unread)


def _take_central(found: dict[str, _Found], nodes: list[str], trouble: str) -> None:
    """Rules of the configuration centre, which may be of applications."""
    if trouble:
        for each in found.values():
            each.rules.add(f"rules that could not be read ({trouble})")
    for rule in map(governance.central_rule_of, nodes):
        if rule is not None:
            found.setdefault(rule.subject, _Found()).rules.add(rule.text)
