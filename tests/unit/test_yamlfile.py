"""A YAML file gives JSON-like values, or one clear error with its line."""

from __future__ import annotations

import random
import re

import pytest
import yaml

from soadns import yamlfile

pytestmark = pytest.mark.long

VALUES = [
    ("a: 1", [{"a": 1}]),
    ("a: 0x1F\nb: 0o17\nc: 017\nd: -1_000", [{"a": 31, "b": "0o17", "c": 15, "d": -1000}]),
    ("a: 1.5\nb: .inf\nc: 1e3", [{"a": 1.5, "b": float("inf"), "c": "1e3"}]),
    ("a: true\nb: off\nc: ~\nd:", [{"a": True, "b": False, "c": None, "d": None}]),
    ('a: "off"\nb: "1"', [{"a": "off", "b": "1"}]),
    ("a: 2026-01-02T03:04:05Z", [{"a": "2026-01-02T03:04:05Z"}]),
    ("8080: x\ntrue: y", [{"8080": "x", "true": "y"}]),
    ("---\na: 1\n---\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
    ("", []),
    ("# only a comment\n", []),
    ("\ufeffa: 1", [{"a": 1}]),
    ('{"a": [1, {"b": null}]}', [{"a": [1, {"b": None}]}]),
    ("a: &x [1, 2]\nb: *x", [{"a": [1, 2], "b": [1, 2]}]),
    ("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  l: 3", [{"a": {"k": 1, "l": 2}, "b": {"k": 1, "l": 3}}]),
    (
        "a: &x {k: 1}\nb: &y {k: 2, m: 4}\nc: {<<: [*x, *y]}",
        [{"a": {"k": 1}, "b": {"k": 2, "m": 4}, "c": {"k": 1, "m": 4}}],
    ),
    ("a: !!str 1", [{"a": "1"}]),
]


@pytest.mark.parametrize(("text", "expected"), VALUES)
def test_text_becomes_json_like_values(text: str, expected: list[object]) -> None:
    assert yamlfile.load_all(text, where="f.yaml") == expected
    assert yamlfile.load_all(text.encode(), where="f.yaml") == expected


ERRORS = [
    ("a: 1\nb: [1, 2\n", 3, "did not find expected ',' or ']'"),
    ("a: 1\na: 2", 2, "the key 'a' appears twice"),
    ("a:\n  b: 1\n c: 2", 3, "did not find expected key"),
    ("a: 1\n\tb: 2", 2, "found a tab character"),
    ("x: 1\na: !python/object:os.system {}", 2, "the tag !python/object:os.system is not allowed"),
    ("a: !!int twelve", 1, "'twelve' is no valid int; quote it"),
    ("a: 1\nb: *nobody", 2, "&nobody that does not exist above"),
    ("a: &a [*a]", 1, "*a refers to a value that contains it"),
    ("? [1]\n: 2", 1, "a key must be plain text"),
    ("a: 1\nb: {<<: 3}", 2, "<< needs a mapping"),
    ("a: \x00", 1, "not allowed in YAML"),
    ("[" * 300_000, 1, "nested more than"),
    ("- " * 300_000, 1, "nested more than"),
    ("a: 1\nb: " + "9" * 5000, 2, "is no valid int"),
]


@pytest.mark.parametrize(("text", "line", "problem"), ERRORS, ids=[problem for _, _, problem in ERRORS])
def test_unusable_text_is_an_error_with_file_and_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(yamlfile.YamlError) as caught:
        yamlfile.load_all(text, where="conf/f.yaml")
    assert str(caught.value).startswith(f"conf/f.yaml line {line}: ")
    assert problem in caught.value.problem
    assert caught.value.line == line


def test_bytes_that_are_not_utf8_name_their_line() -> None:
    with pytest.raises(yamlfile.YamlError, match=r"f\.yaml line 3: the text is not UTF-8"):
        yamlfile.load_all(b"a: 1\nb: 2\nc: \xff\n", where="f.yaml")


def test_nested_aliases_do_not_expand() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(yamlfile.YamlError, match="aliases repeat more than"):
        yamlfile.load_all("\n".join(lines), where="bomb.yaml")


def test_damaged_text_gives_values_or_the_one_error() -> None:
    seed = (
        "kind: Service\nmetadata: {name: a, labels: {x: 'y'}}\nspec:\n  ports: &p\n  - port: 1\n  more: *p\n"
    )
    rng = random.Random(20880)
    outcomes = set()
    for _ in range(1500):
        letters = list(seed)
        for _ in range(rng.randint(1, 6)):
            position = rng.randrange(len(letters))
            letters[position] = rng.choice("{}[]:,&*!|>'\"%@`#-? \n\t\x00\x85\ud800é~<0x9.")
        try:
            yamlfile.load_all("".join(letters), where="f")
            outcomes.add("value")
        except yamlfile.YamlError:
            outcomes.add("error")
    assert outcomes == {"value", "error"}


# --------------------------------------------------------------------------- what is written

YAML_1_1 = re.compile(
    r"""y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF
    | ~|null|Null|NULL|
    | =|<<
    | [-+]?0b[0-1_]+ | [-+]?0[0-7_]+ | [-+]?(0|[1-9][0-9_]*) | [-+]?0x[0-9a-fA-F_]+
    | [-+]?[1-9][0-9_]*(:[0-5]?[0-9])+
    | [-+]?([0-9][0-9_]*)?\.[0-9.]*([eE][-+][0-9]+)? | [-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*
    | [-+]?\.(inf|Inf|INF) | \.(nan|NaN|NAN)
    | [0-9]{4}-[0-9]{2}-[0-9]{2}
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}
      (\.[0-9]*)?([ \t]*(Z|[-+][0-9]{1,2}(:[0-9]{2})?))?""",
    re.X,
)
"""What is no text without quotes in YAML 1.1 (yaml.org/type: bool, null, value, merge, int, float, timestamp)."""
YAML_1_2 = re.compile(
    r"""null|Null|NULL|~| | true|True|TRUE|false|False|FALSE | [-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+
    | [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? | [-+]?(\.inf|\.Inf|\.INF) | \.nan|\.NaN|\.NAN""",
    re.X,
)
"""The same in YAML 1.2.2, 10.3.2 (the core schema)."""
WORDS = """
y Y yes YES n N no on On ON off OFF true TRUE false ~ null Null NULL = <<
7e10 7E10 12e03 1e3 1.5e+3 .5 5. +.5 -1 +1 08 007 0o17 0x1F 0b101 1_000 0x_1 1:30 1:30:00 190:20:30.15
.inf -.Inf +.INF .nan .NaN 0x1p-2 10.96.0.1 10.96.0.1_20880 2026-01-02 2026-1-2 2026-01-02T03:04:05Z
2.0 1.0.0 - -- --- ... ? : # ! & * % @ ` | > { } [ ] , ' " \\ -x ?x :x x: *x &x !x
"""
SENTENCES = (
    "", " ", " x", "x ", "a: b", "a #b", "a\nb", "\ta", "a\x85b", "a\u2028b", "a\u2029", "\ufeff", "é日本", "😀"
)  # fmt: skip
"""Versions and groups that somebody has, or might."""


def read_again(text: str) -> list[tuple[str, bool]]:
    """(text, whether it stands without quotes) of each scalar."""
    return [
        (event.value, event.implicit[0])
        for event in yaml.parse(text, Loader=yaml.SafeLoader)
        if isinstance(event, yaml.ScalarEvent)
    ]


def stays_text(text: str) -> None:
    printed = yamlfile.dump({"version": text, "list": [text, {text: "x"}]})
    found = read_again(printed)
    assert [value for value, _ in found] == ["version", text, "list", text, text, "x"], printed
    for value, plain in found:
        assert not plain or not (YAML_1_1.fullmatch(value) or YAML_1_2.fullmatch(value)), printed
    assert yamlfile.load_all(printed, where="f") == [{"version": text, "list": [text, {text: "x"}]}]
    assert not set(printed) & set("\x85\u2028\u2029\ufeff"), (
        "YAML 1.1 takes these for ends of lines, 1.2 does not"
    )


@pytest.mark.parametrize("text", [*WORDS.split(), *SENTENCES])
def test_text_stays_text_for_whoever_reads_it(text: str) -> None:
    stays_text(text)


def test_text_of_any_letters_stays_text() -> None:
    rng = random.Random(12200)
    letters = "0123456789abefxoEXyYnNTZ_+-.:~=< "
    for _ in range(4000):
        stays_text("".join(rng.choice(letters) for _ in range(rng.randint(1, 7))))


def test_values_of_other_kinds_stay_what_they_are_and_names_need_no_quotes() -> None:
    value = {"a": [1, -2, 1.5, True, False, None], "interface": "com.x.User", "tcp": "outbound|1||u.shop.svc"}
    text = yamlfile.dump(value)
    assert yamlfile.load_all(text, where="f") == [value]
    assert "interface: com.x.User\ntcp: outbound|1||u.shop.svc\n" in text
