"""What registries say of one zone's interfaces: who provides each, as which application, and what is switched off.

A provider may be registered more than once (an old session that still lingers): it is live while any of its
registrations is, and the newest one supplies its attributes. Where it runs is not asked here: that is the site's
(``soadns.binding.sites``). Pure and incremental.
"""

from __future__ import annotations

from collections.abc import Sequence

from soadns.binding.known import Known, identity_of, without
from soadns.binding.overrides import Overrides
from soadns.binding.sites import Live, newest
from soadns.indexes import count, place
from soadns.model import InterfaceId, Override, Provider


class Registrations:
    """The registrations of one zone by interface."""

    def __init__(self) -> None:
        self.interfaces: dict[InterfaceId, Known] = {}
        self.names: dict[str, tuple[InterfaceId, ...]] = {}
        """Interface name → its variants with live providers (overrides are per name)."""
        self.by_application: dict[str, set[InterfaceId]] = {}
        """Application → interfaces of which it has usable providers."""
        self.overrides = Overrides()

    def know(self, interface: InterfaceId) -> Known:
        """What is known of an interface, from now on if nothing was."""
        if interface not in self.interfaces:
            self.interfaces[interface] = Known()
            # Hardly any has more than one or two: a tuple takes a quarter of a set.
            self.names[interface.name] = (*self.names.get(interface.name, ()), interface)
        return self.interfaces[interface]

    def forget_if_empty(self, interface: InterfaceId) -> None:
        """Keep nothing of an interface of which nothing is known any more."""
        known = self.interfaces.get(interface)
        if known is not None and known.empty and not known.outside:
            del self.interfaces[interface]
            if others := tuple(each for each in self.names[interface.name] if each != interface):
                self.names[interface.name] = others
            else:
                del self.names[interface.name]

    def register(self, provider: Provider, now: float) -> Live | None:
        """Take in a registration; returns the provider if it was not live before."""
        interface = provider.interface
        known = self.know(interface)
        identity = identity_of(provider)
        live = known.live.get(identity)
        if live is not None:
            self._renew(known, live, (live.provider, *live.older, provider))
            return None
        live = known.live[identity] = Live(provider, now)
        live.disabled = self.overrides.take_out(provider)
        known.count_path(provider.path, 1)
        count(known.registries, provider.registry, 1)
        self.rejudged(live)
        return live

    def withdraw(self, provider: Provider) -> Live | None:
        """Take a registration back; returns the provider if it is not live any more."""
        interface = provider.interface
        known = self.interfaces[interface]
        identity = identity_of(provider)
        live = known.live[identity]
        rest = without((live.provider, *live.older), provider)
        if rest:
            self._renew(known, live, rest)
            return None
        del known.live[identity]
        known.count_path(live.provider.path, -1)
        count(known.registries, provider.registry, -1)
        self._count(known, live, usable=False)
        self.forget_if_empty(interface)
        return live

    def _renew(self, known: Known, live: Live, registrations: Sequence[Provider]) -> None:
        known.count_path(live.provider.path, -1)
        live.provider = newest(registrations)
        known.count_path(live.provider.path, 1)
        live.older = without(registrations, live.provider)
        live.disabled = self.overrides.take_out(live.provider)
        self.rejudged(live)

    def rejudged(self, live: Live) -> None:
        """A live provider may be usable now or not any more: only then its port and application are evidence."""
        self._count(self.interfaces[live.provider.interface], live, usable=live.usable)

    def _count(self, known: Known, live: Live, *, usable: bool) -> None:
        if live.counted == usable:
            return
        live.counted, by = usable, 1 if usable else -1
        provider = live.provider
        count(known.ports, (provider.protocol, provider.port), by)
        if provider.application:
            count(known.applications, provider.application, by)
            offered = provider.application in known.applications
            place(self.by_application, provider.application, provider.interface, add=offered)

    def note(self, provider: Provider) -> None:
        """A registration of the provider came, changed or went, and all of the change is in."""
        if (known := self.interfaces.get(provider.interface)) is not None:
            known.note(provider)

    def override(self, before: Override | None, after: Override | None) -> list[Provider]:
        """Replace one override; returns the live providers that are switched off or on by that."""
        for value, by in ((before, -1), (after, 1)):
            if value is not None:
                self.overrides.add(value, by)
        switched = []
        names = {value.interface_name for value in (before, after) if value is not None}
        for interface in [i for name in names for i in self.names.get(name, ())]:
            known = self.interfaces[interface]
            known.crowd = None
            for live in known.live.values():
                disabled = self.overrides.take_out(live.provider)
                if disabled != live.disabled:
                    live.disabled = disabled
                    self.rejudged(live)
                    switched.append(live.provider)
        return switched
