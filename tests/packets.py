"""Packets as people write them: hex, and characters in quotes."""

from __future__ import annotations


def octets(text: str) -> bytes:
    """``06 'v6only' 00`` → the octets; blanks mean nothing."""
    parts = text.split("'")
    return b"".join(
        bytes.fromhex(part) if index % 2 == 0 else part.encode() for index, part in enumerate(parts)
    )
