"""What a consumer says of its calls: which pod answered, and which calls failed."""

from __future__ import annotations

import re
from collections import Counter

from tests.demo.workloads import Pod

CALL = re.compile(r"\d\d:\d\d:\d\d\.\d+ .*?(?:this is (?P<pod>\S+)|(?P<error>\S*(?:Exception|Error)\b.*))$")
"""A line that says what became of a call: the ``pod`` that answered, or the ``error``."""


class Calls:
    """The calls of one consumer pod, from some moment on."""

    def __init__(self, pod: Pod, since: int = 0) -> None:
        self.pod = pod
        self._since = since

    def now(self) -> Calls:
        """Those from now on."""
        return Calls(self.pod, len(self.pod.lines()))

    def _found(self) -> list[re.Match[str]]:
        return [found for line in self.pod.lines()[self._since :] if (found := CALL.match(line))]

    @property
    def by(self) -> Counter[str]:
        """How many each pod answered."""
        return Counter(found["pod"] for found in self._found() if found["pod"])

    @property
    def failed(self) -> list[str]:
        """What became of those that nobody answered."""
        return [found["error"] for found in self._found() if found["error"]]

    def tail(self, count: int = 4) -> str:
        """The last lines, as ``kubectl logs --tail`` shows them."""
        return "".join(f"{found.string}\n" for found in self._found()[-count:])

    def reached(self, *pods: Pod, at_least: int = 5) -> bool:
        """Whether the last calls were answered by these pods, each of them, and by no other ones."""
        last = self._found()[-at_least * len(pods) :]
        return len(last) == at_least * len(pods) and {found["pod"] for found in last} == {
            pod.name for pod in pods
        }

    def __str__(self) -> str:
        """A line for people."""
        by = ", ".join(f"{count} by {name}" for name, count in sorted(self.by.items()))
        return f"{self.by.total()} calls answered ({by}), {len(self.failed)} failed"
