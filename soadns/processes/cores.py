"""How many cores this process may use: what the cgroup grants, and what it may be scheduled on.

Standard library only. A quota of cgroup v2 (``cpu.max``) or v1 (``cpu.cfs_quota_us``) may stand on this group or
any above it; inside a container only the group's own files can be seen.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
"""The groups of this process, one for each hierarchy."""


def cores() -> int:
    """Whole cores, at least one."""
    scheduled = len(os.sched_getaffinity(0))
    return max(1, math.floor(min([scheduled, *_quotas()])))


def _quotas() -> Iterator[float]:
    """Every limit that applies, in cores."""
    for line in _read(OWN).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        hierarchy = ROOT / "cpu" if controllers else ROOT
        group = Path(path.lstrip("/"))
        for folder in (group, *group.parents):
            quota = _quota(hierarchy / folder)
            if quota is not None:
                yield quota


def _quota(folder: Path) -> float | None:
    """The limit of one group; None where there is none."""
    text = _read(folder / "cpu.max") or " ".join(
        _read(folder / name) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    )
    try:
        quota, period = (int(word) for word in text.split())
    except ValueError:  # "max 100000", or no such group
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
