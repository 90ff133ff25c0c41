"""What becomes of filters, told as Events after each round of their writer."""

from __future__ import annotations

from collections.abc import Iterator

from soadns.mesh import happenings
from soadns.mesh.eventbook import Happening
from soadns.mesh.events import Events
from soadns.mesh.filterplan import Name
from soadns.mesh.filtersettings import SOURCE
from soadns.mesh.filterwriter import FilterWriter


class FilterNews:
    """Listens to a writer."""

    def __init__(self, writer: FilterWriter, events: Events) -> None:
        self._writer = writer
        self._events = events
        self._began = False
        """Whether anybody looked yet: what was in force before that is no news."""
        self._foreign_generation = 0
        self._in_the_way: dict[str, list[Name]] = {}
        """By UID of a Service with filters: those of others on its listeners."""
        writer.on_round(self._look)

    def _look(self) -> None:
        changes = self._writer.renderings.changes if self._began else {}
        self._began = True
        for uid, (was, now) in changes.items():
            if (rendered := self._writer.renderings.of(uid)) is not None:
                for happening in happenings.tiers_changed(rendered, was, now):
                    self._events.tell(happening)
        self._look_for_others()
        self._events.last(self._lasting())

    def _look_for_others(self) -> None:
        """At the Services that changed, or at all where filters of others did."""
        reader = self._writer.reader
        others = reader.foreign_generation != self._foreign_generation
        self._foreign_generation = reader.foreign_generation
        for uid in self._writer.book.uids if others else self._writer.looked:
            rendered = self._writer.renderings.of(uid)
            found = reader.in_the_way(rendered.listeners) if rendered is not None and rendered.filters else []
            if found:
                self._in_the_way[uid] = found
            else:
                self._in_the_way.pop(uid, None)

    def _lasting(self) -> Iterator[Happening]:
        """What is so now."""
        renderings, book = self._writer.renderings, self._writer.book
        for name, why in book.refused.items():
            if (rendered := renderings.of(book.refused_uids[name])) is not None:
                yield happenings.refused(rendered, name, why)
        for step in self._writer.held:
            if (rendered := renderings.of(step.uid)) is not None:
                yield happenings.held(rendered, step, SOURCE)
        for uid, names in self._in_the_way.items():
            if (rendered := renderings.of(uid)) is not None:
                yield from happenings.foreign(rendered, names)
