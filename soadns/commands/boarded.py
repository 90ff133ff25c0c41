"""How a file of direct URLs does that applications have already (``soadns boarded``). Pure: items in, lines out.

An application that calls by a direct URL is no longer registered as a consumer, so the file alone says what it calls.
Each of its lines is put beside what would be exported now, what is behind the name, and who still goes by the registry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soadns.publishers.advice import protocol_of
from soadns.publishers.directurls import FAMILIES
from soadns.publishers.properties import Line, masked, token
from soadns.publishers.verdicts import TRI
from soadns.text.render import printable, table

Data = Mapping[str, Any]
MOST = 5
"""Addresses that are named."""


@dataclass(frozen=True, slots=True)
class Boarded:
    """A line of the file, and how it stands now."""

    key: str
    url: str
    """As the file has it."""
    now: str
    """As it would be exported, with its token where the file has one; ``''`` where it could not be."""
    standing: Data
    """As ``GET /v1/directurls`` has it (``docs/http.md``); nothing where soadns was not asked."""
    problems: tuple[str, ...]
    """What somebody should look at."""
    notes: tuple[str, ...]
    """What is good to know, before it is taken back above all."""

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "key": self.key,
            "url": masked(self.url),
            "now": masked(self.now) or None,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "standing": dict(self.standing),
        }


def by_family(lines: Iterable[Line]) -> dict[str, list[str]]:
    """The interfaces of a file by the family whose URLs they have; those of no family can not be asked for."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if line.url and (family := _family(line.url)):
            found.setdefault(family, []).append(line.key)
    return found


def _family(url: str) -> str:
    protocol = protocol_of(url)
    return next((family for family, protocols in FAMILIES.items() if protocol in protocols), "")


def boarded(lines: Iterable[Line], pages: Sequence[Data], application: str) -> list[Boarded]:
    """Every line with a URL, in the order of the file.

    ``pages`` are those of ``GET /v1/directurls`` with ``names``. With an ``application`` the subscribers are its own,
    and none of them inside the cluster should be there any more.
    """
    items = {row["key"]: row for page in pages for row in page["items"]}
    outside = {row["address"] for page in pages for row in page["outside"]}
    return [_one(line, items.get(line.key), outside, application) for line in lines if line.url]


def _one(line: Line, item: Data | None, outside: set[str], application: str) -> Boarded:
    if item is None:
        return Boarded(line.key, line.url, "", {}, ("no URL that soadns writes: nothing is known of it",), ())
    now, standing = item["url"] or "", item["standing"]
    problems = [] if now and line.named else [f"not safe to board now: {why}" for why in item["why"]]
    notes = [f"not safe to board, but named: {why}" for why in item["why"]] if now and line.named else []
    if now and _place(now) != _place(line.url):
        problems.append(
            f"the file leads to {_place(line.url)}, but it is at {_place(now)} now: export it again"
        )
    elif now and token(now) != token(line.url):
        problems.append("its token is not the one that its providers want now: export it again")
    elif now and now != line.url:
        notes.append(f"export it again, to have what its providers say now: {masked(now)}")
    if protocol_of(line.url) == TRI and standing["since"]:
        notes.append(
            f"callers by tri that started before {standing['since']} call where its name led then: restart them"
        )
    if standing["service"] and not standing["ready"]:
        problems.append(f"no endpoint address of {standing['service']} is ready")
    if not standing["registered"]:
        notes.append("no provider is registered: whoever takes it back finds nobody")
    if application:
        addresses = [row["address"] for row in standing["subscribers"]]
        inside = [address for address in addresses if address not in outside]
        strangers = [address for address in addresses if address in outside]
        if inside:
            problems.append(f"{application} asks the registry for it at {_some(inside)}")
        if strangers:
            notes.append(
                f"{application} asks the registry for it from outside the cluster, at {_some(strangers)}"
            )
    return Boarded(line.key, line.url, now, standing, tuple(problems), tuple(notes))


def _place(url: str) -> str:
    """Protocol, host and port."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].partition('/')[0]}"


def _some(addresses: Sequence[str]) -> str:
    rest = len(addresses) - MOST
    return ", ".join(addresses[:MOST]) + (f" and {rest} more" if rest > 0 else "")


def page(found: Sequence[Boarded], unread: Sequence[str], *, callers_read: bool) -> list[str]:
    """The lines of ``soadns boarded``."""
    look = sum(bool(each.problems) for each in found)
    count = "1 interface" if len(found) == 1 else f"{len(found):,} interfaces"
    text = [f"{count} called by name: {f'{look:,} to look at' if look else 'all well'}"]
    rows = [
        [
            each.key,
            each.standing.get("service") or "-",
            ", ".join(each.standing.get("addresses", ())) or "-",
            f"{each.standing.get('ready', 0)} of {each.standing.get('endpoints', 0)}",
            str(each.standing.get("registered", 0)),
            str(len(each.standing.get("subscribers", ()))) if callers_read else "?",
        ]
        for each in found
    ]
    text += table([["INTERFACE", "SERVICE", "ANSWER", "READY", "PROVIDERS", "BY REGISTRY"], *rows])
    for title, lines in (
        ("To look at", [f"{each.key}: {said}" for each in found for said in each.problems]),
        ("To know", [f"{each.key}: {said}" for each in found for said in each.notes]),
        ("Could not be read, so who goes by the registry is not known", unread),
    ):
        text += ["", title, *(f"  {line}" for line in lines)] if lines else []
    if not callers_read:
        text += ["", "No registry in ZooKeeper is read, so nothing is known of who goes by the registry"]
    return printable(text)
