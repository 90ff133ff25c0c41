"""One EnvoyFilter written or removed: after a dry run, as the next of one version, and not again before it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError
from soadns.logs import Log
from soadns.mesh import answers
from soadns.mesh.filterbook import FilterBook
from soadns.mesh.filterplan import CHANGE, CREATE, REMOVE, Name, Standing, Step, digest
from soadns.mesh.istioreader import ENVOY_FILTERS, MANAGER

PAST = {CREATE: "created", CHANGE: "changed", REMOVE: "removed"}
AGAIN_S = 30.0
"""Until an object that was refused is tried again, though nothing changed."""


class FilterSending:
    """What was sent to the API server, and what became of it.

    :param now: Unix seconds.
    """

    def __init__(self, api: KubeApi, book: FilterBook, *, log: Log, now: Callable[[], float]) -> None:
        self._api = api
        self._book = book
        self._log = log
        self._now = now
        self._refused: dict[Name, tuple[str, float]] = {}
        """What the API server refused last, and when."""
        self._sent: dict[Name, tuple[str, float]] = {}
        """What was written and not read since: its version, and when."""

    def settle(self, standing: Mapping[Name, Standing], now: float) -> None:
        """What was written counts as written until it is read, or for a while."""
        for name, (version, when) in list(self._sent.items()):
            held = standing.get(name)
            if (held.version if held is not None else "") == version or now >= when + AGAIN_S:
                del self._sent[name]
        for name in [name for name in self._refused if name not in self._book.steps]:
            del self._refused[name]

    def forget(self) -> None:
        """Another replica writes now."""
        self._refused.clear()
        self._book.pardon_all()

    def may(self, step: Step, now: float) -> bool:
        """Whether it is worth a try now."""
        if step.name in self._sent:
            return False
        refused = self._refused.get(step.name)
        return refused is None or refused[0] != _what(step) or now >= refused[1] + AGAIN_S

    @property
    def next_look(self) -> float:
        """When something may be tried again, in Unix seconds."""
        whens = (when for _, when in (*self._refused.values(), *self._sent.values()))
        return min(whens, default=float("inf")) + AGAIN_S

    async def do(self, step: Step, held: Standing | None, may: Callable[[], bool]) -> bool:
        """Do a step; returns whether it is done. ``held`` is the object as it stands.

        :param may: whether this replica may write, asked anew when the API server has tried it.
        """
        path, now = f"{ENVOY_FILTERS.path(step.name[0])}/{step.name[1]}", self._now()
        try:
            if step.kind == REMOVE:
                assert held is not None
                await self._api.delete(path, uid=held.object_uid)
                version = ""
            else:
                version = await self._apply(path, step, held, may)
                if not version:
                    return False
        except (ApiError, KubeConfigError) as error:
            status = error.status if isinstance(error, ApiError) else 0
            if status not in (404, 409):  # else it is another one by now, and read in a moment
                self._refused[step.name] = (_what(step), now)
                said = f"HTTP {status}: {error}" if status else str(error)
                self._book.refuse(step.name, step.uid, said, by_server=True)
            return False
        self._refused.pop(step.name, None)
        self._book.accept(step.name)
        self._sent[step.name] = (version, now)
        self._log(f"filter-{PAST[step.kind]}", filter="/".join(step.name), urgent=step.urgent or None)
        return True

    async def _apply(self, path: str, step: Step, held: Standing | None, may: Callable[[], bool]) -> str:
        """Write one object, after the API server was asked whether it would; returns its version.

        ``''``: it may not any more. What is new names no version, so it could replace what another replica wrote since.
        """
        assert step.document is not None
        document = dict(step.document)
        if held is not None:
            document["metadata"] = {**document["metadata"], "resourceVersion": held.version}
        await self._api.apply(path, document, manager=MANAGER, dry_run=True)
        if not may():
            return ""
        body = await self._api.apply(path, document, manager=MANAGER)
        try:
            answer = answers.read(body)
            version = answers.version(answer)
        except ValueError as error:
            raise ApiError(0, f"what the API server answered can not be read: {error}") from None
        self._book.likeness.note(step.name, step.document, answer)
        return version


def _what(step: Step) -> str:
    return digest(step.document) if step.document is not None else REMOVE
