"""What etcd has of some names, and steps on it that are done under the condition that nothing has changed since."""

from __future__ import annotations

from collections.abc import Sequence

from soadns.skydns.etcd import MOST_OPERATIONS, Compare, Etcd, delete, put, read
from soadns.skydns.leadership import Leadership
from soadns.skydns.plan import Held, Step
from soadns.skydns.records import Layout

MOST_STEPS = MOST_OPERATIONS - 1
"""Of a transaction, which compares once more than that: whether this process leads."""


class NotLeadingError(Exception):
    """Another replica writes."""


class Store:
    """The keys below a prefix, for who leads."""

    def __init__(self, etcd: Etcd, layout: Layout, leadership: Leadership) -> None:
        self._etcd = etcd
        self._layout = layout
        self._leadership = leadership

    async def held(self, names: Sequence[bytes]) -> dict[bytes, dict[str, Held]]:
        """By name what etcd has of it, of one moment; of at most 64 names. Raises EtcdError."""
        operations = []
        for name in names:
            path, own = self._layout.own(name)
            operations += [read(path), read(*own)]
        if not operations:
            return {}
        pages = iter((await self._etcd.transact([], operations)).pages)
        found = {}
        for name in names:
            both = [*next(pages).found, *next(pages).found]
            found[name] = {each.key: Held(each.value, each.revision) for each in both}
        return found

    async def write(self, steps: Sequence[Step]) -> bool:
        """Whether they were done: all or none are, and none where a key is not of the revision that its step names.

        :raises EtcdError: where it is not known.
        :raises NotLeadingError: when another replica leads; then none is done.
        """
        fence = self._leadership.fence
        conditions = [fence, *(Compare(step.key, "MOD", step.revision) for step in steps)]
        operations = [delete(step.key) if step.value is None else put(step.key, step.value) for step in steps]
        done = await self._etcd.transact(conditions, operations, [read(fence.key)])
        if not done.succeeded and [each.created for each in done.pages[0].found] != [fence.revision]:
            raise NotLeadingError
        return done.succeeded
