"""Everything that distinguishes a zone from others over the same observations. Frozen settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from soadns.binding.clusters import Clusters
from soadns.binding.evidence import Claim
from soadns.binding.guard import GuardSettings
from soadns.binding.sight import StoreSettings
from soadns.binding.state import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSettings:
    """One zone; ``ttl`` and ``provider_ttl`` are seconds."""

    name: str
    nested: tuple[str, ...] = ()
    """Other zones below this one: names at or below them are theirs."""
    sources: frozenset[str] = frozenset()
    """Source ids it listens to."""
    optional: frozenset[str] = frozenset()
    """Those of them without which it may start (``required: false``)."""
    immediate: frozenset[str] = frozenset()
    """Sources whose evidence does not linger: static files."""
    cluster_sources: dict[str, str] = field(default_factory=dict)
    """Cluster name → the source id that observes it."""
    clusters: Clusters = field(default_factory=Clusters)
    claims: tuple[Claim, ...] = ()
    rules: Rules
    guard: GuardSettings
    store: StoreSettings
    ttl: int
    provider_ttl: int
