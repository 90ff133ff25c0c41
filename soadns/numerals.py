"""Whole numbers as strangers write them: in queries, on the command line, in what stands in a cluster. Pure.

Python's own ``int`` raises for more than 4,300 digits, and takes blanks, underscores and the digits of all scripts;
``str.isdigit`` is true of ``²``, which ``int`` does not read.
"""

from __future__ import annotations


def whole_number(text: str, most: int) -> int | None:
    """A number from 0 to ``most`` in decimal, by ASCII digits alone; None for everything else, however long."""
    if not text.isascii() or not text.isdigit():
        return None
    digits = text.lstrip("0")
    if len(digits) > len(str(most)):
        return None
    number = int(digits or "0")
    return number if number <= most else None


def port_number(text: str) -> int | None:
    """A TCP or UDP port from 1 to 65535, likewise."""
    return whole_number(text, 65_535) or None
