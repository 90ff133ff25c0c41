"""Direct URLs as ``java.util.Properties`` loads them: what is written is what Java reads back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.publishers import properties
from soadns.publishers.properties import Line
from soadns.text import render


def loaded(text: str) -> dict[str, str]:
    """What ``Properties.load`` makes of a file in ISO-8859-1, by its documentation."""
    found = {}
    logical = ""
    for line in re.split(r"\r\n|\r|\n", text.encode("latin-1").decode("latin-1")):
        bare = line.lstrip(" \t\f")
        if not logical and (not bare or bare[0] in "#!"):
            continue
        logical += bare
        if (len(logical) - len(logical.rstrip("\\"))) % 2:
            logical = logical[:-1]
            continue
        key, value = _parted(logical)
        found[_unescaped(key)] = _unescaped(value)
        logical = ""
    return found


def _parted(line: str) -> tuple[str, str]:
    end = 0
    while end < len(line) and line[end] not in "=: \t\f":
        end += 2 if line[end] == "\\" else 1
    rest = line[end:].lstrip(" \t\f")
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(" \t\f")
    return line[:end], rest


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code, char = match.groups()
        return chr(int(code, 16)) if code else {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}.get(char, char)

    units = re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", one, text)
    return units.encode("utf-16-be", "surrogatepass").decode("utf-16-be")


WRITTEN = r"""
com.x.A                 | dubbo://com.x.A.rpc.test:20880?retries=0  | com.x.A=dubbo://com.x.A.rpc.test:20880?retries=0
com.x.Outer$Inner       | dubbo://com.x.Outer-Inner.rpc.test:20880  | com.x.Outer$Inner=dubbo://com.x.Outer-Inner.rpc.test:20880
a b:c=d#e!f\g           | x                                         | a\ b\:c\=d\#e\!f\\g=x
k                       | c:\d\#e=!f                                | k=c:\\d\\#e=!f
k                       | mock=return null                          | k=mock=return null
com.x.Käse              | größe                                     | com.x.K\u00E4se=gr\u00F6\u00DFe
com.x.用户               | 𝛼                                         | com.x.\u7528\u6237=\uD835\uDEFC
"""


@pytest.mark.parametrize("row", WRITTEN.strip().splitlines())
def test_a_property_is_written_so_that_java_reads_it(row: str) -> None:
    key, value, line = (part.strip() for part in row.split(" | "))
    assert f"{properties.key(key)}={properties.value(value)}" == line
    assert loaded(line) == {key: value}


def test_blanks_and_line_ends_survive() -> None:
    key, value = " a\n", "  b\t\r\n\f "
    line = f"{properties.key(key)}={properties.value(value)}"
    assert line == r"\ a\n=\  b\t\r\n\f "
    assert loaded(line) == {key: value}


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.dictionaries(texts.filter(bool), texts, max_size=3), texts)
def test_whatever_is_written_is_read_back(pairs: dict[str, str], said: str) -> None:
    lines = [properties.comment(said)]
    for key, value in pairs.items():
        lines += [f"{properties.key(key)}={properties.value(value)}", properties.comment(said)]
    assert loaded("\n".join(lines)) == pairs
    assert all(line.isascii() for line in lines)


def row(key: str, url: str = "", why: tuple[str, ...] = (), *, named: bool = False) -> dict[str, Any]:
    exported = bool(url) and (named or not why)
    return {
        "key": key,
        "url": url or None,
        "why": list(why),
        "named": named,
        "exported": exported,
        "notes": [],
    }


ROWS = [
    row("com.x.A", "dubbo://com.x.A.rpc.test:20880?retries=0"),
    row("com.x.B", "dubbo://com.x.B.rpc.test:20880", ("it has a condition router (condition://)",)),
    row("com.x.C", "", ("its name is not answered: nobody there",), named=True),
    row("com.x.D", "dubbo://com.x.D.rpc.test:20880", ("its providers want TLS",), named=True),
]

RESOLVE_FILE = """\
# Direct URLs of 2 interfaces, for the application shop.
# dubbo-resolve.properties: -Ddubbo.resolve.file=FILE, or this name in the home directory of the user.
com.x.A=dubbo://com.x.A.rpc.test:20880?retries=0
# com.x.B: not safe to board: it has a condition router (condition://)
# com.x.C: not safe to board: its name is not answered: nobody there
# com.x.D: named, though not safe to board: its providers want TLS
com.x.D=dubbo://com.x.D.rpc.test:20880"""

CENTRE = """\
# Direct URLs of 1 interface, for every application that reads this.
# To be added to what /dubbo/config/dubbo/dubbo.properties holds in ZooKeeper (Dubbo 2.7 and later).
dubbo.reference.com.x.A.url=dubbo://com.x.A.rpc.test:20880?retries=0"""


def test_the_file_has_a_line_for_each_and_says_what_is_left_out() -> None:
    text = "\n".join(properties.lines(ROWS, properties.RESOLVE, application="shop"))
    assert text == RESOLVE_FILE
    assert set(loaded(text)) == {"com.x.A", "com.x.D"}


