"""What a consumer says of its calls: which pod answered, and which calls failed."""

from __future__ import annotations

import re
from collections import Counter

from tests.demo.workloads import Pod

CALL = re.compile(
    r"(?P<at>\d\d:\d\d:\d\d\.\d+) .*?(?:this is (?P<pod>\S+)|(?P<error>\S*(?:Exception|Error)\b.*))$"
)
"""A line that says what became of a call: when, and the ``pod`` that answered, or the ``error``."""
_DAY_S = 86_400.0


class Calls:
    """The calls of one consumer pod, from some moment on."""

    def __init__(self, pod: Pod, since: int = 0, about: str = "") -> None:
        """``about``: a word of the lines that count; ``''``: all."""
        self.pod = pod
        self._since = since
        self._about = about

    def now(self) -> Calls:
        """Those from now on."""
        return Calls(self.pod, len(self.pod.lines()), self._about)

    def since_answered(self) -> Calls:
        """Those from the first one on that was answered."""
        lines = self.pod.lines()
        first = next(
            number
            for number in range(self._since, len(lines))
            if self._about in lines[number] and (found := CALL.match(lines[number])) and found["pod"]
        )
        return Calls(self.pod, first, self._about)

    def about(self, word: str) -> Calls:
        """Those of one interface, by a word of their lines."""
        return Calls(self.pod, self._since, word)

    def _found(self) -> list[re.Match[str]]:
        lines = (line for line in self.pod.lines()[self._since :] if self._about in line)
        return [found for line in lines if (found := CALL.match(line))]

    @property
    def by(self) -> Counter[str]:
        """How many each pod answered."""
        return Counter(found["pod"] for found in self._found() if found["pod"])

    @property
    def failed(self) -> list[str]:
        """What became of those that nobody answered."""
        return [found["error"] for found in self._found() if found["error"]]

    @property
    def failing_s(self) -> float:
        """How many seconds there are between the first of these and the last."""
        times = [_seconds(found["at"]) for found in self._found() if found["error"]]
        return (times[-1] - times[0]) % _DAY_S if times else 0.0

    def tail(self, count: int = 4) -> str:
        """The last lines, as ``kubectl logs --tail`` shows them."""
        return "".join(f"{found.string}\n" for found in self._found()[-count:])

    def reached(self, *pods: Pod, at_least: int = 5) -> bool:
        """Whether the last calls were answered by these pods, each of them, and by no other ones."""
        last = self._found()[-at_least * len(pods) :]
        return len(last) == at_least * len(pods) and {found["pod"] for found in last} == {
            pod.name for pod in pods
        }

    def answered(self, at_least: int = 5) -> bool:
        """Whether so many of them were, one after another, and the last one of all."""
        last = self._found()[-at_least:]
        return len(last) == at_least and all(found["pod"] for found in last)

    def __str__(self) -> str:
        """A line for people."""
        by = ", ".join(f"{count} by {name}" for name, count in sorted(self.by.items()))
        return f"{self.by.total()} calls answered ({by}), {len(self.failed)} failed"


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
