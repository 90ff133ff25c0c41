"""What the demo prints: steps, commands with their output, and how long things take."""

from __future__ import annotations

import contextlib
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TextIO

from tests.scenarios.stage.process import eventually

WIDTH = 100
EVERY = 5.0
"""Seconds between two signs of life of what takes long, where the output is no terminal."""
_CLEAR = "\r\x1b[K"


@dataclass
class Step:
    """One step of the story, and how it ended."""

    title: str
    held: bool = False
    seconds: float = 0.0
    found: list[str] = field(default_factory=list)
    """What was measured in it."""


class Screen:
    """Prints on ``out``; with ``pause``, waits for Enter after each step."""

    def __init__(self, out: TextIO, *, pause: bool = False) -> None:
        self._out = out
        self._pause = pause
        self._terminal = out.isatty()
        self._columns = shutil.get_terminal_size().columns
        self._began = time.monotonic()
        self.steps: list[Step] = []

    def say(self, text: str = "") -> None:
        """A paragraph."""
        self._write(textwrap.fill(text, WIDTH) + "\n")

    def typed(self, command: str, output: str) -> None:
        """A command, and what it printed."""
        self._write(f"\n$ {command}\n{output}")

    def note(self, text: str) -> None:
        """A remark beside commands, in a line of its own."""
        self._write(f"  -- {text}\n")

    def measured(self, what: str) -> None:
        """A remark that the summary repeats."""
        self.steps[-1].found.append(what)
        self.note(what)

    @contextlib.contextmanager
    def step(self, title: str, why: str) -> Iterator[None]:
        """One step; it holds if its block ends without an error."""
        step = Step(title)
        self.steps.append(step)
        heading = f"{len(self.steps)}. {title}"
        self._write(f"\n{heading}\n{'=' * len(heading)}\n")
        self.say(why)
        began = time.monotonic()
        try:
            yield
            step.held = True
        finally:
            step.seconds = time.monotonic() - began
        if self._pause:
            self._write("\n[Enter goes on] ")
            sys.stdin.readline()

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say what takes long, that it still does, and in the end how long it took."""
        began = time.monotonic()
        over = threading.Event()

        def tick() -> None:
            while not over.wait(0.5 if self._terminal else EVERY):
                so_far = f"  .. {what}: {time.monotonic() - began:.0f} s so far"
                if self._terminal:
                    self._rewrite(so_far)
                else:
                    self._write(f"{so_far}\n")

        if self._terminal:
            self._rewrite(f"  .. {what}")
        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            self._write("\n" if self._terminal else "")
            raise
        finally:
            over.set()
            thread.join()
        start = _CLEAR if self._terminal else ""
        self._write(f"{start}  .. {what}: {time.monotonic() - began:.1f} s\n")

    def until(self, what: str, look: Callable[[], object], *, within: float) -> float:
        """Wait until something holds; how many seconds that took. Raises AssertionError."""
        began = time.monotonic()
        with self.waiting(what):
            assert eventually(look, within=within), f"it did not happen within {within:g} s: {what}"
        return time.monotonic() - began

    def summary(self, steps: int) -> None:
        """Which steps held, of so many."""
        self._write("\nSummary\n=======\n")
        for number, step in enumerate(self.steps, 1):
            mark = "held" if step.held else "FAILED"
            self._write(f"{mark:<7}{number}. {step.title} ({step.seconds:.1f} s)\n")
            for found in step.found:
                self._write(f"          {found}\n")
        held = sum(step.held for step in self.steps)
        self._write(f"{held} of {steps} steps held, {time.monotonic() - self._began:.0f} s in all\n")

    def _rewrite(self, line: str) -> None:
        """Write a line over the one that the cursor is in; one that is wider than the terminal would become two."""
        self._write(f"{_CLEAR}{line[: self._columns - 1]}")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
