"""What people see of the filters: by Service, what is wanted, what stands, and what is in the way. Pure.

The shapes are documented in ``docs/http.md``: keys are added, never renamed.
"""

from __future__ import annotations

from typing import Any

from soadns.mesh.filterbook import APPLIED, MISSING, OUTDATED, UNWANTED
from soadns.mesh.filterplan import Name
from soadns.mesh.filterwriter import FilterWriter
from soadns.mesh.routefiles import names_files
from soadns.mesh.standing import service_of
from soadns.reports import filterviews
from soadns.reports.views import when
from soadns.sidecar.envoyfilters import Rendered
from soadns.sidecar.scopes import Scopes
from soadns.sidecar.tiers import ALL

Data = dict[str, Any]


def status(writer: FilterWriter, service: str) -> Data:
    """All of it, with the Services that have filters, or should; with one alone (``namespace/name``)."""
    alarm, rejects = writer.guard.alarm, writer.istiod.rejects
    return {
        "mode": writer.mode,
        "waitsFor": writer.waits_for or None,
        "trouble": writer.trouble or None,
        "written": writer.written,
        "room": _room(writer),
        "files": _files(writer),
        "guard": {"objects": alarm.total, "counted": alarm.counted, "held": alarm.held},
        "halted": writer.halted or None,
        "rejects": {
            "known": writer.istiod.known,
            "total": rejects.total,
            "errors": writer.istiod.errors,
            "since": when(rejects.since),
            "trouble": writer.istiod.trouble or None,
        },
        "services": [] if writer.waits_for else _services(writer, service),
    }


def figures(writer: FilterWriter) -> Data:
    """What metrics show, by the last look at all of it."""
    known = writer.istiod.known
    return {
        "trouble": writer.trouble or None,
        "objects": dict(writer.book.counts),
        "room": _room(writer),
        "files": _files(writer),
        "held": writer.guard.alarm.held,
        "written": writer.written,
        "rejects": writer.istiod.rejects.total if known else None,
    }


def _files(writer: FilterWriter) -> list[Data]:
    """How many ports have rules from files, by namespace of callers, and what of them finds no room.

    Nothing before that is known.
    """
    places, most = writer.meshing.places, writer.meshing.wishes.most
    if places is None:
        return []
    rows = []
    for ns, taken in places.taken.items():
        if ns != ALL:
            shared = writer.files.shared(ns)
            room = {"outdated": list(shared.outdated), "leftOut": list(shared.left_out)}
            rows.append(
                {"namespace": ns, "ports": taken, "most": most, "wanting": places.wanting[ns], **room}
            )
    return rows


def _room(writer: FilterWriter) -> Data | None:
    """How many ports have filters for all callers; None before that is known."""
    places = writer.meshing.places
    if places is None:
        return None
    most = writer.meshing.wishes.most_filters
    return {"ports": places.taken[ALL], "most": most, "wanting": places.wanting[ALL]}


def _services(writer: FilterWriter, service: str) -> list[Data]:
    rows = []
    scopes = Scopes(writer.reader.sidecars.values.values(), writer.meshing.wishes.root_namespace)
    known = {each.uid: each for _, each in sorted(writer.renderings.rendered.items())}
    uids = writer.book.uids
    listed = {*uids}
    for uid in [*known, *(uid for uid in uids if uid not in known)]:
        rendered = known.get(uid)
        of = str(rendered.service) if rendered is not None else _written_for(writer, uid)
        if service and service != of and service != of.partition("/")[2]:
            continue
        odd = rendered is not None and any(port.harm or port.crowded for port in rendered.ports)
        if service or uid in listed or odd:
            objects = [_object(writer, name, rendered) for name in sorted(writer.book.names(uid))]
            rows.append(_row(writer, of, uid, rendered, objects, scopes))
    return rows


def _row(
    writer: FilterWriter,
    of: str,
    uid: str,
    rendered: Rendered | None,
    objects: list[Data],
    scopes: Scopes,
) -> Data:
    hosts = sorted(rendered.hosts) if rendered is not None and objects else []
    in_the_way = writer.reader.in_the_way(rendered.listeners) if rendered is not None and objects else []
    return {
        "service": of,
        "uid": uid,
        **(
            filterviews.ports_data(rendered, writer.meshing)
            if rendered is not None
            else {"tier": 0, "ports": []}
        ),
        "objects": objects,
        "foreign": ["/".join(name) for name in in_the_way],
        "hidden": [{"host": host, "from": whom} for host in hosts for whom in scopes.hides(host)],
    }


def _object(writer: FilterWriter, name: Name, rendered: Rendered | None) -> Data:
    wish, held = writer.book.wanted.get(name), writer.reader.ours.of.get(name)
    if wish is None:
        state = UNWANTED if held is not None else MISSING
    elif held is None:
        state = MISSING
    else:
        state = OUTDATED if name in writer.book.steps else APPLIED
    waits = writer.waiting[name][1] if name in writer.waiting else None
    if waits is None and rendered is not None and names_files(name):
        outdated = {file.key for file in rendered.files}.intersection(writer.files.shared(name[0]).outdated)
        if outdated:
            waits = f"there is no room for the new rules in {', '.join(sorted(outdated))}"
    return {
        "namespace": name[0],
        "name": name[1],
        "state": state,
        "matched": writer.istiod.applied(name) if held is not None else None,
        "refused": writer.book.refused.get(name),
        "waitsFor": waits,
    }


def _written_for(writer: FilterWriter, uid: str) -> str:
    """The Service of objects that nobody renders any more."""
    for name in writer.book.names(uid):
        if (held := writer.reader.ours.of.get(name)) is not None:
            return service_of(held) or "/".join(name)
    return "?"
