"""Objects of one kind as they stand in the API server, for whoever writes there: read by a ``reflector``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError, Resource
from soadns.mesh import answers
from soadns.reflector import Page, Reflector

T = TypeVar("T")
Name = tuple[str, str]
"""Namespace and name."""


class Mirror(Generic[T]):
    """One kind, in one namespace or in all (``''``).

    It may run again after a fault of ours: nothing of what is new by then was heard once and lost.

    :param decode: makes of an object what is kept. What it raises is a fault of ours.
    :param hear: called with the names of what changed, after it did; with none, if need be, when it is synced first,
        and when its kind is defined later.
    """

    def __init__(
        self,
        api: KubeApi,
        resource: Resource,
        *,
        namespace: str = "",
        selector: str = "",
        decode: Callable[[dict[str, Any]], T],
        hear: Callable[[list[Name]], None],
    ) -> None:
        self._reflector = Reflector(api, resource, self, namespace=namespace, selector=selector)
        self._defined_by_users = bool(resource.group)
        """Whether there may be no such kind."""
        self._decode = decode
        self._hear = hear
        self._found: set[Name] = set()
        """What the list has that is being read."""
        self._unheard: dict[Name, None] = {}
        """What changed and was not heard yet, in order."""
        self._news = False
        """Whether anything else is to be heard."""
        self.values: dict[Name, T] = {}
        self.versions: dict[Name, str] = {}
        """resourceVersion of each."""
        self.synced = False
        """Whether all was read once; it stays so."""
        self.absent = False
        """Whether the API server does not know the kind: no such CRD. Never so of a kind of the core."""
        self.trouble = ""
        """Why it is not read now; ``''``: it is."""

    @property
    def kind(self) -> str:
        """What it mirrors, for people."""
        return self._reflector.what

    async def run(self) -> None:
        """Mirror until cancelled."""
        await self._reflector.run()

    # ------------------------------------------------------------------ what the reflector reads

    def page(self, body: bytes, *, first: bool) -> Page:
        """Take one page of a list."""
        if first:
            self._found = set()
        page = answers.read(body)
        version, items = answers.version(page), page.get("items")
        if not isinstance(items, list | None):
            raise ValueError("items are no list")
        for item in items or ():
            self._put(answers.mapping(item, "an item"))
        self._tell()
        return Page(version, str(answers.metadata(page).get("continue") or ""))

    def listed(self) -> None:
        """What the list did not have is gone; that there is such a kind at last is news, too."""
        absent, self.absent = self.absent, False
        self._caught_up(sorted(self.values.keys() - self._found), news=absent)

    def line(self, line: bytes) -> str:
        """Take one line of a watch."""
        event = answers.read(line)
        kind, item = event.get("type"), answers.mapping(event.get("object"), "a watch event's object")
        if kind == "ERROR":
            code = item.get("code")
            message = str(item.get("message") or "the watch failed")
            raise ApiError(code if isinstance(code, int) else 0, message)
        if kind == "DELETED" and (name := _name(item)) in self.values:
            self._drop(name)
        elif kind in ("ADDED", "MODIFIED"):
            self._put(item)
        self._tell()
        return str(answers.metadata(item).get("resourceVersion") or "")

    def failed(self, error: ApiError | KubeConfigError | ValueError) -> bool:
        """Say why it is not read; a kind that nobody has defined has no objects, which is no trouble.

        Kinds of the core are defined everywhere: who says that there is none is no API server.
        """
        if isinstance(error, ApiError) and error.status == 404 and self._defined_by_users:
            self.absent = True
            self._caught_up(sorted(self.values))
            return True
        said = str(error)
        if isinstance(error, ApiError):
            said = f"HTTP {error.status}: {error.message}" if error.status else error.message
        self.trouble = f"{self.kind}: {said}"
        return False

    # ------------------------------------------------------------------ what is kept

    def _caught_up(self, gone: list[Name], *, news: bool = False) -> None:
        for name in gone:
            self._drop(name)
        self.trouble = ""
        self._news |= news or not self.synced
        self.synced = True
        self._tell()

    def _tell(self) -> None:
        """Have heard what was not yet; what a fault of ours comes between is told again."""
        if self._unheard or self._news:
            self._hear(list(self._unheard))
            self._unheard.clear()
            self._news = False

    def _put(self, item: dict[str, Any]) -> None:
        """Keep an object; it is news if it is another one than before."""
        name, version = _name(item), str(item["metadata"].get("resourceVersion") or "")
        self._found.add(name)
        if version and self.versions.get(name) == version:
            return
        self.values[name] = self._decode(dict(item))
        self.versions[name] = version
        self._unheard[name] = None

    def _drop(self, name: Name) -> None:
        del self.values[name]
        del self.versions[name]
        self._unheard[name] = None


def _name(item: dict[str, Any]) -> Name:
    """Namespace and name of an object. Raises ValueError for what has none."""
    metadata = answers.metadata(item)
    if not isinstance(name := metadata.get("name"), str) or not name:
        raise ValueError("an object has no metadata.name")
    return str(metadata.get("namespace") or ""), name
