"""When a caller has gone over to another pod: by so many answers of it, one after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IN_A_ROW = 10
"""One answer of the new pod may be a stray: a caller with two connections, or one to a Service of both, goes on as it
likes."""


@dataclass(frozen=True)
class Followed:
    """How a caller came to the pod of another Service, or did not, while it made one call after another."""

    after_s: float | None
    """Until the first of ``IN_A_ROW`` answers of that pod, and nothing between them. None: not while watched."""
    calls: int
    """Until then, that one with them; all of them for who was watched in vain."""
    failed: int
    """How many of these."""
    by: Mapping[str, int]
    """Who answered how many of these."""
    opened: int = 0
    """How many connections to the new Service's ClusterIP it has then that it had not when the interface moved."""


@dataclass
class Following:
    """What was seen of a caller so far, call by call."""

    fresh: str
    """The pod to which it is to go."""
    _calls: int = 0
    _failed: int = 0
    _by: Counter[str] = field(default_factory=Counter)
    _row: list[Followed] = field(default_factory=list)
    """What was seen at the first answer of those in a row, and so many entries."""

    def note(self, at_s: float, answer: Mapping[str, Any]) -> None:
        """What became of a call, so many seconds after the beginning."""
        self._calls += 1
        if answer["ok"]:
            self._by[str(answer["answer"])] += 1
        else:
            self._failed += 1
        if not answer["ok"] or answer["answer"] != self.fresh:
            self._row.clear()
            return
        self._row.append(self._row[0] if self._row else self._seen(round(at_s, 1)))

    def _seen(self, after_s: float | None) -> Followed:
        return Followed(after_s, self._calls, self._failed, dict(self._by))

    @property
    def there(self) -> bool:
        """Whether so many answers of the new pod came in a row."""
        return len(self._row) >= IN_A_ROW

    @property
    def found(self) -> Followed:
        """What is to be said of it at this moment."""
        return self._row[0] if self.there else self._seen(None)
