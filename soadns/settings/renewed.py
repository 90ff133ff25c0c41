"""What stands in files that may be renewed at any time, as cert-manager and the kubelet do: secrets and certificates.

Files are looked at when somebody asks, at most once a second. New ones hold from then on, without a signal. Such that
can not be used, or do not belong together (yet), leave what was in force: that is logged once, counted, and shown for
as long as it is so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from soadns.figures import CredentialFigures
from soadns.logs import Log
from soadns.settings.credentials import CredentialError

T = TypeVar("T")
LOOK_S = 1.0
"""The shortest time between two looks at files."""
_Seen = tuple[tuple[int, int, int] | None, ...]


class Renewed(Generic[T]):
    """One value. What can not be read at first is ``otherwise``, until it can.

    :param what: the setting whose files these are.
    :param load: reads them. Raises OSError (of which ssl.SSLError is one) or CredentialError.
    """

    def __init__(
        self,
        what: str,
        paths: Sequence[str],
        load: Callable[[], T],
        otherwise: T,
        figures: CredentialFigures,
        *,
        log: Log,
    ) -> None:
        self._what = what
        self._paths = [path for path in paths if path]
        self._load = load
        self._figures = figures
        self._log = log
        self._value = otherwise
        self._held = False
        """Whether they could be used once."""
        self.problem = ""
        """Why what they hold now can not be used."""
        self._looked = time.monotonic()
        self._seen = self._look()
        self._read(first=True)

    def __call__(self) -> T:
        """As it is now."""
        if self._paths and time.monotonic() - self._looked >= LOOK_S:
            self._looked = time.monotonic()
            seen = self._look()
            if seen != self._seen:
                self._seen = seen
                self._read(first=False)
        return self._value

    def _look(self) -> _Seen:
        return tuple(map(_identity, self._paths))

    def _read(self, *, first: bool) -> None:
        files = " ".join(self._paths)
        try:
            self._value = self._load()
        except (OSError, CredentialError) as error:
            self._figures.refused[self._what] = True
            self._figures.reads[self._what, "refused"] += 1
            reason = str(error) if isinstance(error, CredentialError) else error.strerror
            self.problem = reason or "they can not be used, or do not belong together"
            before = "what was read before stays in force"
            hint = before if self._held else "nothing was read before: mend them, they are read again then"
            self._log(
                "credentials-refused",
                level="error",
                what=self._what,
                files=files,
                reason=self.problem,
                hint=hint,
            )
            return
        self._held, self.problem = True, ""
        self._figures.refused[self._what] = False
        if not first:
            self._figures.reads[self._what, "renewed"] += 1
            self._log("credentials-renewed", what=self._what, files=files)


def _identity(path: str) -> tuple[int, int, int] | None:
    """What changes with a file: a renewed one is another file, or written later. Links are followed."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
