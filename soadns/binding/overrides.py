"""What registries switch off: the ``override://`` nodes of each interface name. Pure."""

from __future__ import annotations

from soadns.indexes import count
from soadns.model import Override, Provider


class Overrides:
    """Overrides by interface name. A lookup costs the number of overrides of one name."""

    def __init__(self) -> None:
        self.by_name: dict[str, dict[Override, int]] = {}
        """Interface name → what switches providers off → by how many nodes."""

    def add(self, override: Override, by: int) -> None:
        """Count one node more (1) or less (-1) that says so."""
        held = self.by_name.setdefault(override.interface_name, {})
        count(held, override, by)
        if not held:
            del self.by_name[override.interface_name]

    def take_out(self, provider: Provider) -> bool:
        """Whether one of them takes the provider out."""
        found = self.by_name.get(provider.interface.name)
        return found is not None and any(_matches(override, provider) for override in found)


def _matches(override: Override, provider: Provider) -> bool:
    return (
        override.registry == provider.registry
        and override.host in ("", provider.host)
        and override.port in (0, provider.port)
        and override.application in ("", provider.application)
        and override.group in (None, provider.interface.group)
        and override.version in (None, provider.interface.version)
    )
