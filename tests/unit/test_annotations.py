"""``soadns.io/*`` on a Service: each annotation stands for itself."""

from __future__ import annotations

import time

import pytest

from soadns.sources.annotations import APPLICATION, INTERFACES, TRAFFIC, parse

GOOD = """
interfaces com.x.A                          | com.x.A
interfaces com.x.A, com.x.B,                | com.x.A com.x.B
interfaces com.x.A,com.x.A                  | com.x.A
interfaces blue/com.x.A:1.0.0               | blue/com.x.A:1.0.0
interfaces com.x.A:0.0.0                    | com.x.A
interfaces blue/com.x.A                     | blue/com.x.A
interfaces com.x.Outer$Inner                | com.x.Outer$Inner
interfaces                                  |
application user                            | user
application  user                           | user
application                                 |
traffic mesh                                | *=mesh
traffic com.x.*=registry, com.y.B=off       | com.x.*=registry com.y.B=off
traffic com.x.A=registry,mesh               | com.x.A=registry *=mesh
traffic                                     |
"""

BAD = """
interfaces com.x.A com.x.B                  | contains ' ', which no resolver would send
interfaces a/b/com.x.A                      | expected [group/]interface[:version]
interfaces com.x.A:1:2                      | expected [group/]interface[:version]
interfaces blue/                            | the interface is missing
interfaces :1.0                             | the interface is missing
interfaces com..A                           | has an empty label
interfaces com.x.\u652f\u4ed8                        | which no resolver would send
interfaces *                                | set soadns.io/application as well
application user pay                        | is no application name (one word, as the registry spells it)
application user,pay                        | is no application name (one word, as the registry spells it)
traffic meshh                               | 'meshh' is no mode (mesh, registry, off); did you mean mesh?
traffic com.x.A                             | is no mode (mesh, registry, off)
traffic com.x.A=                            | '' is no mode (mesh, registry, off)
traffic =mesh                               | expected pattern=mode, e.g. com.example.pay.*=mesh
"""

FIELDS = {"interfaces": "declaration", "application": "application", "traffic": "traffic"}
OTHERS = {INTERFACES: "com.x.Good", APPLICATION: "good", TRAFFIC: "mesh"}


def rows(table: str) -> list[tuple[str, str, str]]:
    found = []
    for line in table.strip().splitlines():
        left, _, said = line.partition("|")
        name, _, text = left.partition(" ")
        found.append((name, text.strip(), said.strip()))
    return found


@pytest.mark.parametrize(("name", "text", "said"), rows(GOOD))
def test_what_a_good_annotation_says(name: str, text: str, said: str) -> None:
    parsed = parse({f"soadns.io/{name}": text})
    assert not parsed.problems
    assert parsed.declaration is not None
    assert parsed.traffic is not None
    spelled = {
        "interfaces": " ".join(map(str, parsed.declaration.interfaces)),
        "application": parsed.application,
        "traffic": " ".join(f"{rule.pattern}={rule.mode}" for rule in parsed.traffic),
    }
    assert spelled[name] == said


@pytest.mark.parametrize(("name", "text", "said"), rows(BAD))
def test_a_malformed_annotation_is_told_and_the_others_count(name: str, text: str, said: str) -> None:
    key = f"soadns.io/{name}"
    others = {other: value for other, value in OTHERS.items() if other != key and text != "*"}
    parsed = parse({**others, key: text})
    (problem,) = parsed.problems
    assert problem.startswith(f"{key}: ")
    assert said in problem
    good = parse(others)
    for field in FIELDS.values():
        expected = None if field == FIELDS[name] else getattr(good, field)
        assert getattr(parsed, field) == expected


def test_a_star_means_all_interfaces_of_the_application() -> None:
    declaration = parse({INTERFACES: "*", APPLICATION: "user"}).declaration
    assert declaration is not None
    assert declaration.everything


def test_a_star_with_a_malformed_application_is_malformed_too() -> None:
    parsed = parse({INTERFACES: "*", APPLICATION: "user pay"})
    assert (parsed.application, parsed.declaration) == (None, None)
    assert len(parsed.problems) == 2


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("soadns.io/interface", "did you mean soadns.io/interfaces?"),
        ("soadns.io/aplication", "did you mean soadns.io/application?"),
        ("soadns.io/zzz", "known are soadns.io/interfaces, "),
    ],
)
def test_an_unknown_annotation_is_told_with_the_nearest_known_one(key: str, hint: str) -> None:
    (problem,) = parse({key: "x"}).problems
    assert hint in problem


@pytest.mark.parametrize(
    ("key", "word", "hint"),
    [
        ("balancing", "requests", "did you mean request?"),
        ("balancing", "inline", "is not one of connection, request"),
        ("moves", "in-line", "did you mean inline?"),
        ("moves", "request", "is not one of failing, inline, never"),
    ],
)
def test_a_bad_word_for_sidecars_is_told_and_no_value(key: str, word: str, hint: str) -> None:
    parsed = parse({f"soadns.io/{key}": word})
    (problem,) = parsed.problems
    assert problem.startswith(f"soadns.io/{key}: '{word}' ")
    assert hint in problem
    assert {"balancing": parsed.balancing, "moves": parsed.moves}[key] is None


def test_words_for_sidecars() -> None:
    parsed = parse({"soadns.io/balancing": " request ", "soadns.io/moves": "inline"})
    assert (parsed.balancing, parsed.moves, parsed.problems) == ("request", "inline", ())
    assert (parse({}).balancing, parse({}).moves) == ("", "")


def test_annotations_of_others_are_nobodys_business() -> None:
    assert parse({"example.com/interfaces": "a b c", "soadns": "x"}) == parse({})


@pytest.mark.parametrize(
    "text", ["a" * 300_000, "com.x.A," * 40_000, f"com.x.{'A' * 200_000}", "%" * 200_000]
)
def test_what_is_said_of_a_huge_annotation_is_short(text: str) -> None:
    parsed = parse({INTERFACES: text, TRAFFIC: text, APPLICATION: text})
    assert len(parsed.problems) == 3
    assert all(len(problem) < 600 for problem in parsed.problems)


def test_tens_of_thousands_of_interfaces_in_one_annotation_take_no_time() -> None:
    text = ",".join(f"c.S{number}" for number in range(30_000))
    began = time.process_time()
    declaration = parse({INTERFACES: text}).declaration
    assert time.process_time() - began < 2.0
    assert declaration is not None
    assert len(declaration.interfaces) == 30_000
