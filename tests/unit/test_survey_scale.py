"""A survey of a large estate: what it asks of registries and does for one interface is the same in one of any size.

Work is counted, not timed: calls of functions, Python's own ones included.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest

from soadns.commands.client import PAGE
from soadns.model import Reading
from soadns.onboarding import exports
from soadns.onboarding.survey import Survey, survey
from soadns.text import surveypage
from tests.unit.registries import Book, callers, estate

pytestmark = pytest.mark.long

PER_APPLICATION = 50
SMALL, LARGE = 500, 3_000
TOLERANCE = 1.1
"""Of the work for one interface: names of all are sorted, and looked through once for each page."""


class Counted:
    """Calls of functions as long as the context lasts."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> Counted:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, _frame: FrameType, event: str, _what: object) -> None:
        self.calls += event in ("call", "c_call")


def named(number: int) -> str:
    return f"com.x.a{number // PER_APPLICATION}.S{number}"


def statements(interfaces: int) -> list[str]:
    """So many interfaces of applications with a Service each, and of one in ten with none yet."""
    said = []
    for app in range(interfaces // PER_APPLICATION):
        pods = f"10.{1 + app // 250}.{app % 250}.1 10.{1 + app // 250}.{app % 250}.2"
        if app % 10:
            said.append(f"service shop/a{app} 10.96.{app // 250}.{1 + app % 250}; pods shop/a{app} {pods}")
        names = ",".join(named(app * PER_APPLICATION + number) for number in range(PER_APPLICATION))
        said.append(f"register {names} {pods} app=a{app}")
    return [*said, "after 1m"]


def readings(interfaces: int) -> dict[str, Reading]:
    """Each interface is called by three addresses of two applications, one in a hundred has a router."""
    found = {}
    for number in range(interfaces):
        app = number // PER_APPLICATION
        called = callers(f"b{app}@10.200.{app % 250}.1", f"b{app}@10.200.{app % 250}.2", "c@10.201.0.1")
        rules = frozenset({"a condition router"}) if number % 100 == 99 else frozenset[str]()
        found[named(number)] = Reading(called, rules)
    return found


async def surveyed(interfaces: int) -> tuple[Survey, list[str], Book, int]:
    """All pages of an estate, put together and printed; the book of what was asked, and the calls of functions."""
    zone = estate(*statements(interfaces)).zone
    book = Book()
    book.readings = readings(interfaces)
    items: list[dict[str, Any]] = []
    with Counted() as counted:
        after = ""
        while True:
            page = await exports.survey(book, zone, {"after": after}, limit=PAGE)
            items += page["items"]
            if not (after := page["next"] or ""):
                break
        found = survey(items, page["outside"], page["ruled"])
        lines = list(surveypage.lines(found, page))
    return found, lines, book, counted.calls


async def test_its_work_and_its_reads_grow_as_the_estate_does() -> None:
    work = {}
    for interfaces in (SMALL, LARGE):
        found, lines, book, calls = await surveyed(interfaces)
        without = interfaces // PER_APPLICATION // 10 * PER_APPLICATION
        ruled = interfaces // 100
        assert len(found.safe) + found.unsafe == interfaces
        assert found.unsafe == without + ruled
        assert f"of {interfaces:,} interfaces" in lines[0]
        asked = Counter((name, tuple(what)) for names, what in book.asked for name in names)
        own = {key: times for key, times in asked.items() if key[0] in book.readings}
        assert own == {(named(n), (what,)): 1 for n in range(interfaces) for what in ("callers", "rules")}
        # Rules of applications are asked for with each page that they provide or call something of.
        pages = -(-interfaces // PAGE)
        assert len(asked) - len(own) == 2 * interfaces // PER_APPLICATION + 1
        assert max(asked.values()) <= pages
        work[interfaces] = calls / interfaces
    print(work)
    assert work[LARGE] <= work[SMALL] * TOLERANCE
