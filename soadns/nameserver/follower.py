"""A worker's copy of the table, kept equal to the control process's by its frames.

Pure; standard library only. Whatever is lost, damaged or comes twice: each owner name answers as it did in
some table of the control process. A full table is built beside the one that answers and replaces it in one
step; after a gap nothing is taken before the next full table.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from soadns.nameserver import frames
from soadns.nameserver.rrsets import RRsets
from soadns.nameserver.table import Delta, Names, Remains, Table

ALIKE = 4_096
"""RRsets that are remembered for being held once, at most."""


class Follower:
    """Takes frames in order."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.loaded = False
        """Whether there has been a full table; nothing may be answered before."""
        self._fresh: Table | None = None
        """The full table that is coming in."""
        self._whole = False
        """Whether it has come to its end: changes since its beginning follow."""
        self._next = 0
        """The number that the next frame of a table or change must have."""
        self._lost = False
        """Whether changes were missed; only a full table helps."""
        self._alike: OrderedDict[Hashable, RRsets] = OrderedDict()
        """What came lately: the interfaces of a Service answer alike."""
        self.remains: Remains = []
        """Of tables that are not used any more: for whoever has the time to take them to pieces (``clear``)."""

    def take(self, frame: frames.Frame) -> None:
        """Take one frame. Raises FrameError when one before it is missing; ``give_up`` is then to be called."""
        if frame.kind == frames.BEGIN:
            self._drop()
            self._fresh, self._whole, self._next = Table(Names()), False, 1
            self._fresh.generation = frame.generation
        elif frame.kind in (frames.CHUNK, frames.END):
            self._take_chunk(frame)
        elif frame.kind in (frames.PART, frames.DELTA):
            self._take_change(frame)

    def give_up(self) -> None:
        """Forget what is not complete, and take no more changes before the next full table."""
        self._drop()
        self._next, self._lost = 0, True

    @property
    def complete(self) -> bool:
        """Whether a full table has come to its end, which ``settle`` takes."""
        return self._fresh is not None and self._whole

    def settle(self) -> bool:
        """There is nothing more to take: answer from a full table that has come. Returns whether one had."""
        fresh = self._fresh
        if fresh is None or not self._whole:
            return False
        self._fresh, self._lost, self.loaded = None, False, True
        self.remains += self.table.replace(fresh)
        return True

    def has(self, generation: int) -> bool:
        """Whether changes from this generation on are all that is missing."""
        return self.loaded and not self._lost and self._fresh is None and self.table.generation >= generation

    def _drop(self) -> None:
        """Give up the full table that is coming in."""
        if self._fresh is not None:
            self.remains += self._fresh.remains()
            self._fresh = None

    @staticmethod
    def _expect(frame: frames.Frame, generation: int, number: int) -> None:
        if (frame.generation, frame.number) != (generation, number):
            raise frames.FrameError(
                f"frame {frame.number} of generation {frame.generation} came instead of {number} of {generation}"
            )

    def _take_chunk(self, frame: frames.Frame) -> None:
        fresh = self._fresh
        if fresh is None or self._whole:
            raise frames.FrameError("a piece of a full table came without its beginning")
        self._expect(frame, fresh.generation, self._next)
        self._next += 1
        if frame.kind == frames.CHUNK:
            fresh.apply(self._content(frame), frame.generation)
        else:
            self._whole, self._next = True, 0

    def _take_change(self, frame: frames.Frame) -> None:
        table = self.table if self._fresh is None else self._fresh
        if self._fresh is None and (self._lost or not self.loaded):
            # What was missed is in the full table that is asked for.
            return
        if self._fresh is not None and not self._whole:
            raise frames.FrameError(f"a change came before the end of the full table {table.generation}")
        if frame.generation <= table.generation:
            return
        self._expect(frame, table.generation + 1, self._next)
        if frame.kind == frames.PART:
            # Applied at once, packets in between; the generation is reached with the last of them.
            table.apply(self._content(frame), table.generation)
            self._next += 1
        else:
            table.apply(self._content(frame), frame.generation)
            self._next = 0

    def _content(self, frame: frames.Frame) -> Delta:
        """What a frame says; of what is equal to what came earlier that is taken."""
        found = frames.content(frame.body, self._alike)
        while len(self._alike) > ALIKE:  # one by one: all at once would take as long as some frames
            self._alike.popitem(last=False)
        return found
