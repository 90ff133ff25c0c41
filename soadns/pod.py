"""What a pod is told of itself."""

from __future__ import annotations

from pathlib import Path

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def namespace() -> str:
    """The namespace of the pod that this is; ``''`` outside of one."""
    try:
        return NAMESPACE.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
