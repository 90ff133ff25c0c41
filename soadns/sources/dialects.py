"""How frameworks write their registry trees, by name. Pure.

A dialect is a module that offers what :class:`Dialect` says; the ones that are not here do not exist. Sources read
trees and files by it and know no framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from soadns.model import Override, Provider
from soadns.sources import dubbo, sofa


class Dialect(Protocol):
    """What a registry tree means: ``<root>/<child>/<category>/<leaf>``."""

    CATEGORIES: tuple[str, ...]
    """Directories to read below an interface; the first makes it one."""

    def interface_of(self, child: str) -> str | None:
        """The interface named by a child of the root; None: no interface."""

    def child_of(self, interface: str) -> str:
        """The child of the root that the framework's clients read."""

    def parse(
        self, registry: str, interface: str, category: str, leaf: str
    ) -> tuple[Provider | Override, ...]:
        """The observations in one leaf, () when of no interest. Raises FormatError.

        The protocol tells two of one leaf apart.
        """


DIALECTS: Mapping[str, Dialect] = {"dubbo": dubbo, "sofa": sofa}
