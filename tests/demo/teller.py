"""What every chapter of the story does: commands are typed and shown, manifests applied, consumers listened to."""

from __future__ import annotations

import shlex

from tests.demo.callers import Calls
from tests.demo.screen import Screen
from tests.demo.shell import Shell
from tests.demo.workloads import Workloads
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.town import Town


class Teller:
    """Tells of one world, on one screen."""

    def __init__(self, screen: Screen, town: Town, shell: Shell, cluster: Workloads) -> None:
        self.screen = screen
        self.town = town
        self.shell = shell
        self.cluster = cluster

    def types(self, command: str, *expected: str) -> str:
        """Type a command, which succeeds, and show it with what it prints, in which all this must be.

        It may take a moment until it is: what pods see shows that one replica knows, and the other one is asked.
        """
        printed = eventually(
            lambda: self.shell.type(command), within=10.0,
            until=lambda text: not self.shell.status and all(each in text for each in expected),
        )  # fmt: skip
        self.screen.typed(command, printed)
        assert self.shell.status == 0, f"{command}: exit status {self.shell.status}"
        missing = [text for text in expected if text not in printed]
        assert not missing, f"{command} does not say {missing}"
        return printed

    def kubectl(self, command: str, done: str) -> None:
        """Show what was done in place of ``kubectl``."""
        self.screen.typed(f"kubectl {command}", done)

    def applies(self, *files: str) -> None:
        """Apply manifests, and wait for what they start."""
        for file in files:
            self.kubectl(f"apply -f {file}", self.cluster.apply(file))
        self.screen.until("pods become ready", self.cluster.rolled_out, within=300.0)

    def consumer(self, name: str) -> Calls:
        """The calls of the pod that runs of a consumer."""
        [pod] = self.cluster.pods[name]
        return Calls(pod)

    def shows(self, calls: Calls) -> None:
        """What a consumer logs."""
        self.kubectl(f"logs {calls.pod.name} --tail=4", calls.tail())

    def finds(self, calls: Calls, how: str, *expected: str) -> None:
        """What a command finds in all that a consumer has logged, in which all this must be."""
        printed = self.shell.type(f"({how}) < {shlex.quote(str(calls.pod.process.log))}")
        self.kubectl(f"logs {calls.pod.name} | {how}", printed)
        missing = [text for text in expected if text not in printed]
        assert not missing, f"{calls.pod.name} does not log {missing}"

    def answered_by(self, calls: Calls, *names: str, within: float = 90.0) -> None:
        """Wait until calls are answered by the pods of these Deployments, and show that."""
        pods = [pod for name in names for pod in self.cluster.pods[name]]
        who = " and ".join(pod.name for pod in pods)
        self.screen.until(
            f"{calls.pod.name} is answered by {who}", lambda: calls.reached(*pods), within=within
        )
        self.shows(calls)
