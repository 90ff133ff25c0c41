"""Registry trees of real frameworks: every node ends as what ``tests/data/registry/*.expected`` says of it."""

from __future__ import annotations

from urllib.parse import unquote_plus

import pytest

from soadns.model import Override, Provider
from soadns.sources import FormatError
from tests import captured
from tests.captured import SEQUENCES, TREES, Node

ROOTS = [
    pytest.param(capture, snapshot, root, id=f"{capture} {snapshot} {root}")
    for capture in TREES
    for snapshot, root in captured.expected_trees(capture)
]


def read(capture: str, nodes: list[Node], root: str) -> list[str]:
    """What the dialect makes of every leaf below a root."""
    dialect = captured.dialect_of(capture)
    found: list[str] = []
    for node in nodes:
        if node.leaf is None or node.leaf[0] != root:
            continue
        _, child, category, leaf = node.leaf
        interface = dialect.interface_of(child)
        assert interface is not None, node.path
        try:
            found += captured.lines_of(dialect.parse("zookeeper/test", interface, category, leaf))
        except FormatError as error:
            found.append(captured.rejection(interface, leaf, error.reason))
    return sorted(found)


@pytest.mark.parametrize(("capture", "snapshot", "root"), ROOTS)
def test_every_provider_node_ends_as_a_provider_or_is_rejected_for_the_reason_in_the_table(
    capture: str, snapshot: str, root: str
) -> None:
    expected = captured.expected_trees(capture)[snapshot, root]
    assert read(capture, captured.trees(capture)[snapshot], root) == expected.lines()


@pytest.mark.parametrize(("capture", "snapshot", "root"), ROOTS)
def test_a_leaf_is_of_no_interest_only_where_the_table_says_so(
    capture: str, snapshot: str, root: str
) -> None:
    expected = captured.expected_trees(capture)[snapshot, root]
    dialect = captured.dialect_of(capture)
    ignored = []
    for node in captured.trees(capture)[snapshot]:
        if node.leaf is None or node.leaf[0] != root or node.leaf[2] not in dialect.CATEGORIES:
            continue
        _, child, category, leaf = node.leaf
        interface = unquote_plus(child)
        try:
            if not dialect.parse("zookeeper/test", interface, category, leaf):
                ignored.append(f"{interface} {'/'.join(unquote_plus(leaf).split('/')[:3])}")
        except FormatError:
            continue
    assert sorted(ignored) == sorted(expected.ignored)


@pytest.mark.parametrize(("capture", "snapshot", "root"), ROOTS)
def test_children_of_a_root_are_interfaces_but_for_config_centre_metadata_and_applications(
    capture: str, snapshot: str, root: str
) -> None:
    expected = captured.expected_trees(capture)[snapshot, root]
    dialect = captured.dialect_of(capture)
    nodes = captured.trees(capture)[snapshot]
    depth = root.count("/") + 1
    children = {n.path.split("/")[depth] for n in nodes if n.path.startswith(f"{root}/")}
    provided = {line.split()[0] for line in expected.providers}
    assert {unquote_plus(child) for child in children} == provided | expected.empty | expected.skipped
    assert {dialect.child_of(interface) for interface in provided | expected.empty} <= children
    # An application is told from an interface by what is below it only.
    paths = {node.path for node in nodes}
    for child in expected.skipped:
        assert dialect.interface_of(child) is None or f"{root}/{child}/providers" not in paths


def test_every_captured_provider_node_is_below_a_root_that_has_a_table() -> None:
    for capture in TREES:
        tables = captured.expected_trees(capture)
        for snapshot, nodes in captured.trees(capture).items():
            roots = {node.leaf[0] for node in nodes if node.leaf is not None}
            assert roots == {root for name, root in tables if name == snapshot and root in roots}, capture


@pytest.mark.parametrize("capture", SEQUENCES)
def test_at_each_mark_of_a_life_the_providers_of_its_processes_are_there(capture: str) -> None:
    life = captured.expected_life(capture)
    dialect = captured.dialect_of(capture)
    living: dict[str, tuple[Provider | Override, ...]] = {}
    marks: list[tuple[str, list[str] | None]] = []
    root = False
    for step in captured.sequence(capture):
        if step.what == "mark":
            values = [value for found in living.values() for value in found]
            marks.append((step.path, captured.lines_of(values, life) if root else None))
        elif step.path == life.root:
            root = step.what != "deleted"
        elif step.what == "deleted":
            living.pop(step.path, None)
        elif (leaf := Node("", "", step.path).leaf) is not None and leaf[0] == life.root:
            _, child, category, name = leaf
            living[step.path] = dialect.parse("zookeeper/test", dialect.interface_of(child), category, name)
    assert marks == life.marks


def test_a_killed_process_that_comes_back_at_once_is_there_twice_until_its_session_expires() -> None:
    names = [step for step in captured.sequence("dubbo-3.3.5") if "providers/" in step.path]
    living: set[str] = set()
    most = 0
    for step in names:
        (living.discard if step.what == "deleted" else living.add)(step.path)
        most = max(most, len(living))
    assert most == 54  # eighteen of A, and of B those of both its lives
    values = [
        value
        for path in {step.path for step in names}
        for value in captured.dialect_of("dubbo").parse(
            "zookeeper/test", "com.example.pay.X", "providers", path.rpartition("/")[2]
        )
    ]
    assert len(values) == 5 * 18  # B has four lives
    assert len({value.identity for value in values if isinstance(value, Provider)}) < len(values)
