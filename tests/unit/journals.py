"""Journals for tests of one process; their memory goes with them."""

from __future__ import annotations

import os

from soadns.nameserver.feed import Publisher
from soadns.nameserver.journal import Journal


class Files(tuple[int, int]):
    """Two files of a journal, closed with the last who knows them."""

    __slots__ = ()

    def __new__(cls) -> Files:
        return super().__new__(cls, (os.memfd_create("journal-0"), os.memfd_create("journal-1")))

    def __del__(self) -> None:
        for descriptor in self:
            os.close(descriptor)


def publisher() -> Publisher:
    """One that nobody reads from."""
    return Publisher(Journal(Files(), 1))
