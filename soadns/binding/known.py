"""What is known of one interface now: its live providers and who has to do with it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from soadns.binding.crowd import MANY, Crowd, Identity, Usable, look_through
from soadns.binding.sites import Live
from soadns.indexes import count
from soadns.model import ObjectRef, Provider


class Known:
    """What is known of one interface now."""

    __slots__ = ("applications", "crowd", "live", "outside", "paths", "ports", "registries", "rosters")

    def __init__(self) -> None:
        self.live: dict[Identity, Live] = {}
        """(protocol, host, port, registry, application) → Live."""
        self.outside: dict[str, int] = {}
        """The old world: hosts that are no Service's endpoint → usable host:ports there."""
        self.rosters: set[ObjectRef] = set()
        """Services some of whose registered addresses provide it."""
        self.ports: dict[tuple[str, int], int] = {}
        """(protocol, port) → usable providers."""
        self.paths: dict[str, int] | None = None
        """Paths that are not the interface's name → providers; None as long as there was none."""
        self.applications: dict[str, int] = {}
        """Application → usable providers."""
        self.registries: dict[str, int] = {}
        self.crowd: Crowd | None = None
        """Kept once somebody asks, where there are many; whoever changes more than one registration drops it."""

    @property
    def empty(self) -> bool:
        """Whether nothing at all is known."""
        return not self.live and not self.rosters

    def count_path(self, path: str, by: int) -> None:
        """A provider with this path came or went."""
        if path:
            self.paths = {} if self.paths is None else self.paths
            count(self.paths, path, by)

    def wires(self, name: str) -> tuple[str, ...]:
        """What calls of the interface ``name`` are addressed to: its name, or paths of providers; () without one."""
        if not self.paths:
            return (name,) if self.live else ()
        bare = len(self.live) > sum(self.paths.values())
        return (*((name,) if bare else ()), *sorted(self.paths))

    @property
    def dialled(self) -> Mapping[tuple[str, int], int]:
        """(protocol, port) → usable providers; where none is usable, those that are registered all the same."""
        if self.ports or not self.live:
            return self.ports
        return Counter((each.provider.protocol, each.provider.port) for each in self.live.values())

    def note(self, provider: Provider) -> None:
        """A registration of this provider came, changed or went."""
        if self.crowd is not None:
            identity = identity_of(provider)
            self.crowd.note(identity, self.live.get(identity))

    def usable(self) -> Usable:
        """The usable providers."""
        if self.crowd is None:
            if len(self.live) < MANY:
                return look_through(self.live)
            self.crowd = Crowd(self.live)
        return self.crowd.usable

    def weights(self) -> dict[tuple[str, str, int], int]:
        """The weights of usable providers by protocol, host and port; of several registrations there the largest."""
        found: dict[tuple[str, str, int], int] = {}
        for identity, each in self.live.items():
            if each.usable:
                found[identity[:3]] = max(found.get(identity[:3], 0), each.provider.weight)
        return found


def identity_of(provider: Provider) -> Identity:
    """The part of a Provider's identity below its interface."""
    return (provider.protocol, provider.host, provider.port, provider.registry, provider.application)


def without(providers: Sequence[Provider], one: Provider) -> tuple[Provider, ...]:
    """The sequence less one equal element."""
    rest = list(providers)
    rest.remove(one)
    return tuple(rest)
