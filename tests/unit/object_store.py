"""An API server's store in memory, as far as mirrors and writers use one: versions, watches, UIDs, dry runs."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from soadns.kubeapi import ApiError, Resource

Key = tuple[str, str]
"""The path of a collection, and a name."""


class ObjectStore:
    """Speaks as ``KubeApi`` does. ``deny`` says why an object may not be written, and ``''`` of one that may."""

    def __init__(self) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.deny: Callable[[dict[str, Any]], str] = lambda _: ""
        self.absent: set[str] = set()
        """Plurals that it does not know."""
        self.writes: list[str] = []
        """What was written, and how: no dry runs."""
        self.noted: list[str] = []
        """What was noted in annotations beside all that: as who owns nothing else of an object."""
        self.asked: list[tuple[str, bool]] = []
        """Paths of what was applied, and whether that was a dry run."""
        self._notes: dict[Key, dict[str, str]] = {}
        self._versions = itertools.count(1)
        self._changed: list[tuple[int, str, str, dict[str, Any]]] = []
        """(version, kind of event, plural, object)."""
        self._news = asyncio.Event()

    # ------------------------------------------------------------------ reading

    async def list_page(
        self, resource: Resource, *, namespace: str = "", selector: str = "", more: str = ""
    ) -> bytes:
        if resource.plural in self.absent:
            raise ApiError(404, "the server could not find the requested resource")
        items = [
            each
            for (path, _), each in sorted(self.objects.items())
            if path.endswith(f"/{resource.plural}") and self._asked(each, namespace, selector)
        ]
        return json.dumps({"metadata": {"resourceVersion": str(self._version)}, "items": items}).encode()

    async def watch(
        self, resource: Resource, *, version: str, namespace: str = "", selector: str = "", **_: Any
    ) -> AsyncGenerator[bytes, None]:
        yield b""
        seen = int(version)
        while True:
            for number, kind, plural, each in list(self._changed):
                if number > seen and plural == resource.plural and self._asked(each, namespace, selector):
                    yield json.dumps({"type": kind, "object": each}).encode()
            seen = max(seen, self._version)
            news = self._news
            await news.wait()

    @property
    def _version(self) -> int:
        return self._changed[-1][0] if self._changed else 0

    @staticmethod
    def _asked(each: Mapping[str, Any], namespace: str, selector: str) -> bool:
        labels = each["metadata"].get("labels") or {}
        pairs = (pair.partition("=") for pair in selector.split(",") if pair)
        return namespace in ("", each["metadata"]["namespace"]) and all(
            labels.get(k) == v for k, _, v in pairs
        )

    # ------------------------------------------------------------------ writing

    async def apply(
        self, path: str, body: Mapping[str, Any], *, manager: str, dry_run: bool = False
    ) -> bytes:
        collection, _, name = path.rpartition("/")
        document = copy.deepcopy(dict(body))
        self.asked.append((path, dry_run))
        if why := self.deny(document):
            raise ApiError(422, why)
        held = self.objects.get((collection, name))
        version = document["metadata"].pop("resourceVersion", "")
        if version and (held is None or held["metadata"]["resourceVersion"] != version):
            raise ApiError(409, "another version")
        if document.get("kind") == "EnvoyFilter" and "spec" not in document:
            assert held is not None
            assert version
            assert not dry_run
            self._note(collection, name, document["metadata"].get("annotations") or {})
        elif not dry_run:
            self.keep(collection, document, by=manager)
        return json.dumps(self.objects.get((collection, name), document)).encode()

    def _note(self, collection: str, name: str, notes: dict[str, str]) -> None:
        """Annotations of somebody who owns nothing else: these, and no others."""
        document = copy.deepcopy(self.objects[collection, name])
        kept = document["metadata"].get("annotations") or {}
        for key in self._notes.get((collection, name), {}):
            kept.pop(key, None)
        self._notes[collection, name] = notes
        document["metadata"]["annotations"] = {**kept, **notes}
        said = f"note {sorted(notes.values())}" if notes else "clear"
        self.noted.append(f"{said} {document['metadata']['namespace']}/{name}")
        self.objects[collection, name] = document
        self._tell("MODIFIED", collection, document)

    async def delete(self, path: str, *, uid: str) -> None:
        collection, _, name = path.rpartition("/")
        held = self.objects.get((collection, name))
        if held is None:
            raise ApiError(404, "not found")
        if held["metadata"]["uid"] != uid:
            raise ApiError(409, "another one")
        del self.objects[collection, name]
        self._notes.pop((collection, name), None)
        self.writes.append(f"delete {held['metadata']['namespace']}/{name}")
        self._tell("DELETED", collection, held)

    async def close(self) -> None: ...

    def put(self, collection: str, document: dict[str, Any]) -> None:
        """Write an object as somebody else than soadns."""
        self.keep(collection, document, by="test")

    def keep(self, collection: str, document: dict[str, Any], *, by: str) -> None:
        """Keep what somebody writes."""
        metadata = document["metadata"]
        held = self.objects.get((collection, metadata["name"]))
        before = held["metadata"] if held is not None else {}
        kept = {"uid": f"object-{next(self._versions)}", "creationTimestamp": "2027-01-15T08:00:00Z"}
        document = {
            **document,
            "metadata": {**metadata, **kept, **{k: before[k] for k in kept if k in before}},
        }
        if by != "test" and (notes := self._notes.get((collection, metadata["name"]))):
            annotations = document["metadata"].get("annotations") or {}
            document["metadata"]["annotations"] = {**annotations, **notes}
        document["metadata"]["managedFields"] = [
            {"manager": by, "operation": "Apply", "fieldsV1": {"f:spec": {}}}
        ]
        if by != "test":
            self.writes.append(f"{'change' if held else 'create'} {metadata['namespace']}/{metadata['name']}")
        self.objects[collection, metadata["name"]] = document
        self._tell("MODIFIED" if held else "ADDED", collection, document)

    def _tell(self, kind: str, collection: str, document: dict[str, Any]) -> None:
        number = next(self._versions)
        document["metadata"]["resourceVersion"] = str(number)
        self._changed.append((number, kind, collection.rpartition("/")[2], copy.deepcopy(document)))
        news, self._news = self._news, asyncio.Event()
        news.set()
