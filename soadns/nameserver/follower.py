"""A worker's copy of the table, kept equal to the control process's by its frames.

Pure; standard library only. Whatever is lost, damaged or comes twice, the table is always one that the
control process had: a change is taken as a whole or not at all, a full table replaces the old one in one
step, and after a gap nothing is taken before the next full table.
"""

from __future__ import annotations

from soadns.nameserver import frames
from soadns.nameserver.table import Delta, Table


class Follower:
    """Takes frames, says what to send back."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.loaded = False
        """Whether there has been a full table; nothing may be answered before."""
        self._loading: Table | None = None
        """The full table that is coming in."""
        self._next = 0
        """The number that its next frame must have."""
        self._parts: list[Delta] = []
        self._lost = False
        """Whether changes were missed; only a full table helps."""
        self._heard = False
        """Whether a frame came since the last ``remind``."""

    def take(self, message: bytes) -> bytes | None:
        """Take one frame; returns the frame to send back, if any.

        Raises FrameError for a damaged one, or when one before it is missing; ``give_up`` is then to be called.
        """
        self._heard = True
        frame = frames.decode(message)
        if frame.kind == frames.BEGIN:
            self._loading, self._next = Table(), 1
            self._loading.generation = frame.generation
            self._parts.clear()
        elif frame.kind in (frames.CHUNK, frames.END):
            return self._take_chunk(frame)
        elif frame.kind in (frames.PART, frames.DELTA):
            return self._take_change(frame)
        return None

    def give_up(self) -> bytes:
        """Forget what is not complete, take no more changes, and ask for a full table."""
        self._loading = None
        self._parts.clear()
        self._lost = True
        return frames.encode(frames.NEED, self.table.generation if self.loaded else 0)

    def remind(self) -> bytes | None:
        """Called now and then: asks (again) for a full table where one is missing and nothing comes."""
        silent, self._heard = not self._heard, False
        missing = not self.loaded or self._lost or self._loading is not None
        return self.give_up() if silent and missing else None

    @staticmethod
    def _expect(frame: frames.Frame, generation: int, number: int) -> None:
        if (frame.generation, frame.number) != (generation, number):
            raise frames.FrameError(
                f"frame {frame.number} of generation {frame.generation} came instead of {number} of {generation}"
            )

    def _take_chunk(self, frame: frames.Frame) -> bytes | None:
        fresh = self._loading
        if fresh is None:
            # The rest of a table whose beginning went to an earlier process, or was damaged.
            return None
        self._expect(frame, fresh.generation, self._next)
        if frame.kind == frames.CHUNK:
            fresh.apply(frames.content(frame.body), frame.generation)
            self._next += 1
            return None
        table = self.table
        table.answers, table.names, table.zones = fresh.answers, fresh.names, fresh.zones
        table.generation = fresh.generation
        self._loading, self._lost, self.loaded = None, False, True
        return frames.encode(frames.APPLIED, table.generation)

    def _take_change(self, frame: frames.Frame) -> bytes | None:
        if self._lost or not self.loaded:
            # What was missed is in the full table that is asked for.
            return None
        if self._loading is not None:
            raise frames.FrameError(
                f"a change came before the end of the full table {self._loading.generation}"
            )
        generation = self.table.generation
        if frame.generation <= generation:
            return None
        self._expect(frame, generation + 1, len(self._parts))
        self._parts.append(frames.content(frame.body))
        if frame.kind == frames.PART:
            return None
        for part in self._parts:
            self.table.apply(part, frame.generation)
        self._parts.clear()
        return frames.encode(frames.APPLIED, frame.generation)
