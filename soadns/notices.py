"""What the log and the counters say of the events that come in, and of what became of names by them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from soadns.binding.history import Transition
from soadns.binding.observations import ANNOTATION, Observations, fresh_problems
from soadns.figures import Figures
from soadns.logs import Log
from soadns.model import Event, Identified, Rejected, Service, Trouble, Upsert


class Notices:
    """The notices of one control process."""

    def __init__(self, observations: Observations, figures: Figures, log: Log) -> None:
        self._observations = observations
        self._figures = figures
        self._log = log

    def events(self, events: Sequence[Event]) -> None:
        """Log what operators must see of the events themselves, before they are folded: what is known is not new."""
        for event in events:
            self._figures.events[event.source] += 1
            state = self._observations.source(event.source)
            if isinstance(event, Trouble):
                known = state.troubled_scopes.get(event.scope) if event.scope else state.trouble
                if event.scope in state.recalled:
                    known = None  # another process said it
                if known != event.reason:
                    self._log("source-trouble", level="warning", source=event.source, reason=event.reason)
            elif isinstance(event, Rejected) and event.key not in state.rejected:
                self._log(
                    "rejected", level="warning", source=event.source, where=event.where,
                    reason=event.reason, detail=event.detail,
                )  # fmt: skip
            elif isinstance(event, Identified) and self._observations.is_foreign(event):
                self._log(
                    "snapshot-refused", level="warning",
                    reason=f"source {event.source}: saved from {state.identity}, now {event.identity}; dropped",
                )  # fmt: skip
            elif isinstance(event, Upsert) and isinstance(event.value, Service):
                for detail in fresh_problems(event.value, state.values.get(event.key)):
                    where = str(event.value.ref)
                    self._log(
                        "rejected", level="warning", source=event.source, where=where,
                        reason=ANNOTATION, detail=detail,
                    )  # fmt: skip

    def transitions(self, transitions: Sequence[tuple[str, Transition]], announced: Collection[str]) -> None:
        """Log what became of names; of a zone that is not ``announced`` yet, only where details are wanted."""
        for zone, transition in transitions:
            self._figures.transitions[transition.why or "unknown"] += 1
            self._log(
                "transition", level="info" if zone in announced else "debug",
                zone=zone, interface=transition.interface, before=transition.before, after=transition.after,
                why=transition.why, source=transition.source or None,
            )  # fmt: skip
