"""How messages become octets: who serves has an encoder, who puts together what is served needs its shape. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Encode(Protocol):
    """Makes octets of a message that is given as its JSON."""

    def __call__(self, message: str, data: Mapping[str, Any], /) -> bytes:
        """``message``: its name, as ``Cluster`` or ``ClusterLoadAssignment``."""
