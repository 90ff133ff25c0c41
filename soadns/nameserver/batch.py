"""Memory in which questions lie side by side, each of which becomes its reply where it lies.

Standard library only. A reply begins with the id and the question that it is a reply to: where the question lies,
neither needs to be copied, and no object is made of them.
"""

from __future__ import annotations

import mmap

from soadns.nameserver.heads import HEADER

_STAGGER = 128
"""Octets between two messages: those that lie whole pages apart would all want the same lines of a cache."""


class Batch:
    """So many messages, of ``room`` octets at most each."""

    __slots__ = ("begins", "memory", "places", "silent", "sizes")

    def __init__(self, messages: int, room: int) -> None:
        step = _STAGGER + room
        self.memory = mmap.mmap(-1, messages * step)
        """Of all kinds of memory that can be written to, the one whose slices are ``bytes``."""
        self.begins = [_STAGGER + number * step for number in range(messages)]
        """Where each message begins; there is some room before it."""
        self.places = [
            (number, begin, slice(begin + 2, begin + HEADER), begin + HEADER)
            for number, begin in enumerate(self.begins)
        ]
        """The number of each message, where it begins, where its flags and counts are, where its question begins."""
        self.sizes: list[int] | memoryview = [0] * messages
        """How long each reply is."""
        self.silent: list[int] = []
        """Numbers of messages that get no reply, in order; to be cleared by whoever has seen them."""

    def message(self, number: int, size: int) -> bytes:
        """A message of so many octets."""
        begin = self.begins[number]
        return self.memory[begin : begin + size]

    def put(self, number: int, message: bytes) -> None:
        """Lay a message there."""
        begin = self.begins[number]
        self.memory[begin : begin + len(message)] = message

    def reply(self, number: int, reply: bytes | None) -> None:
        """Answer a message; None for not at all."""
        if reply is None:
            self.silent.append(number)
        else:
            self.put(number, reply)
            self.sizes[number] = len(reply)
