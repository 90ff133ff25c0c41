"""What a registry tree says of leaves that come and go, where one leaf lies below several directories."""

from __future__ import annotations

import pytest

from soadns.model import Delete, Key, Upsert
from soadns.sources.dialects import DIALECTS
from soadns.sources.zksettings import Root
from soadns.sources.zktree import Directory, Tree

TWO = "tri%3A%2F%2F10.1.0.1%3A20880%2Fa.B%24C%3Finterface%3Da.B%24C%26ext.protocol%3Ddubbo"
"""A provider that serves two protocols on one port."""


class Leaves:
    """Two children of a root that stand for one interface, and what is known of their providers."""

    def __init__(self) -> None:
        self.tree = Tree("zookeeper/main/dubbo", Root("/dubbo", "dubbo"), DIALECTS["dubbo"])
        self.known: set[Key] = set()
        self.directories: dict[str, Directory] = {}
        for child in ("a.B$C", "a.B%24C"):
            interface = self.tree.dialect.interface_of(child)
            assert interface == "a.B$C"
            self.tree.interfaces[child] = interface
            path = self.tree.join(child, "providers")
            self.directories[child] = Directory(self.tree, path, child, "providers")

    def hold(self, child: str, *leaves: str) -> int:
        for event in self.directories[child].hold(leaves):
            if isinstance(event, Upsert):
                self.known.add(event.key)
            elif isinstance(event, Delete):
                self.known.remove(event.key)
        return len(self.known)


@pytest.mark.parametrize("first", ["a.B$C", "a.B%24C"])
def test_the_same_leaf_below_two_children_goes_whole_from_each(first: str) -> None:
    leaves = Leaves()
    assert [leaves.hold(child, TWO) for child in leaves.directories] == [2, 4]
    assert leaves.hold(first) == 2
    assert {key[0] for key in leaves.known} == leaves.directories.keys() - {first}
    assert [leaves.hold(child) for child in leaves.directories][-1] == 0
    assert not leaves.tree.pairs
