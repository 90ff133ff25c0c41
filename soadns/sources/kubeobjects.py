"""Kubernetes objects as JSON, decoded into the values of :mod:`soadns.model`.

Owns which fields of Service, EndpointSlice and Node are read and what each absence means; shared by the
Kubernetes source (bytes of the API server) and the static one (plain objects of files). It knows no
connection, file or clock. Fields that are not named here are skipped by the decoder and never reach memory
(managedFields, for one): a new field costs memory times 10,000 Services, so add it knowingly.

Invariant: an object gives an :class:`Item` that holds a value, or says why it is left out, or is not for us;
only a list or an event around it that can not be read at all raises :class:`FormatError`. One bad object
never costs another.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec

from soadns.model import Endpoint, EndpointSlice, Key, Node, ObjectRef, Port, Service
from soadns.sources import FormatError
from soadns.sources.annotations import parse as parse_annotations

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
"""Label by which an EndpointSlice names its Service (discovery.k8s.io/v1, LabelServiceName)."""

MAX_DETAIL = 300

KubeValue = Service | EndpointSlice | Node
T = TypeVar("T")


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


# --------------------------------------------------------------------------- shapes of the API, fields we use


class _Shape(msgspec.Struct, gc=False, rename="camel"):
    """Base of the shapes: they form trees, so the cyclic collector may skip them."""


class _Meta(_Shape):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


_Number = Annotated[int, msgspec.Meta(ge=0, le=65535)]
_Given = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class _ServicePort(_Shape):
    port: _Given
    name: str | None = None
    target_port: int | str | None = None
    protocol: str | None = None
    node_port: _Number | None = None
    app_protocol: str | None = None


class _ServiceSpec(_Shape):
    type: str | None = None
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    ports: list[_ServicePort] | None = None
    external_ips: list[str] | None = msgspec.field(default=None, name="externalIPs")
    external_name: str | None = None


class _Ingress(_Shape):
    ip: str | None = None


class _LoadBalancer(_Shape):
    ingress: list[_Ingress] | None = None


class _ServiceStatus(_Shape):
    load_balancer: _LoadBalancer | None = None


class _Service(_Shape):
    metadata: _Meta
    spec: _ServiceSpec | None = None
    status: _ServiceStatus | None = None


class _SlicePort(_Shape):
    name: str | None = None
    port: _Number | None = None
    protocol: str | None = None
    app_protocol: str | None = None


class _Conditions(_Shape):
    ready: bool | None = None
    terminating: bool | None = None


class _Endpoint(_Shape):
    addresses: list[str] | None = None
    conditions: _Conditions | None = None


class _EndpointSlice(_Shape):
    metadata: _Meta
    address_type: str = ""
    endpoints: list[_Endpoint] | None = None
    ports: list[_SlicePort] | None = None


class _NodeAddress(_Shape):
    type: str = ""
    address: str = ""


class _NodeStatus(_Shape):
    addresses: list[_NodeAddress] | None = None


class _Node(_Shape):
    metadata: _Meta
    status: _NodeStatus | None = None


class _ListMeta(_Shape):
    resource_version: str = ""
    continue_: str | None = msgspec.field(default=None, name="continue")


class _List(msgspec.Struct, Generic[T]):
    metadata: _ListMeta
    items: list[T] | None = None


class _Event(_Shape):
    type: str
    object: msgspec.Raw


class _NameMeta(_Shape):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class _Named(_Shape):
    """What nearly every object has, to name one that can not be read."""

    metadata: _NameMeta


class _Status(_Shape):
    code: int | None = None
    message: str | None = None
    reason: str | None = None


# --------------------------------------------------------------------------- shapes to values


class _BadField(ValueError):  # noqa: N818 - a verdict about one field, caught in this module
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


_CANONICAL_V4 = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)")


def _address(text: str, field: str) -> str:
    """Normal form of an IP address. Nearly all are canonical IPv4: a tenth of the cost of ``ipaddress``."""
    if _CANONICAL_V4.fullmatch(text):
        return text
    try:
        return str(ip_address(text))
    except ValueError:
        raise _BadField("bad-address", f"{field} holds {text[:60]!r}, which is no IP address") from None


def _seconds(text: str | None) -> float:
    """RFC 3339 text as Unix seconds; absent or null is 0."""
    if not text:
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _BadField(
            "bad-time",
            f"metadata.creationTimestamp {text[:40]!r} is no RFC 3339 time such as 2026-01-31T08:00:00Z",
        )
    return moment.timestamp()


def _service(raw: _Service, cluster: str) -> Service:
    meta = raw.metadata
    spec = raw.spec or _ServiceSpec()
    given = spec.cluster_ips or ([spec.cluster_ip] if spec.cluster_ip else [])
    balancer = raw.status.load_balancer if raw.status is not None else None
    parsed = parse_annotations(meta.annotations or {})
    return Service(
        ref=ObjectRef(cluster, meta.namespace, meta.name),
        uid=meta.uid,
        created=_seconds(meta.creation_timestamp),
        type=spec.type or "ClusterIP",
        cluster_ips=tuple(_address(ip, "spec.clusterIPs") for ip in given if ip not in ("", "None")),
        headless="None" in given,
        ports=tuple(_service_port(port) for port in spec.ports or ()),
        external_ips=tuple(_address(ip, "spec.externalIPs") for ip in spec.external_ips or ()),
        load_balancer=tuple(
            _address(entry.ip, "status.loadBalancer.ingress")
            for entry in (balancer.ingress if balancer is not None else None) or ()
            if entry.ip
        ),
        external_name=(spec.external_name or "").lower().rstrip("."),
        terminating=meta.deletion_timestamp is not None,
        labels=tuple(sorted(meta.labels.items())) if meta.labels else (),
        application=parsed.application,
        declaration=parsed.declaration,
        traffic=parsed.traffic,
        problems=parsed.problems,
    )


def _service_port(raw: _ServicePort) -> Port:
    target = raw.port if raw.target_port in (None, 0, "") else raw.target_port  # absent: the port itself
    return Port(
        raw.port,
        raw.name or "",
        str(target),
        raw.protocol or "TCP",
        raw.node_port or 0,
        raw.app_protocol or "",
    )


def _endpoint_slice(raw: _EndpointSlice, cluster: str) -> EndpointSlice | None:
    meta = raw.metadata
    service = (meta.labels or {}).get(SERVICE_NAME_LABEL)
    if not service or raw.address_type not in ("IPv4", "IPv6"):
        return None
    return EndpointSlice(
        ref=ObjectRef(cluster, meta.namespace, meta.name),
        service=ObjectRef(cluster, meta.namespace, service),
        # A port without a number stands for every port (EndpointPort.port); 0 says so here.
        ports=tuple(
            Port(
                port.port or 0,
                port.name or "",
                protocol=port.protocol or "TCP",
                app_protocol=port.app_protocol or "",
            )
            for port in raw.ports or ()
        ),
        endpoints=tuple(found for entry in raw.endpoints or () for found in _endpoints(entry)),
    )


def _endpoints(raw: _Endpoint) -> list[Endpoint]:
    conditions = raw.conditions or _Conditions()
    ready = conditions.ready is not False  # null means true (EndpointConditions.ready)
    terminating = conditions.terminating is True
    return [
        Endpoint(_address(address, "endpoints[].addresses"), ready, terminating)
        for address in raw.addresses or ()
    ]


def _node(raw: _Node, cluster: str) -> Node:
    entries = (raw.status.addresses if raw.status is not None else None) or ()
    return Node(
        ref=ObjectRef(cluster, "", raw.metadata.name),
        addresses=tuple(
            _address(entry.address, "status.addresses")
            for entry in entries
            if entry.type in ("InternalIP", "ExternalIP")
        ),
    )


# --------------------------------------------------------------------------- text to items


class _Kind:
    """How one kind is read: its shape, its decoders and the way to a value."""

    def __init__(self, name: str, shape: Any, project: Callable[[Any, str], KubeValue | None]) -> None:
        self.name = name
        self.shape = shape
        self.namespaced = name != "Node"
        self.one = msgspec.json.Decoder(shape)
        self.many = msgspec.json.Decoder(_List[shape])
        self._project = project

    def item(self, raw: Any, cluster: str) -> Item:
        meta = raw.metadata
        key = (self.name, meta.namespace, meta.name) if self.namespaced else (self.name, meta.name)
        if not meta.name:
            return Item(key, None, "no-name", "metadata.name is missing")
        try:
            return Item(key, self._project(raw, cluster), version=meta.resource_version)
        except _BadField as error:
            return Item(key, None, error.reason, str(error)[:MAX_DETAIL], meta.resource_version)

    def unreadable(self, named: _Named | None, error: Exception) -> Item:
        meta = named.metadata if named is not None else _NameMeta()
        key = (self.name, meta.namespace, meta.name) if self.namespaced else (self.name, meta.name)
        detail = f"the object does not have the shape of a {self.name}: {error}"
        return Item(key, None, "bad-object", detail[:MAX_DETAIL], meta.resource_version)


_KINDS = {
    "Service": _Kind("Service", _Service, _service),
    "EndpointSlice": _Kind("EndpointSlice", _EndpointSlice, _endpoint_slice),
    "Node": _Kind("Node", _Node, _node),
}
KINDS = tuple(_KINDS)
_RAW_LIST = msgspec.json.Decoder(_List[msgspec.Raw])
_EVENT = msgspec.json.Decoder(_Event)
_NAME = msgspec.json.Decoder(_Named)
_STATUS = msgspec.json.Decoder(_Status)


def decode_page(kind: str, body: bytes, *, cluster: str) -> Page:
    """Decode one page of a list of ``kind``.

    :raises FormatError: when the body is no list of the Kubernetes API.
    """
    reader = _KINDS[kind]
    try:
        page = reader.many.decode(body)
        items = [reader.item(raw, cluster) for raw in page.items or ()]
    except (msgspec.MsgspecError, UnicodeError):
        # Some object has another shape: read them one by one, so that only that one is lost.
        try:
            page = _RAW_LIST.decode(body)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise FormatError("bad-list", f"no {kind}List: {error}") from None
        items = [_decode_object(reader, bytes(raw), cluster) for raw in page.items or ()]
    return Page(items, page.metadata.resource_version, page.metadata.continue_ or "")


def decode_event(kind: str, line: bytes, *, cluster: str) -> Event:
    """Decode one line of a watch of ``kind``.

    :raises FormatError: when the line is no watch event.
    """
    reader = _KINDS[kind]
    try:
        event = _EVENT.decode(line)
        if event.type == "ERROR":
            status = _STATUS.decode(event.object)
            return Event("ERROR", code=status.code or 0, message=status.message or status.reason or "")
        if event.type == "BOOKMARK":
            return Event("BOOKMARK", version=_NAME.decode(event.object).metadata.resource_version)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise FormatError("bad-event", f"no watch event of {kind}: {error}") from None
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
            named = msgspec.convert(value, _Named)
        except msgspec.MsgspecError:
            named = None
        if named is not None and reader.namespaced and not named.metadata.namespace:
            named.metadata.namespace = namespace
        return reader.unreadable(named, error)
    if reader.namespaced and not raw.metadata.namespace:
        raw.metadata.namespace = namespace
    return reader.item(raw, cluster)
