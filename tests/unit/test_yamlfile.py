"""A YAML file gives JSON-like values, or one clear error with its line."""

from __future__ import annotations

import random

import pytest

from soadns import yamlfile

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
