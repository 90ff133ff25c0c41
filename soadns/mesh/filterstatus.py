"""What people see of the filters: by Service, what is wanted, what stands, and what is in the way. Pure.

The shapes are documented in ``docs/http.md``: keys are added, never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soadns import filterviews
from soadns.mesh.filterplan import Name, Standing, Wanted
from soadns.mesh.filterwriter import APPLIED, MISSING, OUTDATED, UNWANTED, FilterWriter
from soadns.sidecar.envoyfilters import SERVICE, Rendered
from soadns.views import when

Data = dict[str, Any]


def status(writer: FilterWriter, service: str) -> Data:
    """All of it, with the Services that have filters, or should; with one alone (``namespace/name``)."""
    standing = writer.reader.ours()
    wanted = {} if writer.waits_for else writer.wanted(standing)
    alarm, rejects = writer.guard.alarm, writer.istiod.rejects
    return {
        "mode": writer.mode,
        "waitsFor": writer.waits_for or None,
        "trouble": writer.trouble or None,
        "written": writer.written,
        "guard": {"objects": alarm.total, "counted": alarm.counted, "held": alarm.held},
        "rejects": {
            "known": writer.istiod.known,
            "total": rejects.total,
            "since": when(rejects.since),
            "trouble": writer.istiod.trouble or None,
        },
        "services": [] if writer.waits_for else _services(writer, wanted, standing, service),
    }


def figures(writer: FilterWriter) -> Data:
    """What metrics show, by the last look at all of it."""
    known = writer.istiod.known
    return {
        "trouble": writer.trouble or None,
        "objects": dict(writer.counts),
        "held": writer.guard.alarm.held,
        "written": writer.written,
        "rejects": writer.istiod.rejects.total if known else None,
    }


def _services(
    writer: FilterWriter, wanted: Mapping[Name, Wanted], standing: Mapping[Name, Standing], service: str
) -> list[Data]:
    names: dict[str, set[Name]] = {}
    for name, wish in wanted.items():
        names.setdefault(wish.uid, set()).add(name)
    for name, held in standing.items():
        names.setdefault(held.uid, set()).add(name)
    for name in writer.refused:
        if (found := writer.refused_uids.get(name)) is not None:
            names.setdefault(found, set()).add(name)
    rows = []
    known = {each.uid: each for _, each in sorted(writer.rendered.items())}
    for uid in [*known, *(uid for uid in names if uid not in known)]:
        rendered = known.get(uid)
        of = str(rendered.service) if rendered is not None else _written_for(standing, names[uid])
        if service and service != of and service != of.partition("/")[2]:
            continue
        if service or uid in names or (rendered is not None and any(port.harm for port in rendered.ports)):
            objects = [_object(writer, name, wanted, standing) for name in sorted(names.get(uid, ()))]
            rows.append(_row(writer, of, uid, rendered, objects))
    return rows


def _row(writer: FilterWriter, of: str, uid: str, rendered: Rendered | None, objects: list[Data]) -> Data:
    foreign = [] if rendered is None or not objects else writer.reader.foreign()
    return {
        "service": of,
        "uid": uid,
        "tier": rendered.tier if rendered is not None else 0,
        "ports": [filterviews.port_data(port) for port in rendered.ports] if rendered is not None else [],
        "objects": objects,
        "foreign": [
            "/".join(each.name)
            for each in foreign
            if rendered is not None and each.concerns(rendered.listeners)
        ],
    }


def _object(
    writer: FilterWriter, name: Name, wanted: Mapping[Name, Wanted], standing: Mapping[Name, Standing]
) -> Data:
    wish, held = wanted.get(name), standing.get(name)
    if wish is None:
        state = UNWANTED if held is not None else MISSING
    elif held is None:
        state = MISSING
    else:
        state = APPLIED if writer.stands(name, wish, held) else OUTDATED
    waiting = writer.waiting.get(name)
    return {
        "namespace": name[0],
        "name": name[1],
        "state": state,
        "refused": writer.refused.get(name),
        "waitsFor": waiting[1] if waiting is not None else None,
    }


def _written_for(standing: Mapping[Name, Standing], names: set[Name]) -> str:
    """The Service of objects that nobody renders any more."""
    for name in names & standing.keys():
        annotations = standing[name].document["metadata"].get("annotations") or {}
        return str(annotations.get(SERVICE) or "/".join(name))
    return "?"
