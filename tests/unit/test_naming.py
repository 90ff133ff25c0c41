"""Interface ↔ owner name: spelled as an operator types it, read back without loss."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns import naming
from soadns.model import InterfaceId
from tests.unit.tables import interface_id

PAGE = Path(__file__).parents[2] / "docs" / "binding.md"
PRINTED = re.findall(
    r"^\| `([^`]*com\.x\.User[^`]*)` \| `(com\.x\.User[^`]*)` \|$", PAGE.read_text(), re.MULTILINE
)

SPELLINGS = """
com.x.User                          com.x.User
com.x.User:1.0.0                    com.x.User--v-1-0-0
com.x.User:1.0.0-SNAPSHOT           com.x.User--v-1-0-0_2dSNAPSHOT
blue/com.x.User                     com.x.User--g-blue
blue/com.x.User:1.0.0               com.x.User--g-blue--v-1-0-0
a.b/com.x.User                      com.x.User--g-a-b
a..b/com.x.User                     com.x.User--g-a-_2eb
.a./com.x.User                      com.x.User--g-_2ea_2e
a-b/com.x.User                      com.x.User--g-a_2db
a_b/com.x.User                      com.x.User--g-a_5fb
*/com.x.User                        com.x.User--g-_2a
灰度/com.x.User                     com.x.User--g-_e7_81_b0_e5_ba_a6
com.x.Outer$Inner                   com.x.Outer$Inner
com.x.my_Service                    com.x.my_Service
User                                User
"""


@pytest.mark.parametrize("line", SPELLINGS.strip().splitlines(), ids=lambda line: line.split()[0])
def test_an_interface_is_spelled_and_read_back(line: str) -> None:
    interface, owner = line.split()
    assert naming.owner_name(interface_id(interface)) == owner
    assert naming.interface_of(owner) == interface_id(interface)


def test_the_page_prints_spellings() -> None:
    assert len(PRINTED) == 5


@pytest.mark.parametrize(("interface", "owner"), PRINTED)
def test_what_the_page_prints_is_what_is_spelled(interface: str, owner: str) -> None:
    assert naming.owner_name(interface_id(interface)) == owner


_words = st.from_regex(r"[A-Za-z_$][A-Za-z0-9_$]{0,12}", fullmatch=True)
_names = st.lists(_words, min_size=1, max_size=4).map(".".join)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(_names, _texts, _texts)
def test_every_name_reverses_to_one_interface(name: str, group: str, version: str) -> None:
    interface = InterfaceId(name, group, version)
    owner = naming.owner_name(interface)
    assert naming.interface_of(owner) == interface
    assert set(owner) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-$.")


@given(st.text(max_size=40))
def test_any_owner_name_is_read_as_some_interface(owner: str) -> None:
    assert isinstance(naming.interface_of(owner), InterfaceId)


TYPED = {
    "com.x.User": ("com.x.User", "", ""),
    "blue/com.x.User:1.0.0": ("com.x.User", "blue", "1.0.0"),
    "a/b/com.x.User": ("com.x.User", "a/b", ""),
    "com.x.User:0.0.0": ("com.x.User", "", ""),
    "": ("", "", ""),
}


@pytest.mark.parametrize(("text", "parts"), TYPED.items())
def test_an_interface_is_read_as_it_is_typed(text: str, parts: tuple[str, str, str]) -> None:
    assert naming.parse_interface(text) == parts


PROBLEMS = {
    "com.x.User": None,
    "com.x.Ус": "bad-character",
    "com.x.User Service": "bad-character",
    "com.x.A--g-b": "reserved",
    "com.x.A--v-1": "reserved",
    "com..User": "empty-label",
    ".com": "empty-label",
    "": "empty-label",
    "L" * 63: None,
    "L" * 64: "label-too-long",
    "L" * 55 + ":1.0.0": "label-too-long",
    "Ns": "reserved",
    "Ns:1.0.0": None,
    "com.x.ns": None,
    ".".join(["a" * 48] * 5): None,
    ".".join(["a" * 49] * 5): "name-too-long",
}


@pytest.mark.parametrize(("interface", "slug"), PROBLEMS.items(), ids=[k[:40] or "empty" for k in PROBLEMS])
def test_an_interface_without_an_owner_name_says_why(interface: str, slug: str | None) -> None:
    found = naming.problem(interface_id(interface), "rpc.test")
    assert (found[0] if found else None) == slug


ALIASES = {
    "com.x.User": None,
    "com.x.Outer$Inner": "com.x.Outer-Inner",
    "com.x.Outer$Inner:1.0": "com.x.Outer-Inner--v-1-0",
    "com.x.A$B$C": "com.x.A-B-C",
    "com.x.$A": None,
    "com.x.A$": None,
    "com.x.A$$B": None,
    "com$.x": None,
}


@pytest.mark.parametrize(("interface", "alias"), ALIASES.items())
def test_a_nested_class_has_an_alias_where_resolvers_can_send_it(interface: str, alias: str | None) -> None:
    assert naming.alias(interface_id(interface)) == alias


@pytest.mark.parametrize(("owner", "key"), [("com.X.User", "com.x.user"), ("ÄB", "Äb"), ("İ", "İ")])
def test_only_ascii_letters_fold(owner: str, key: str) -> None:
    assert naming.key(owner) == key
