"""What is configured of the filters that are kept in a cluster."""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "mesh/filters"
"""What operators release."""


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """Times are seconds."""

    zone: str
    """Whose routes are written."""
    root_namespace: str
    try_first: str
    """Namespace in which a Service's first filter is written before it is for all; ``''``: it is not."""
    try_for: float
    """Until it is for all then."""
    metrics: tuple[str, ...]
    """URLs of istiod's metrics."""
    file_delay: float
    """Until a file of rules is mounted in every pod that mounts it."""
    domain: str
    """Of the cluster."""
    share: float
    """Of the objects, and how many at least: changes that wait for an operator (``filterguard``)."""
    minimum: int
    write: bool
    """False: what is to be done is shown, and not done."""
