"""Kubernetes objects as JSON, decoded into the values of :mod:`soadns.model`.

Shared by the Kubernetes source (bytes of the API server) and the static one (plain objects of files). It knows no
connection, file or clock. Which fields are read says ``kubeshapes``, what they mean ``kubevalues``.

Invariant: an object gives an :class:`Item` that holds a value, or says why it is left out, or is not for us;
only a list or an event around it that can not be read at all raises :class:`FormatError`. One bad object
never costs another. What is nested deeper than anything that is read is passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from soadns import jsondepth
from soadns.model import EndpointSlice, Key, Node, Service
from soadns.sources import FormatError, kubeshapes, kubevalues

MAX_DETAIL = 300

KubeValue = Service | EndpointSlice | Node


class Item(NamedTuple):
    """One object: its key, and a value, or the reason why it is rejected, or neither (not for us)."""

    key: Key
    value: KubeValue | None = None
    reason: str = ""
    """A slug from a bounded set: ``bad-object``, ``bad-address``, ``bad-time``, ``no-name``."""
    detail: str = ""
    version: str = ""
    """``metadata.resourceVersion``."""

    @property
    def where(self) -> str:
        """As an operator would type it: ``Service ns/name``."""
        return f"{self.key[0]} {'/'.join(self.key[1:])}"


class Page(NamedTuple):
    """A page of a list: its objects, the list's resourceVersion, the token of the next page or ``''``."""

    items: list[Item]
    version: str
    more: str


class Event(NamedTuple):
    """One line of a watch. ``type`` is ADDED, MODIFIED, DELETED, BOOKMARK, ERROR or one we do not know."""

    type: str
    item: Item | None = None
    """The object of ADDED, MODIFIED and DELETED."""
    version: str = ""
    """resourceVersion to resume from after this event; ``''`` where it has none."""
    code: int = 0
    """HTTP status that an ERROR carries (410: the resourceVersion is too old)."""
    message: str = ""


class _Kind:
    """How one kind is read: its shape, its decoders and the way to a value."""

    def __init__(self, name: str, shape: Any, project: Callable[[Any, str], KubeValue | None]) -> None:
        self.name = name
        self.shape = shape
        self.namespaced = name != "Node"
        self.one = msgspec.json.Decoder(shape)
        self.many = msgspec.json.Decoder(kubeshapes.List[shape])
        self._project = project

    def item(self, raw: Any, cluster: str) -> Item:
        meta = raw.metadata
        key = (self.name, meta.namespace, meta.name) if self.namespaced else (self.name, meta.name)
        if not meta.name:
            return Item(key, None, "no-name", "metadata.name is missing")
        try:
            return Item(key, self._project(raw, cluster), version=meta.resource_version)
        except kubevalues.BadFieldError as error:
            return Item(key, None, error.reason, str(error)[:MAX_DETAIL], meta.resource_version)

    def unreadable(self, named: kubeshapes.Named | None, error: Exception) -> Item:
        meta = named.metadata if named is not None else kubeshapes.NameMeta()
        key = (self.name, meta.namespace, meta.name) if self.namespaced else (self.name, meta.name)
        detail = f"the object does not have the shape of a {self.name}: {error}"
        return Item(key, None, "bad-object", detail[:MAX_DETAIL], meta.resource_version)


_KINDS = {
    "Service": _Kind("Service", kubeshapes.Service, kubevalues.service),
    "EndpointSlice": _Kind("EndpointSlice", kubeshapes.EndpointSlice, kubevalues.endpoint_slice),
    "Node": _Kind("Node", kubeshapes.Node, kubevalues.node),
}
KINDS = tuple(_KINDS)
_RAW_LIST = msgspec.json.Decoder(kubeshapes.List[msgspec.Raw])
_EVENT = msgspec.json.Decoder(kubeshapes.WatchEvent)
_NAME = msgspec.json.Decoder(kubeshapes.Named)
_STATUS = msgspec.json.Decoder(kubeshapes.Status)


def decode_page(kind: str, body: bytes, *, cluster: str) -> Page:
    """Decode one page of a list of ``kind``.

    :raises FormatError: when the body is no list of the Kubernetes API.
    """
    reader = _KINDS[kind]
    try:
        return _page(reader, body, cluster)
    except RecursionError:
        return _page(reader, jsondepth.cut(body), cluster)


def _page(reader: _Kind, body: bytes, cluster: str) -> Page:
    try:
        page = reader.many.decode(body)
        items = [reader.item(raw, cluster) for raw in page.items or ()]
    except (msgspec.MsgspecError, UnicodeError):
        # Some object has another shape: read them one by one, so that only that one is lost.
        try:
            page = _RAW_LIST.decode(body)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise FormatError("bad-list", f"no {reader.name}List: {error}") from None
        items = [_decode_object(reader, bytes(raw), cluster) for raw in page.items or ()]
    return Page(items, page.metadata.resource_version, page.metadata.continue_ or "")


def decode_event(kind: str, line: bytes, *, cluster: str) -> Event:
    """Decode one line of a watch of ``kind``.

    :raises FormatError: when the line is no watch event.
    """
    reader = _KINDS[kind]
    try:
        return _event(reader, line, cluster)
    except RecursionError:
        return _event(reader, jsondepth.cut(line), cluster)


def _event(reader: _Kind, line: bytes, cluster: str) -> Event:
    try:
        event = _EVENT.decode(line)
        if event.type == "ERROR":
            status = _STATUS.decode(event.object)
            return Event("ERROR", code=status.code or 0, message=status.message or status.reason or "")
        if event.type == "BOOKMARK":
            return Event("BOOKMARK", version=_NAME.decode(event.object).metadata.resource_version)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise FormatError("bad-event", f"no watch event of {reader.name}: {error}") from None
    item = _decode_object(reader, bytes(event.object), cluster)
    return Event(event.type, item, item.version)


def _decode_object(reader: _Kind, text: bytes, cluster: str) -> Item:
    try:
        return reader.item(reader.one.decode(text), cluster)
    except (msgspec.MsgspecError, UnicodeError) as error:
        try:
            named = _NAME.decode(text)
        except (msgspec.MsgspecError, UnicodeError):
            named = None
        return reader.unreadable(named, error)


def from_object(kind: str, value: object, *, cluster: str, namespace: str = "default") -> Item:
    """Read one plain object (of a YAML or JSON file); ``namespace`` is that of objects which name none."""
    reader = _KINDS[kind]
    try:
        raw = msgspec.convert(value, reader.shape)
    except msgspec.MsgspecError as error:
        try:
            named = msgspec.convert(value, kubeshapes.Named)
        except msgspec.MsgspecError:
            named = None
        if named is not None and reader.namespaced and not named.metadata.namespace:
            named.metadata.namespace = namespace
        return reader.unreadable(named, error)
    if reader.namespaced and not raw.metadata.namespace:
        raw.metadata.namespace = namespace
    return reader.item(raw, cluster)
