"""What the writer is to write, for people: each object as it stands and as it should be. Pure.

This is the writer's own decision and no second one: where it has nothing to do, there is nothing in this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soadns.mesh.filterplan import Step
from soadns.mesh.filterwriter import FilterWriter
from soadns.mesh.routefiles import LABELS
from soadns.mesh.standing import service_of
from soadns.model import ObjectRef
from soadns.reports.filterviews import as_written
from soadns.sidecar.drdsfiles import config_maps

Data = dict[str, Any]


def changes(writer: FilterWriter, of: ObjectRef | None) -> list[Data]:
    """All of it, or what concerns one Service: ``namespace``, ``name``, ``before``, ``after`` and ``waitsFor``.

    ``before`` and ``after`` are whole objects, or None: there is none. Of a ConfigMap one Service has its own files.
    """
    if of is not None and of.cluster != writer.home:
        return []
    found = []
    for name, step in sorted(writer.book.steps.items()):
        held = writer.reader.ours.of.get(name)
        if of is None or _service(writer, step) == (of.namespace, of.name):
            before = as_written(held.document) if held is not None else None
            waits = writer.book.refused.get(name) or _waiting(writer, step)
            found.append(_row(step.name, before, step.document, waits))
    for name, data, document in writer.files.changes():
        before = {**document, "data": data} if data is not None else None
        if of is not None:
            before, document = _part(before, of), _part(document, of) or document
            if (before or {}).get("data", {}) == document["data"]:
                continue
        found.append(_row(name, before, document, None))
    return found


def files(writer: FilterWriter) -> Data:
    """The ConfigMaps as they should be, whole, and files that find no room in them."""
    namespaces = writer.meshing.wishes.namespaces
    shared = {namespace: writer.files.shared(namespace) for namespace in namespaces}
    return {
        "configMaps": [each for ns in namespaces for each in config_maps(shared[ns].data, ns, LABELS)],
        "leftOut": sorted({key for each in shared.values() for key in each.left_out}),
        "outdated": sorted({key for each in shared.values() for key in each.outdated}),
    }


def _row(name: tuple[str, str], before: Data | None, after: Data | None, waits: str | None) -> Data:
    return {"namespace": name[0], "name": name[1], "before": before, "after": after, "waitsFor": waits}


def _waiting(writer: FilterWriter, step: Step) -> str | None:
    if writer.guard.holds(step):
        return "too many are to be changed at once (soadns release mesh/filters)"
    return writer.waiting[step.name][1] if step.name in writer.waiting else None


def _service(writer: FilterWriter, step: Step) -> tuple[str, str]:
    """Namespace and name of the Service that a step is for."""
    if (rendered := writer.renderings.of(step.uid)) is not None:
        return rendered.service.namespace, rendered.service.name
    held = writer.reader.ours.of.get(step.name)
    namespace, _, name = service_of(held).partition("/") if held is not None else ("", "", "")
    return namespace, name


def _part(config_map: Data | None, of: ObjectRef) -> Data | None:
    """A ConfigMap with the files of one Service alone: their names begin with its own."""
    if config_map is None:
        return None
    data: Mapping[str, str] = config_map["data"]
    prefix = f"{of.namespace}.{of.name}."
    return {**config_map, "data": {key: text for key, text in data.items() if key.startswith(prefix)}}
