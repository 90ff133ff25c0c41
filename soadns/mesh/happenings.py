"""What happens to the filters of a Service, as Events tell it to who looks at the Service. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from soadns.mesh.eventbook import NORMAL, Happening, Regarding
from soadns.mesh.filterplan import REMOVE, Name, Step
from soadns.sidecar.envoyfilters import Rendered
from soadns.sidecar.tiers import Applied

TIER, REFUSED, HELD, FOREIGN = "SidecarTier", "FilterRefused", "FilterHeld", "ForeignFilter"
"""Reasons."""


def tiers_changed(rendered: Rendered, before: Applied, after: Applied) -> list[Happening]:
    """Ports whose tier in force is another one now."""
    why = {port.port: port.why for port in rendered.ports}
    ports = {*before.ports, *after.ports, *(port for found in before.files.values() for port in found)}
    ports |= {port for found in after.files.values() for port in found}
    found = []
    for port in sorted(ports):
        was, now = _in_force(before, port), _in_force(after, port)
        if was != now:
            note = f"port {port}: {now}, and was {was}: {why.get(port, 'nothing of it is known any more')}"
            found.append(_of(rendered, TIER, note, "Write", NORMAL))
    return found


def _in_force(applied: Applied, port: int) -> str:
    files = [namespace for namespace, ports in sorted(applied.files.items()) if port in ports]
    return f"tier {applied.ports.get(port, 0)}" + (f" and 3 in {', '.join(files)}" if files else "")


def refused(rendered: Rendered, name: Name, why: str) -> Happening:
    """An object that may not be written."""
    return _of(rendered, REFUSED, f"EnvoyFilter {'/'.join(name)} is not written: {why}", "Refuse")


def held(rendered: Rendered, step: Step, source: str) -> Happening:
    """A change that waits, with many others, for somebody who says that it is meant."""
    what = "is not removed" if step.kind == REMOVE else "is not changed"
    kind = "EnvoyFilter" if step.document is not None or step.kind == REMOVE else "the file of rules"
    note = f"{kind} {'/'.join(step.name)} {what}: too many are to be at once (soadns release {source})"
    return _of(rendered, HELD, note, "Hold")


def foreign(rendered: Rendered, others: Iterable[Name]) -> list[Happening]:
    """Filters of others on its listeners."""
    return [
        _of(
            rendered,
            FOREIGN,
            f"EnvoyFilter {'/'.join(name)} is on the same listener: the younger of the two does nothing",
            "Look",
        )
        for name in others
    ]


def _of(rendered: Rendered, reason: str, note: str, action: str, kind: str = "") -> Happening:
    service = rendered.service
    about = Regarding("Service", service.namespace, service.name, rendered.uid)
    return Happening(about, reason, note, action, kind) if kind else Happening(about, reason, note, action)
