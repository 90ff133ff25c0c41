"""What a zone sees of the observations, and how long it waits for more. Frozen settings of the store."""

from __future__ import annotations

from dataclasses import dataclass, field

from soadns.binding.networks import Network, within
from soadns.binding.sites import HostPort, SiteTimes
from soadns.model import Provider, Service

AT_ONCE = SiteTimes(settle=0.0, kept=0.0, stale=0.0)
"""Files are edited on purpose: nothing is still registering, no session was lost, no process lingers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Which part of the observations a zone sees, and the durations (seconds) of its sites."""

    times: SiteTimes
    departed: float = 60.0
    """How long an address that left a living Service's endpoints is nobody's."""
    networks: dict[str, tuple[Network, ...]] = field(default_factory=dict)
    """By registry source id and by cluster name: where its addresses are meaningful; absent = everywhere."""
    namespaces: frozenset[str] = frozenset()
    """Namespaces whose Services the zone sees; empty = all."""
    selector: tuple[tuple[str, str], ...] = ()
    """Labels that a Service must carry, all of them."""
    immediate: frozenset[str] = frozenset()
    """Sources whose word holds at once: static files."""

    def times_of(self, source: str) -> SiteTimes:
        """The durations for what a source says."""
        return AT_ONCE if source in self.immediate else self.times

    def sees(self, service: Service) -> bool:
        """Whether the zone's namespaces and selector include the Service."""
        if self.namespaces and service.ref.namespace not in self.namespaces:
            return False
        return not self.selector or set(self.selector) <= set(service.labels)

    def meaningful(self, owner: str, host: str) -> bool:
        """Whether an address means something to us where a registry or cluster says it."""
        networks = self.networks.get(owner)
        return not networks or within(host, networks)

    def site_key(self, provider: Provider) -> HostPort:
        """Where the provider is; an address outside its registry's networks matches no endpoint."""
        if self.meaningful(provider.registry, provider.host):
            return (provider.host, provider.port)
        return (f"{provider.registry}!{provider.host}", provider.port)
