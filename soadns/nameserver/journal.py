"""The journal: one table and its changes in shared memory, written by control and read by every worker.

Standard library only. Two anonymous files belong to the supervisor and are inherited, like the sockets: one
holds the whole table and every change since, the other takes the next whole table when the changes have
outgrown it. So a worker is loaded without control, whether that hangs, is dead or is not there yet; no worker
that is slow, stopped or new costs control anything; and there is one copy of the frames for all of them.

Each file begins with a head that says how far it may be read. The head is written last, and is void before
its file is used anew: whoever has read something looks at the head again before believing it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from struct import Struct
from zlib import crc32

from soadns.nameserver import frames
from soadns.nameserver.follower import Follower
from soadns.nameserver.table import Table

Files = tuple[int, int]
"""Descriptors of the two files."""
READ = 64 * 1024
WRITE = 256 * 1024
"""Octets of a whole table written in a row: control has other work in between."""
MIN_CHANGES = 1 << 20
"""Octets of changes below which no new whole table is written. Above, they may take as much as the table."""
MAX_CHANGES = 1 << 28
"""Octets of changes above which one is written even if more changes follow at once."""
LEFT = 0
"""In the place of an author that has ended in order."""
_HEAD = Struct("!QQQQQ")
START = 4 + _HEAD.size
"""Where the frames begin."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a file holds."""

    epoch: int
    """The newer of two files has the higher one."""
    author: int
    """Which control process writes it; ``LEFT`` when that has ended in order."""
    base: int
    """Changes above this generation are behind the whole table."""
    changes: int
    """Offset of the first change."""
    end: int
    """Offset up to which everything is written."""

    def pack(self) -> bytes:
        """As octets."""
        octets = _HEAD.pack(self.epoch, self.author, self.base, self.changes, self.end)
        return crc32(octets).to_bytes(4) + octets


def head(descriptor: int) -> Head | None:
    """What a file holds; None for nothing that could be used."""
    octets = os.pread(descriptor, START, 0)
    if len(octets) < START or crc32(octets[4:]) != int.from_bytes(octets[:4]):
        return None
    found = Head(*_HEAD.unpack_from(octets, 4))
    return found if found.epoch else None


def newest(files: Files) -> tuple[int, Head] | None:
    """The file to read, and its head."""
    found = [(held, descriptor) for descriptor in files if (held := head(descriptor)) is not None]
    if not found:
        return None
    held, descriptor = max(found, key=lambda each: each[0].epoch)
    return descriptor, held


class Journal:
    """Control's side."""

    def __init__(self, files: Files, author: int) -> None:
        self._files = files
        self._author = author
        self._current: tuple[int, Head] | None = None
        """The file that workers read, once it is of this process."""
        self._target = -1
        """The file that a whole table is being written to."""
        self._end = 0
        self._base = 0
        self._whole: Iterator[bytes] | None = None
        self._later: list[bytes] = []
        """Changes since the whole table was begun."""

    @property
    def inherited(self) -> bool:
        """Whether workers have the table of an earlier process."""
        return self._current is None and newest(self._files) is not None

    @property
    def unsaved(self) -> bool:
        """Whether workers may have more than an earlier process could save: it ended without a word."""
        found = newest(self._files)
        return self._current is None and found is not None and found[1].author != LEFT

    @property
    def own(self) -> bool:
        """Whether workers read, or are about to, what this process writes."""
        return self._current is not None or self._whole is not None

    @property
    def writing(self) -> bool:
        """Whether a whole table is being written."""
        return self._whole is not None

    @property
    def epoch(self) -> int:
        """Of the file that workers read, if it is of this process; else 0."""
        return self._current[1].epoch if self._current is not None else 0

    @property
    def outgrown(self) -> bool:
        """Whether a new whole table is due: the changes take more room than the table."""
        return self._changed > self._allowed

    @property
    def overgrown(self) -> bool:
        """Whether it is due at once, even if more changes follow."""
        return self._changed > max(MAX_CHANGES, self._allowed)

    @property
    def _changed(self) -> int:
        """Octets of changes behind the table that workers read; 0 while another one is written."""
        return 0 if self._current is None or self.writing else self._current[1].end - self._current[1].changes

    @property
    def _allowed(self) -> int:
        return max(MIN_CHANGES, self._current[1].changes) if self._current is not None else MIN_CHANGES

    def begin(self, table: Table) -> None:
        """Begin to write the whole table, beside what workers read."""
        read = newest(self._files)
        self._target = self._files[0] if read is None or read[0] == self._files[1] else self._files[1]
        os.ftruncate(self._target, 0)
        self._base, self._end = table.generation, START
        self._whole, self._later = frames.full(table), []

    def step(self) -> bool:
        """Write some of it; returns whether there is more. With the last of it workers read that file."""
        assert self._whole is not None
        octets = bytearray()
        for frame in self._whole:
            octets += frame
            if len(octets) >= WRITE:
                self._end = _write(self._target, octets, self._end)
                return True
        changes = _write(self._target, octets, self._end)
        end = _write(self._target, b"".join(self._later), changes)
        self._whole, self._later = None, []
        before = newest(self._files)
        epoch = 1 if before is None else before[1].epoch + 1
        self._commit(self._target, Head(epoch, self._author, self._base, changes, end))
        return False

    def append(self, change: list[bytes]) -> None:
        """Write a change behind the table, and behind the one that is being written."""
        if self._whole is not None:
            self._later += change
        if self._current is not None:
            descriptor, held = self._current
            end = _write(descriptor, b"".join(change), held.end)
            self._commit(descriptor, replace(held, end=end))

    def release(self) -> None:
        """Give back the memory of the file that is not read any more."""
        if self._current is not None and not self.writing:
            for descriptor in self._files:
                if descriptor != self._current[0]:
                    os.ftruncate(descriptor, 0)

    def leave(self) -> None:
        """This process ends, and all that workers have is saved."""
        if self._current is not None:
            descriptor, held = self._current
            self._commit(descriptor, replace(held, author=LEFT))

    def _commit(self, descriptor: int, held: Head) -> None:
        _write(descriptor, held.pack(), 0)
        self._current = (descriptor, held)


