"""How far something long has come: one line on a terminal, rewritten; nothing anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

PATIENCE_S = 1.0
"""Whatever takes no longer is not worth a line."""
_CLEAR = "\r\x1b[K"


class Progress:
    """Says on ``stream``, if that is a terminal, how much of how many things is done."""

    def __init__(self, stream: TextIO, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._what = what
        self._clock = clock
        self._begun = clock()
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """So many are done."""
        if self._stream.isatty() and self._clock() - self._begun > PATIENCE_S:
            self._shown = True
            self._write(f"{_CLEAR}soadns: {done:,} of {total:,} {self._what}")

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            self._write(_CLEAR)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
