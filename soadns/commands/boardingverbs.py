"""The verbs of the command line about boarding: what may call by name, what does, and how that fares.

Modules are imported by the verb that needs them, as in ``soadns.cli``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from soadns.commands import exportoptions
from soadns.commands.console import NO, OK, UsageError, api, show
from soadns.text import render

if TYPE_CHECKING:
    from soadns.publishers.properties import Line


def export_verb(options: argparse.Namespace) -> int:
    """A zone's file, direct URLs, or Envoy filters."""
    from soadns.commands.progress import Progress
    from soadns.publishers import properties
    from soadns.publishers.advice import advice

    if problem := exportoptions.settle(options):
        raise UsageError(problem)
    if options.what == "mosn":
        from soadns.commands.mosnverbs import export_mosn

        return export_mosn(options)
    if options.what == "envoy":
        from soadns.commands.envoyverbs import export_envoy

        return export_envoy(options)
    if options.what == "envoyfilters":
        from soadns.commands.filterverbs import export_filters

        return export_filters(options)
    asked = (options.application, options.everyone, options.interface, options.previous)
    if options.what == "zonefile":
        if options.output != "text":
            raise UsageError("a zone file is text: export zonefile has no other output")
        for piece in api(options).stream("/v1/zonefile", {"zone": options.zone}):
            print(piece.decode("ascii"), end="")
        return OK
    if not any(asked):
        raise UsageError(
            "whose interfaces? --application NAME, --interface NAME, --everyone, or those of --previous FILE"
        )
    before = _direct_urls_of(options.previous) if options.previous else []
    query = {
        "zone": options.zone,
        "family": properties.FORMATS[options.format],
        "application": options.application,
        "interface": ",".join(options.interface),
        "everyone": "1" if options.everyone else "",
        "secrets": "1" if options.with_secrets else "",
        "tri": "1" if options.with_tri else "",
    }
    progress = Progress(sys.stderr, "interfaces")
    try:
        data = api(options).direct_urls(query, [line.key for line in before], progress)
    finally:
        progress.end()
    said = advice(row["protocol"] for row in data["items"] if row["exported"])
    data["advice"] = [each.plain() for each in said]
    whose = {"application": options.application, "roots": data["roots"]}
    show(options, data, lambda d: list(properties.lines(d["items"], options.format, **whose)))
    told = properties.changes(before, data["items"], options.previous)
    for line in [*told, *render.beside_direct_urls(data)] if options.output == "text" else ():
        print(f"soadns: {line}", file=sys.stderr)
    return OK if any(row["exported"] for row in data["items"]) else NO


def boarded_verb(options: argparse.Namespace) -> int:
    """How the interfaces of a file of direct URLs fare."""
    from soadns.commands.boarded import boarded, by_family, page
    from soadns.publishers.properties import token

    lines = _direct_urls_of(options.file)
    client = api(options)
    secrets = any(token(line.url) for line in lines)  # compared, and not shown
    query = {
        "zone": options.zone,
        "application": options.application,
        "secrets": "1" if secrets else "",
        "tri": "1",  # whoever has such a line has taken what it brings; it is told
    }
    pages = [
        each
        for family, names in by_family(lines).items()
        for each in client.standing({**query, "family": family}, names)
    ]
    found = boarded(lines, pages, options.application)
    unread = list(dict.fromkeys(text for each in pages for text in each["unread"]))
    read = all(each["callersRead"] for each in pages)
    well = not unread and not any(each.problems for each in found)
    data = {
        "application": options.application or None,
        "well": well,
        "items": [each.plain() for each in found],
        "callersRead": read,
        "unread": unread,
    }
    show(options, data, lambda _: page(found, unread, callers_read=read))
    return OK if well else NO


def _direct_urls_of(path: str) -> list[Line]:
    """What a file of direct URLs holds."""
    from soadns.publishers import properties

    try:
        lines = properties.read(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise UsageError(f"{path} can not be read: {reason}") from None
    if not any(line.url for line in lines):
        raise UsageError(f"{path}: no direct URL is in it; soadns export resolve writes such files")
    return lines


def survey_verb(options: argparse.Namespace) -> int:
    """The whole estate before it is boarded."""
    from soadns.commands.progress import Progress
    from soadns.onboarding.survey import survey
    from soadns.text import surveypage

    progress = Progress(sys.stderr, "interfaces")
    try:
        query = {"zone": options.zone, "tri": "1" if options.with_tri else ""}
        data = api(options).survey(query, progress)
    finally:
        progress.end()
    found = survey(data["items"], data["outside"], data["ruled"])
    shown = surveypage.EVERY if options.all else surveypage.SHOWN
    whole = {"zone": data["zone"], **found.plain(), **data}
    show(options, whole, lambda d: surveypage.lines(found, d, shown=shown))
    return OK if data["items"] else NO