def test_what_strangers_wrote_is_no_command_to_a_terminal() -> None:
    noted = {
        **row("com.x.A", "dubbo://com.x.A.rpc.test:20880"),
        "notes": ["differ in mock (\x1b[2J, 用户): left out"],
    }
    data = {
        "items": [noted], "advice": [{"protocol": "dubbo", "interfaces": 1, "text": "it is so"}], "outside": [],
        "callersRead": True, "unread": ["/dubbo/\n: x"],
    }  # fmt: skip
    assert render.beside_direct_urls(data) == [
        "com.x.A: differ in mock (\\x1b[2J, 用户): left out",
        "dubbo: it is so",
        "not read: /dubbo/\\n: x",
    ]


def test_the_text_for_the_configuration_centre_names_references() -> None:
    assert "\n".join(properties.lines(ROWS[:1], properties.CONFIG_CENTER)) == CENTRE


@pytest.mark.parametrize(
    ("application", "roots", "nodes"),
    [
        ("", ["/dubbo"], "/dubbo/config/dubbo/dubbo.properties holds"),
        ("shop", ["/dubbo-pay"], "/dubbo-pay/config/shop/dubbo.properties holds"),
        ("", ["/dubbo-pay"], "/dubbo-pay/config/dubbo-pay/dubbo.properties holds"),
        (
            "shop",
            ["/dubbo", "/finance/dubbo"],
            "/dubbo/config/shop/dubbo.properties and /finance/dubbo/config/shop/dubbo.properties holds",
        ),
    ],
)
def test_the_configuration_centre_is_where_the_registry_is(
    application: str, roots: list[str], nodes: str
) -> None:
    written = properties.lines(ROWS[:1], properties.CONFIG_CENTER, application=application, roots=roots)
    assert f"# To be added to what {nodes} in ZooKeeper (Dubbo 2.7 and later)." in written


# --------------------------------------------------------------------------- reading what was written


def test_what_was_written_is_read_in_every_form() -> None:
    expected = [
        Line("com.x.A", "dubbo://com.x.A.rpc.test:20880?retries=0"),
        Line("com.x.B", ""),
        Line("com.x.C", ""),
        Line("com.x.D", "dubbo://com.x.D.rpc.test:20880", named=True),
    ]
    for form in properties.FORMATS:
        assert properties.read("\n".join(properties.lines(ROWS, form, application="shop"))) == expected


EDITED = r"""
# ours
! theirs
dubbo.application.name = shop
dubbo.registry.address=zookeeper://zk1:2181
dubbo.reference.check=false
   com.x.A : dubbo://a.rpc.test:20880
com.x.B=dubbo://\
    b.rpc.test:20880
# com.x.A: not safe to board: it was before \
com.x.C
com.x.\u7528\u6237 = dubbo://c.rpc.test:20880?mock=c:\\d
dubbo.reference.com.x.E.url=dubbo://e.rpc.test:20880
com.x.B=dubbo://b.rpc.test:20881"""


def test_a_file_that_somebody_edited_is_read_as_java_reads_it() -> None:
    assert properties.read(EDITED) == [
        Line("com.x.A", "dubbo://a.rpc.test:20880"),
        Line("com.x.B", "dubbo://b.rpc.test:20881"),
        Line("com.x.用户", r"dubbo://c.rpc.test:20880?mock=c:\d"),
        Line("com.x.E", "dubbo://e.rpc.test:20880"),
    ]


@given(st.dictionaries(texts.filter(lambda text: text and not text.startswith("dubbo.")), texts, max_size=3))
def test_whatever_is_written_is_read(pairs: dict[str, str]) -> None:
    text = "\n".join(
        f"{properties.key(name)}={properties.value('x://' + url)}" for name, url in pairs.items()
    )
    assert {line.key: line.url for line in properties.read(text)} == {k: f"x://{v}" for k, v in pairs.items()}


@given(st.text(max_size=60))
def test_no_text_is_an_error(text: str) -> None:
    properties.read(text)


def test_a_token_is_never_shown() -> None:
    before = [Line("com.x.A", "dubbo://com.x.A.rpc.test:20880?retries=1&token=s3cr3t&x=1")]
    assert properties.changes(before, ROWS, "f") == [
        "com.x.A: in f it was dubbo://com.x.A.rpc.test:20880?retries=1&token=***&x=1"
    ]
    assert properties.token(before[0].url) == "s3cr3t"
    assert properties.token("dubbo://token=x:1") == ""


def test_what_differs_from_the_file_before_is_told() -> None:
    before = [
        Line("com.x.A", "dubbo://com.x.A.rpc.test:20880"),
        Line("com.x.B", "dubbo://com.x.B.rpc.test:20880"),
        Line("com.x.D", "dubbo://com.x.D.rpc.test:20880"),
        Line("com.x.E", ""),
        Line("com.x.Gone", "dubbo://com.x.Gone.rpc.test:20880"),
    ]
    assert properties.changes(before, ROWS, "shop.properties") == [
        "com.x.A: in shop.properties it was dubbo://com.x.A.rpc.test:20880",
        "com.x.B: it was in shop.properties, and is left out now: it has a condition router (condition://)",
        "com.x.Gone: it was in shop.properties, and is left out now: nothing is known of it",
    ]
