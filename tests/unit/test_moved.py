"""A caller has followed to another Service when nobody else answers any more, over connections that lead there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.scenarios.stage import moved
from tests.scenarios.stage.following import IN_A_ROW, Followed, Following
from tests.scenarios.stage.promises import BY_THEMSELVES, FOLLOWS_S, GONE, NEVER, PODS, REFUSED

OLD, NEW = "old-1", "new-2"
KEYS = sorted(PODS)
FOLLOWERS = sorted(GONE)


def seen(answers: Iterable[str]) -> Followed:
    """One answer a tenth of a second; ``-`` is a call that fails."""
    following = Following(NEW)
    for number, answer in enumerate(answers, 1):
        following.note(number / 10, {"ok": answer != "-", **({"answer": answer} if answer != "-" else {})})
    return following.found


def test_one_answer_is_a_stray() -> None:
    assert seen([NEW]).after_s is None
    assert seen([NEW] * (IN_A_ROW - 1)).after_s is None
    assert seen([NEW, OLD] * IN_A_ROW).after_s is None
    assert seen([NEW, "-"] * IN_A_ROW).after_s is None


def test_the_time_is_that_of_the_first_of_them() -> None:
    answers = [OLD, NEW, NEW, "-", OLD, *[NEW] * IN_A_ROW]
    assert seen(answers) == Followed(0.6, 6, 1, {OLD: 2, NEW: 3})
    assert seen([*answers, NEW, NEW]) == seen(answers)


def test_who_goes_astray_afterwards_has_not_followed() -> None:
    found = seen([*[NEW] * IN_A_ROW, OLD])
    assert found == Followed(None, IN_A_ROW + 1, 0, {NEW: IN_A_ROW, OLD: 1})
    assert seen([*[NEW] * IN_A_ROW, "-", *[NEW] * IN_A_ROW]).after_s == 1.2


def stayed(key: str) -> Followed:
    if key in BY_THEMSELVES:
        refused = REFUSED.get(key, 0)
        return Followed(5.0, 50, refused, {OLD: 49 - refused, NEW: 1}, 1)
    return Followed(None, 450, 0, {OLD: 450})


def one_more(found: Followed) -> Followed:
    """The same with one more call, which fails."""
    return replace(found, failed=found.failed + 1, calls=found.calls + 1)


def went(key: str) -> Followed:
    if key in NEVER:
        return Followed(None, 730, 725, {OLD: 5})
    return Followed(GONE[key].within_s, 30 + GONE[key].fails, GONE[key].fails, {OLD: 29, NEW: 1}, 1)


@pytest.mark.parametrize("key", KEYS)
def test_what_is_promised_is_good_enough(key: str) -> None:
    assert moved.kept(key, OLD, NEW, stayed(key)) == []
    assert moved.gone(key, OLD, NEW, went(key)) == []


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("nothing", [Followed(None, 0, 0, {}), Followed(0.0, 0, 0, {})])
def test_no_calls_prove_nothing(key: str, nothing: Followed) -> None:
    assert moved.kept(key, OLD, NEW, nothing)
    assert moved.gone(key, OLD, NEW, nothing)
    assert moved.restarted(key, NEW, nothing)


@pytest.mark.parametrize("key", KEYS)
def test_strangers_and_answers_of_nobody_are_seen(key: str) -> None:
    for verdict, good in ((moved.kept, stayed(key)), (moved.gone, went(key))):
        assert verdict(key, OLD, NEW, replace(good, by={"elsewhere": good.calls - good.failed}))
        assert verdict(key, OLD, NEW, replace(good, by={}))
    one = Followed(0.5, 1, 0, {NEW: 1}, 1)
    assert moved.restarted(key, NEW, one) == []
    assert moved.restarted(key, NEW, replace(one, by={OLD: 1}))
    assert moved.restarted(key, NEW, replace(one, calls=2, failed=1))
    assert moved.restarted(key, NEW, replace(one, after_s=None))


@pytest.mark.parametrize("key", KEYS)
def test_who_does_the_other_thing_is_seen(key: str) -> None:
    if key in BY_THEMSELVES:
        assert moved.kept(key, OLD, NEW, Followed(None, 450, 0, {OLD: 450}))
        assert moved.kept(key, OLD, NEW, replace(stayed(key), after_s=FOLLOWS_S[key] + 0.1))
    else:
        assert moved.kept(key, OLD, NEW, Followed(1.0, 10, 0, {OLD: 9, NEW: 1}, 1))
    assert moved.kept(key, OLD, NEW, one_more(stayed(key)))
    if key in NEVER:
        assert moved.gone(key, OLD, NEW, Followed(20.0, 200, 0, {OLD: 199, NEW: 1}, 1))
        assert moved.gone(key, OLD, NEW, replace(went(key), by={NEW: 5}))
    else:
        assert moved.gone(key, OLD, NEW, Followed(None, 730, 725, {OLD: 5}))
        assert moved.gone(key, OLD, NEW, replace(went(key), after_s=GONE[key].within_s + 0.1))
        assert moved.gone(key, OLD, NEW, one_more(went(key))) == [
            f"{GONE[key].fails + 1} calls failed when the old pods ended"
        ]


@pytest.mark.parametrize("key", FOLLOWERS)
def test_answers_come_over_a_connection_that_was_opened_for_them(key: str) -> None:
    expected = [] if key == "rest/http" else ["no connection was opened to the new Service"]
    assert moved.gone(key, OLD, NEW, replace(went(key), opened=0)) == expected
    if key in BY_THEMSELVES:
        assert moved.kept(key, OLD, NEW, replace(stayed(key), opened=0)) == expected
