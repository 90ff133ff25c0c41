"""JSON text that is nested too deep for a decoder, cut to a depth at which it can be read. Pure.

Decoders recurse, through what they skip as well: one object could make a list of thousands unreadable.
"""

from __future__ import annotations

import re

MAX_DEPTH = 100
"""Nesting that stays; what soadns reads of an object lies within ten levels."""

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
"""A string, or the beginning or end of an array or object."""


def cut(text: bytes) -> bytes:
    """The text with ``null`` for each array or object below ``MAX_DEPTH`` others. In linear time, without recursion.

    What is no JSON for want of an end stays so.
    """
    parts: list[bytes] = []
    depth = kept = 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case b"[" | b"{":
                depth += 1
                if depth == MAX_DEPTH + 1:
                    parts.append(text[kept : token.start()])
                    kept = len(text)
            case b"]" | b"}":
                if depth == MAX_DEPTH + 1:
                    parts.append(b"null")
                    kept = token.end()
                depth -= 1
    return b"".join((*parts, text[kept:]))
