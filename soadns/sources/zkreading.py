"""What is read of a ZooKeeper registry when somebody asks, and not kept: leaves as they are, consumers, rules, tokens.

What blocks belongs in a thread of its own. Nothing is watched, and nothing ever written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from soadns.model import Caller, Reading
from soadns.sources import governance, zkclient
from soadns.sources.governance import CENTRE, CONSUMERS, NO_SUBJECTS, OLD_CENTRE, PROVIDERS, RULES, Rule
from soadns.sources.providerurl import masked
from soadns.sources.zktree import Tree

CALLERS, GOVERNED, TOKENS, MAPPED = "callers", "rules", "tokens", "mapped"
"""What ``about`` may be asked for."""

MOST_UNREAD = 3
"""Directories of one interface that are named when they can not be read."""


def children(tree: Tree, names: Set[str]) -> dict[str, str]:
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


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be read of a registry for some subjects, and for whom each directory is."""

    tree: Tree
    subjects: Set[str]
    names: Set[str]
    """Those of the subjects that are interfaces with a node."""
    directories: Mapping[str, tuple[str, str]]
    """Path → the interface that it belongs to, and its category."""
    governed: bool
    """Whether rules of the configuration centre are read, too."""
    mappings: tuple[str, ...] = ()
    """Directories that have a child for each interface that applications are on record for."""


def plan(tree: Tree, subjects: Set[str], what: frozenset[str], *, watched: bool) -> Plan:
    """Which directories have what is asked for. Takes the tree as it is, so it belongs on the event loop.

    ``subjects`` are interfaces, and the applications whose rules matter; ``what`` are items of ``CALLERS``,
    ``GOVERNED``, ``TOKENS`` and ``MAPPED``. ``watched``: whether the tree is told of every change now. Then what it
    knows to be empty is not read.
    """
    governed = GOVERNED in what and governance.has_rules(tree.dialect)
    categories = [CONSUMERS] if CALLERS in what else []
    categories += RULES if governed else ()
    categories += [PROVIDERS] if TOKENS in what else []
    wanted = children(tree, subjects)
    directories = {
        tree.join(child, category): (name, category)
        for child, name in wanted.items()
        for category in categories
        if not (watched and tree.is_empty(child, category))
    }
    mapped = MAPPED in what and governance.has_rules(tree.dialect)
    mappings = tuple(tree.join(*parts) for parts in governance.MAPPINGS) if mapped else ()
    return Plan(tree, subjects, frozenset(wanted.values()), directories, governed, mappings)


def about(client: Any, plan: Plan, *, in_flight: int) -> dict[str, Reading]:
    """What a registry says of interfaces, and of applications that have rules, by name. Blocks.

    Rules that can not be read count as rules: what nobody may see may well be there.
    """
    tree, directories = plan.tree, plan.directories
    found = {name: _Found() for name in plan.names}
    # One directory of the configuration centre has the rules of all interfaces and applications, another one a
    # child for each subject of old rules.
    centre, old_centre = tree.join(*CENTRE), tree.join(OLD_CENTRE)
    ruled: list[str] = []
    paths = [*directories, *([centre, old_centre] if plan.governed else []), *plan.mappings]
    for path, leaves, trouble in zkclient.children_of_many(client, paths, in_flight=in_flight):
        said = f"{path}: {trouble}" if trouble else ""
        if path in directories:
            name, category = directories[path]
            found[name].take(tree, category, leaves, said)
            continue
        if path in plan.mappings:
            for name in plan.subjects & set(leaves):
                found.setdefault(name, _Found()).mapped = True
            continue
        if trouble:
            _may_be_ruled(found, said)
        if path == centre:
            _take_central(found, map(governance.central_rule_of, leaves))
        else:
            # Applications keep other things there, too, and there may be thousands of them.
            ruled = [subject for subject in leaves if subject in plan.subjects and subject not in NO_SUBJECTS]
    _read_old_rules(client, tree, ruled, found, in_flight=in_flight)
    return {name: each.reading() for name, each in found.items()}


class _Found:
    """What was found of one interface so far."""

    def __init__(self) -> None:
        self.callers: set[Caller] = set()
        self.asking: set[tuple[str, str]] = set()
        self.rules: set[str] = set()
        self.tokens: set[str] = set()
        self.unread: list[str] = []
        self.mapped = False

    def take(self, tree: Tree, category: str, leaves: list[str], trouble: str) -> None:
        if trouble:
            self.unread.append(trouble)
            if category in RULES:
                self.rules.add(f"rules that could not be read ({trouble})")
        for leaf in leaves:
            if category == CONSUMERS:
                if (consumer := governance.consumer_of(tree.dialect, leaf)) is not None:
                    self.callers.add(consumer.caller)
                    self.asking |= {(consumer.caller.application, consumer.asks)} if consumer.asks else set()
            elif category == PROVIDERS:
                if token := governance.token_of(tree.dialect, leaf):
                    self.tokens.add(token)
            elif rule := governance.rule_of(category, leaf):
                self.rules.add(rule)

    def reading(self) -> Reading:
        unread = tuple(self.unread[:MOST_UNREAD])
        return Reading(
            frozenset(self.callers),
            frozenset(self.rules),
            frozenset(self.tokens),
            unread,
            frozenset(self.asking),
            self.mapped,
        )


def _may_be_ruled(found: Mapping[str, _Found], trouble: str) -> None:
    for each in found.values():
        each.rules.add(f"rules that could not be read ({trouble})")


def _take_central(found: dict[str, _Found], rules: Iterable[Rule | None]) -> None:
    """Rules of the configuration centre, which may be of applications."""
    for rule in rules:
        if rule is not None:
            found.setdefault(rule.subject, _Found()).rules.add(rule.text)


def _read_old_rules(
    client: Any, tree: Tree, subjects: list[str], found: dict[str, _Found], *, in_flight: int
) -> None:
    """Rules as the first releases of 2.7 have them. Blocks."""
    by_path = {tree.join(OLD_CENTRE, subject): subject for subject in subjects}
    for path, nodes, trouble in zkclient.children_of_many(client, by_path, in_flight=in_flight):
        subject = by_path[path]
        if trouble:
            said = f"rules that could not be read ({path}: {trouble})"
            found.setdefault(subject, _Found()).rules.add(said)
        _take_central(found, (governance.old_central_rule_of(subject, node) for node in nodes))
