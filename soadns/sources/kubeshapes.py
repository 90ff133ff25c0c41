"""The fields of Kubernetes objects that soadns reads, in the shapes in which the API server sends them.

One ``msgspec.Struct`` for each JSON object, named as in the API reference (core/v1, discovery.k8s.io/v1, meta/v1); a
field is None where the object may lack it or say null. Fields that are not named here are skipped by the decoder and
never reach memory (managedFields, for one): a new field costs memory times 10,000 Services, so add it knowingly. What
an absence means is said in ``soadns.sources.kubevalues``.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

import msgspec

T = TypeVar("T")

PortNumber = Annotated[int, msgspec.Meta(ge=1, le=65535)]
PortNumberOrZero = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""A port number; 0 stands for none."""


class Shape(msgspec.Struct, gc=False, rename="camel"):
    """Base of the shapes: they form trees, so the cyclic collector may skip them."""


class ObjectMeta(Shape):
    """``metadata`` of an object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


# --------------------------------------------------------------------------- Service


class ServicePort(Shape):
    """One of ``spec.ports``."""

    port: PortNumber
    name: str | None = None
    target_port: int | str | None = None
    protocol: str | None = None
    node_port: PortNumberOrZero | None = None
    app_protocol: str | None = None


class ServiceSpec(Shape):
    """``spec`` of a Service."""

    type: str | None = None
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    ports: list[ServicePort] | None = None
    external_ips: list[str] | None = msgspec.field(default=None, name="externalIPs")
    external_name: str | None = None


class LoadBalancerIngress(Shape):
    """One of ``status.loadBalancer.ingress``."""

    ip: str | None = None


class LoadBalancerStatus(Shape):
    """``status.loadBalancer``."""

    ingress: list[LoadBalancerIngress] | None = None


class ServiceStatus(Shape):
    """``status`` of a Service."""

    load_balancer: LoadBalancerStatus | None = None


class Service(Shape):
    """A Service."""

    metadata: ObjectMeta
    spec: ServiceSpec | None = None
    status: ServiceStatus | None = None


# --------------------------------------------------------------------------- EndpointSlice


class EndpointPort(Shape):
    """One of ``ports`` of an EndpointSlice."""

    name: str | None = None
    port: PortNumberOrZero | None = None
    protocol: str | None = None
    app_protocol: str | None = None


class EndpointConditions(Shape):
    """``conditions`` of an endpoint."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(Shape):
    """One of ``endpoints``."""

    addresses: list[str] | None = None
    conditions: EndpointConditions | None = None


class EndpointSlice(Shape):
    """An EndpointSlice."""

    metadata: ObjectMeta
    address_type: str = ""
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None


# --------------------------------------------------------------------------- Node


class NodeAddress(Shape):
    """One of ``status.addresses``."""

    type: str = ""
    address: str = ""


class NodeStatus(Shape):
    """``status`` of a Node."""

    addresses: list[NodeAddress] | None = None


class Node(Shape):
    """A Node."""

    metadata: ObjectMeta
    status: NodeStatus | None = None


# --------------------------------------------------------------------------- around objects


class ListMeta(Shape):
    """``metadata`` of a list."""

    resource_version: str = ""
    continue_: str | None = msgspec.field(default=None, name="continue")


class List(msgspec.Struct, Generic[T]):
    """A page of a list of objects."""

    metadata: ListMeta
    items: list[T] | None = None


class WatchEvent(Shape):
    """One line of a watch, its object unread."""

    type: str
    object: msgspec.Raw


class Status(Shape):
    """The object of an ``ERROR`` event."""

    code: int | None = None
    message: str | None = None
    reason: str | None = None


class NameMeta(Shape):
    """``metadata`` of an object, no more than names it."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class Named(Shape):
    """What nearly every object has, to name one that can not be read."""

    metadata: NameMeta
