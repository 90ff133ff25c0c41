"""Objects that several sources, or several files of one, may define under one reference.

A file copied for an edit, a manifest beside the cluster that holds it: the object exists while any of them says so, and
what counts is the definition of the first source and key in order, so that the order of events does not matter. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from soadns.binding.observations import Change
from soadns.model import EndpointSlice, Key, Node, ObjectRef, Service

Object = Service | EndpointSlice | Node


class Definitions:
    """Every definition of every object."""

    def __init__(self) -> None:
        self._of: dict[tuple[type[Object], ObjectRef], dict[tuple[str, Key], Object]] = {}

    def counting(self, change: Change) -> Change:
        """What the change of one definition changes of the object itself."""
        value = change.after or change.before
        assert isinstance(value, Object)
        place = (type(value), value.ref)
        held = self._of.setdefault(place, {})
        before = held[min(held)] if held else None
        if isinstance(change.after, Object):
            held[change.source, change.key] = change.after
        else:
            held.pop((change.source, change.key), None)
        if not held:
            del self._of[place]
        return replace(change, before=before, after=held[min(held)] if held else None)
