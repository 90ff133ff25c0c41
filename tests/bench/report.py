"""What came out, for people: a line while it runs, the table, what was aimed at, and the page in ``docs``."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from tests.bench.load import Row

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, PICTURES = DOCS / "performance.md", DOCS / "pictures"
BEGIN, END = "<!-- begin: make bench-dns -->", "<!-- end: make bench-dns -->"
COLUMNS = (
    "asked", "at once", "names", "server", "q/s", "µs user", "µs system", "µs etcd",
    "p50 ms", "p99 ms", "p99.9 ms", "lost",
)  # fmt: skip
BESIDE = (("udp", "knot", 1.0), ("tcp", "knot", 1.5))
"""Over a transport, soadns takes at most so many times what another takes."""
BEYOND = (("coredns-cache", 3.0), ("coredns-etcd", 15.0))
"""soadns answers at least so many times as many questions per second of processor time."""


def cells(row: Row) -> tuple[str, ...]:
    """One row as the table shows it."""
    return (
        f"{row.mix} over {row.transport.upper()}", str(row.concurrency), f"{row.names:,}", row.server, f"{row.qps:,}",
        f"{row.us_user:.1f}", f"{row.us_sys:.1f}", f"{row.us_store:.1f}" if row.us_store else "",
        f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}", f"{row.p999_ms:.2f}", str(row.lost),
    )  # fmt: skip


_WIDTHS = (16, 8, 8, 14, 9, 8, 10, 8, 7, 7, 9, 5)


def line(row: Row) -> str:
    """One row while it runs."""
    return " ".join(
        f"{cell:<{width}}" if number in (0, 3) else f"{cell:>{width}}"
        for number, (cell, width) in enumerate(zip(cells(row), _WIDTHS, strict=True))
    )


def table(rows: list[Row]) -> Iterator[str]:
    """All rows, in Markdown."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|" + "|".join("---" if number in (0, 3) else "---:" for number in range(len(COLUMNS))) + "|"
    for row in rows:
        yield f"| {' | '.join(cells(row))} |"


def verdicts(rows: list[Row]) -> Iterator[str]:
    """What was aimed at and whether it was met, in Markdown: a row for each aim, the worst case in it."""
    yield "| aim | worst case | met |"
    yield "|---|---|---|"
    ours = {_case(row): row for row in rows if row.server == "soadns"}
    for transport, other, times in BESIDE:
        ratios = [
            (ours[_case(row)].us / row.us, row)
            for row in rows
            if row.server == other and row.transport == transport and _case(row) in ours
        ]
        if ratios:
            worst, row = max(ratios, key=lambda one: one[0])
            missed = sum(ratio > times for ratio, _ in ratios)
            told = "yes" if not missed else f"no, in {missed} of {len(ratios)} cases"
            limit = f"at most {times:g} times the time" if times > 1 else "no more time"
            yield (
                f"| over {transport.upper()}, {limit} per query {'of' if times > 1 else 'than'} {other} "
                f"| {worst:.2f} times: {ours[_case(row)].us:.1f} µs beside {row.us:.1f} ({_told(row)}) | {told} |"
            )
    for other, times in BEYOND:
        ratios = [
            (row.us / ours[_case(row)].us, row) for row in rows if row.server == other and _case(row) in ours
        ]
        if ratios:
            worst, row = min(ratios, key=lambda one: one[0])
            missed = sum(ratio < times for ratio, _ in ratios)
            told = "yes" if not missed else f"no, in {missed} of {len(ratios)} cases"
            yield (
                f"| at least {times:g} times as many queries per second of processor time as {other} "
                f"| {worst:.1f} times{_with_store(row, ours[_case(row)])} ({_told(row)}) | {told} |"
            )
    if ours:
        lost = sum(row.lost for row in ours.values())
        yield f"| nothing is lost | {lost} lost in all cases together | {'no' if lost else 'yes'} |"


def _with_store(row: Row, our: Row) -> str:
    """The same with the time of what keeps the other's data."""
    return f", {(row.us + row.us_store) / our.us:.1f} with etcd's own time" if row.us_store else ""


def _case(row: Row) -> tuple[str, int, str, int]:
    return row.transport, row.names, row.mix, row.concurrency


def _told(row: Row) -> str:
    return f"{row.mix} over {row.transport.upper()}, {row.concurrency} at once, {row.names:,} names"


def machine() -> str:
    """What it ran on."""
    model = "unknown processor"
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            model = text.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = platform.release().partition("-")[0]
    python = f"Python {platform.python_version()} ({platform.python_compiler()}, built {platform.python_build()[1]})"
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Linux {kernel}, {python}"


def publish(rows: list[Row], where: str, how: str) -> None:
    """Put the outcome into the page, between its two marks."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    versions = {row.server: row.version for row in rows}
    told = ", ".join(f"{server} {version}" for server, version in versions.items())
    body = (
        f"Machine: {where}.",
        f"Each case: {how}.",
        f"Versions: {told}.",
        "\n".join(verdicts(rows)),
        "\n".join(table(rows)),
    )
    PAGE.write_text(f"{head}{BEGIN}\n\n" + "\n\n".join(body) + f"\n\n{END}{tail}", encoding="utf-8")