class Reader:
    """A worker's side: where it is in the journal."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._at: tuple[int, Head] | None = None
        """The file it reads, with its head when that was opened."""
        self._offset = 0
        self._octets = b""
        self._index = 0
        self.distrusted = 0
        """The epoch of what was damaged last."""

    @property
    def epoch(self) -> int:
        """Of what it reads; 0 before it has found anything."""
        return self._at[1].epoch if self._at is not None else 0

    def next(self, follower: Follower) -> frames.Frame | None:
        """The next frame for a follower; None when it has taken all there is. Raises FrameError for a damaged one."""
        while True:
            found = frames.first(self._octets, self._index)
            if found is not None:
                frame, self._index = found
                return frame
            if not self._fill(follower):
                return None

    def distrust(self) -> None:
        """What it reads is damaged: read no more before there is something newer."""
        self.distrusted = self.epoch
        self._octets, self._index = b"", 0

    def _fill(self, follower: Follower) -> bool:
        """Read on; False where there is nothing."""
        last = newest(self._files)
        if last is None or last[1].epoch <= self.distrusted or last[1].epoch < self.epoch:
            return False
        held = head(self._at[0]) if self._at is not None else None
        if held is None or held.epoch != self.epoch or held.epoch == self.distrusted:
            # Nothing is open yet, or it was given back before it was read to the end, or is damaged.
            return self._open(last, START)
        assert self._at is not None
        descriptor = self._at[0]
        if self._offset < held.end:
            octets = os.pread(descriptor, min(READ, held.end - self._offset), self._offset)
            again = head(descriptor)
            if again is None or again.epoch != held.epoch:
                return self._fill(follower)
            if not octets:
                raise frames.FrameError(f"the journal ends at {self._offset}, before {held.end}")
            self._offset += len(octets)
            self._octets, self._index = self._octets[self._index :] + octets, 0
            return True
        if self._index < len(self._octets):
            raise frames.FrameError(f"the journal ends at {held.end} amid a frame")
        if last[1].epoch == held.epoch:
            return False
        goes_on = last[1].author == held.author and follower.has(last[1].base)
        return self._open(last, last[1].changes if goes_on else START)

    def _open(self, found: tuple[int, Head], offset: int) -> bool:
        self._at, self._offset = found, offset
        self._octets, self._index = b"", 0
        return True


def _write(descriptor: int, octets: bytes | bytearray, offset: int) -> int:
    """Write at an offset; returns where it ends."""
    view = memoryview(octets)
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done
    return offset
