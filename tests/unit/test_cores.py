"""How many cores the cgroup grants, from files as the kernel writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soadns.processes.cores import cores

HERE = len(os.sched_getaffinity(0))

CGROUPS = [
    # /proc/self/cgroup; files below /sys/fs/cgroup and what they hold; cores, where there are enough
    ("0::/", {"cpu.max": "max 100000"}, HERE),
    ("0::/", {"cpu.max": "100000 100000"}, 1),
    ("0::/", {"cpu.max": "150000 100000"}, 1),
    ("0::/", {"cpu.max": "20000 100000"}, 1),
    ("0::/", {"cpu.max": "6400000 100000"}, HERE),
    ("0::/", {}, HERE),
    ("", {}, HERE),
    (
        "0::/kubepods/pod1/c1",
        {"kubepods/pod1/cpu.max": "100000 100000", "kubepods/pod1/c1/cpu.max": "max 100000"},
        1,
    ),
    ("5:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
    ("5:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, HERE),
    ("5:cpuset:/", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, HERE),
]


@pytest.mark.parametrize(("own", "files", "expected"), CGROUPS)
def test_cores_of_a_cgroup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr("soadns.processes.cores.ROOT", tmp_path / "fs")
    monkeypatch.setattr("soadns.processes.cores.OWN", tmp_path / "cgroup")
    (tmp_path / "cgroup").write_text(own + "\n" if own else "")
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert cores() == expected


def test_no_more_than_it_may_be_scheduled_on() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)
