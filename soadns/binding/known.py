"""What is known of one interface now: its live providers and who has to do with it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from soadns.binding.sites import Live
from soadns.model import ObjectRef, Provider

Identity = tuple[str, str, int, str, str]
"""(protocol, host, port, registry, application): a Provider below its interface."""


class Known:
    """What is known of one interface now."""

    __slots__ = ("applications", "live", "outside", "ports", "registries", "rosters")

    def __init__(self) -> None:
        self.live: dict[Identity, Live] = {}
        """(protocol, host, port, registry, application) → Live."""
        self.outside: dict[str, int] = {}
        """The old world: hosts that are no Service's endpoint → usable host:ports there."""
        self.rosters: set[ObjectRef] = set()
        """Services some of whose registered addresses provide it."""
        self.ports: dict[tuple[str, int], int] = {}
        """(protocol, port) → registrations."""
        self.applications: dict[str, int] = {}
        self.registries: dict[str, int] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing at all is known."""
        return not self.live and not self.rosters


def identity_of(provider: Provider) -> Identity:
    """The part of a Provider's identity below its interface."""
    return (provider.protocol, provider.host, provider.port, provider.registry, provider.application)


def without(providers: Sequence[Provider], one: Provider) -> tuple[Provider, ...]:
    """The sequence less one equal element."""
    rest = list(providers)
    rest.remove(one)
    return tuple(rest)
