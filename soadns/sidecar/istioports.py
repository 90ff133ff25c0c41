"""As what Istio takes a Service's port, by its name and ``appProtocol``. Pure.

Source: istio ``pkg/config/protocol/instance.go`` (``Parse``), ``pkg/config/kube/conversion.go`` (``ConvertProtocol``).
"""

from __future__ import annotations

TCP, AUTO = "tcp", "auto"
"""Plain TCP, and looked at until it is known (sniffed): these have a listener of their own, with one TCP chain."""
_WORDS = frozenset(
    (
        "tcp",
        "udp",
        "grpc",
        "grpc-web",
        "http",
        "http_proxy",
        "http2",
        "https",
        "tls",
        "mongo",
        "redis",
        "mysql",
    )
)
"""There is no dubbo, bolt or tri among them."""
_KUBERNETES = {"kubernetes.io/h2c": "http2", "kubernetes.io/ws": "http", "kubernetes.io/wss": "https"}
_WELL_KNOWN = frozenset((25, 53, 3306, 27017))
"""Ports of server-first protocols: TCP where nothing says what they are."""


def protocol(port: int, name: str, app_protocol: str) -> str:
    """A word of Istio's, or ``auto``. ``appProtocol`` counts instead of the name; either is cut at its first ``-``."""
    text = (app_protocol or name).lower()
    text = _KUBERNETES.get(text, text)
    if text.startswith("grpc-web"):
        return "grpc-web"
    word = text.partition("-")[0]
    if word in _WORDS:
        return word
    return TCP if port in _WELL_KNOWN else AUTO
