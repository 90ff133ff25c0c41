"""What Istio takes a port for, by its name and appProtocol."""

from __future__ import annotations

import pytest

from soadns.sidecar.istioports import protocol


@pytest.mark.parametrize(
    ("port", "name", "app_protocol", "expected"),
    [
        (20880, "tcp-dubbo", "", "tcp"),
        (20880, "TCP", "", "tcp"),
        (20880, "", "tcp", "tcp"),
        (20880, "dubbo", "", "auto"),
        (20880, "dubbo-x", "", "auto"),
        (20880, "", "", "auto"),
        (50051, "tri", "", "auto"),
        (20880, "tcp-dubbo", "dubbo", "auto"),
        (8080, "http-api", "", "http"),
        (8080, "http2", "", "http2"),
        (50051, "grpc-triple", "", "grpc"),
        (50051, "grpc-web-x", "", "grpc-web"),
        (50051, "tcp-x", "kubernetes.io/h2c", "http2"),
        (443, "tls", "", "tls"),
        (443, "https-api", "", "https"),
        (6379, "redis", "", "redis"),
        (3306, "db", "", "tcp"),
        (27017, "mongo-x", "", "mongo"),
    ],
)
def test_a_port(port: int, name: str, app_protocol: str, expected: str) -> None:
    assert protocol(port, name, app_protocol) == expected
