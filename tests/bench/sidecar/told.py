"""What came out, for people: the headlines, what was aimed at, the tables, and the section of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.bench.report import PAGE
from tests.bench.sidecar.estate import Estate

BEGIN, END = "<!-- begin: make bench-sidecar -->", "<!-- end: make bench-sidecar -->"
WAYS = {
    "drds": "Envoy, files of rules",
    "ads": "Envoy, ADS",
    "mosn": "MOSN, ADS",
    "istio": "Envoy, istiod (tier 2)",
}
AIMS = (
    ("istio_p99_ms", "from the change to its effect through istiod, p99", 150.0, "ms"),
    ("mosn_p99_ms", "the same by MOSN's RDS", 50.0, "ms"),
    ("drds_p99_ms", "from the renaming of a file of rules to its effect, p99", 50.0, "ms"),
    ("envoy_mb_{estate}", "memory of Envoy", 120.0, "MiB"),
    ("mosn_mb_{estate}", "memory of MOSN", 120.0, "MiB"),
)
MEMORY = {"ads": "envoy", "mosn": "mosn", "every_rule": "envoy_every_rule"}
"""What is told of a sidecar's memory and start, by the part that it is of."""
SAME = 1.5
"""soadns's time for a change may be so many times what it is with a tenth of the interfaces."""
Found = Mapping[str, Any]


def headlines(found: Found, estates: list[Estate]) -> dict[str, Any]:
    """The figures that others look for, in one place; what was not measured is not there."""
    told: dict[str, Any] = {}
    for place, estate in enumerate(estates):
        part = found.get(str(estate), {})
        suffix = "" if not place else f"_{estate}"
        for way in WAYS:
            if (row := part.get(way)) is None:
                continue
            from_file = way == "drds"
            told[f"{way}_p50_ms{suffix}"] = row["from_write_p50_ms" if from_file else "p50_ms"]
            told[f"{way}_p99_ms{suffix}"] = row["from_write_p99_ms" if from_file else "p99_ms"]
            if from_file:
                told[f"drds_change_p50_ms{suffix}"] = row["p50_ms"]
                told[f"drds_change_p99_ms{suffix}"] = row["p99_ms"]
            told[f"{way}_soadns_cpu_ms{suffix}"] = row["cpu_ms_per_change"]["soadns"]
        for way, name in MEMORY.items():
            if way in part:
                told[f"{name}_mb_{estate}"] = part[way].get("mb_after", part[way]["mb"])
                told[f"{name}_start_s_{estate}"] = part[way]["start_s"]
        if (row := part.get("istio")) is not None:
            for tier in ("tier_0", "tier_1"):
                told[f"istiod_cpu_ms_per_push_{tier}_{estate}"] = row[tier]["istiod_cpu_ms_per_push"]
                told[f"istio_envoy_mb_{tier}_{estate}"] = row[tier]["sidecar_mb"]
                told[f"istio_envoy_start_s_{tier}_{estate}"] = row[tier]["start_s"]
            told[f"istio_soadns_mb_{estate}"] = row["soadns"]["mb_after"]
        if "soadns" in part:
            told[f"soadns_mb_{estate}"] = part["soadns"]["mb_after"]
    if (entries := found.get("entries")) is not None:
        told[f"serviceentry_mb_{entries['entries']}"] = entries["sidecar_mb"]
        told[f"serviceentry_start_s_{entries['entries']}"] = entries["start_s"]
        told[f"serviceentry_istiod_mb_{entries['entries']}"] = entries["istiod_mb"]
    return told


def verdicts(told: Found, estates: list[Estate]) -> Iterator[str]:
    """What was aimed at and whether it was met, in Markdown."""
    yield "| aim | found | met |"
    yield "|---|---|---|"
    for name, text, limit, unit in AIMS:
        value = told.get(name.format(estate=estates[0]))
        if value is not None:
            yield f"| {text}: at most {limit:g} {unit} | {value:g} {unit} | {_met(value <= limit)} |"
    for way, text in WAYS.items() if len(estates) > 1 else ():
        small = told.get(f"{way}_soadns_cpu_ms")
        large = told.get(f"{way}_soadns_cpu_ms_{estates[-1]}")
        if small is not None and large is not None:
            yield (
                f"| soadns's time for a change does not grow with what there is ({text}) "
                f"| {small:g} ms at {estates[0]}, {large:g} ms at {estates[-1]} | {_met(large <= SAME * small)} |"
            )


def _met(right: bool) -> str:
    return "yes" if right else "**no**"


def tables(found: Found, estates: list[Estate]) -> Iterator[str]:
    """All that was measured, in Markdown."""
    yield _row(
        "Services x interfaces", "sidecar", "from change to effect, p50 / p99 / max ms", "failed calls, cuts",
        "soadns, ms of a core per change", "sidecar, ms per change", "ready after s", "MiB",
    )  # fmt: skip
    yield "|---|---|---|---|---:|---:|---:|---:|"
    for estate in estates:
        part = found.get(str(estate), {})
        for way, text in WAYS.items():
            if (row := part.get(way)) is None:
                continue
            effect = f"{row['p50_ms']} / {row['p99_ms']} / {row['max_ms']}"
            if "from_write_p50_ms" in row:
                effect += f"; of it from the write {row['from_write_p50_ms']} / {row['from_write_p99_ms']}"
            size = row.get("mb_after") or row["tier_2"]["sidecar_mb"]
            harm = f"{row['failed_calls']}, {row['cut_connections']} ({row['moves']} moves)"
            spent = row["cpu_ms_per_change"]
            yield _row(estate, text, effect, harm, spent["soadns"], spent["sidecar"], row["start_s"], size)
    yield ""
    yield _row(
        "under Istio", "filters", "istiod, ms of a core per push", "Envoy, ms per push", "istiod, MiB", "Envoy, MiB",
        "Envoy ready after s",
    )  # fmt: skip
    yield "|---|---:|---:|---:|---:|---:|---:|"
    rows = [
        (f"{estate}, {tier.replace('_', ' ')}", found[str(estate)]["istio"][tier])
        for estate in estates
        if "istio" in found.get(str(estate), {})
        for tier in ("tier_0", "tier_2", "tier_1")
    ]
    if "entries" in found:
        rows.append((f"{found['entries']['entries']:,} ServiceEntries, no soadns", found["entries"]))
    for text, row in rows:
        spent = row["istiod_cpu_ms_per_push"], row["sidecar_cpu_ms_per_push"]
        yield _row(text, row["filters"], *spent, row["istiod_mb"], row["sidecar_mb"], row.get("start_s"))
    yield ""
    if any("limits" in found.get(str(estate), {}) for estate in estates):
        yield from _limits(found, estates)
        yield ""
    yield _row("soadns itself", "ready after s", "MiB then", "MiB after the moves")
    yield "|---|---:|---:|---:|"
    for estate in estates:
        part = found.get(str(estate), {})
        under_istio = part.get("istio", {})
        for text, own in (
            ("tells Envoys and MOSN", part.get("soadns")),
            ("writes filters of what moves", under_istio.get("soadns")),
            ("writes a filter for each Service", under_istio.get("tier_1", {}).get("soadns")),
        ):
            if own is not None:
                yield _row(f"{estate}, {text}", own["ready_s"], own["mb"], own["mb_after"])
    yield ""
    yield "| calls | under way | p50 µs | p99 µs | calls/s | sidecar, µs of a core per call |"
    yield "|---|---:|---:|---:|---:|---:|"
    for text, costs in _calls(found, estates):
        for count, row in costs.items():
            times = row["p50_us"], row["p99_us"], f"{row['calls_per_s']:,}"
            yield _row(text, count, *times, row.get("cpu_us", ""))


def _limits(found: Found, estates: list[Estate]) -> Iterator[str]:
    """What istiod carries."""
    yield _row(
        "what istiod carries: Services", "filters", "listeners, KiB", "istiod, ms of a core per push", "of the clock",
        "Envoy, ms per push", "from the write of a filter to its effect, p50 / max ms", "istiod, MiB", "Envoy, MiB",
        "Envoy ready after s",
    )  # fmt: skip
    yield "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for estate in estates:
        for name, row in found.get(str(estate), {}).get("limits", {}).items():
            if "broke" in row:
                yield _row(estate.services, name, row["broke"], *[None] * 7)
                continue
            effect = f"{row['p50_ms']} / {row['max_ms']}" if "p50_ms" in row else None
            spent = row["istiod_cpu_ms_per_push"], row["push_ms"], row["sidecar_cpu_ms_per_push"]
            sizes = row["istiod_mb"], row["sidecar_mb"], row["start_s"]
            yield _row(f"{estate.services:,}", name, row["listeners_kb"], *spent, effect, *sizes)


def _row(*cells: object) -> str:
    return f"| {' | '.join('–' if cell is None else str(cell) for cell in cells)} |"


def _calls(found: Found, estates: list[Estate]) -> Iterator[tuple[str, Found]]:
    part = found.get(str(estates[0]), {})
    rows = [
        ("direct", found.get("direct")),
        ("Envoy, `tcp_proxy` (tier 0)", part.get("istio", {}).get("tier_0", {}).get("calls")),
        ("Envoy, `dubbo_proxy` (tier 1)", part.get("istio", {}).get("tier_1", {}).get("calls")),
        ("Envoy, `dubbo_proxy` (ADS)", part.get("ads", {}).get("calls")),
        ("MOSN, Dubbo", part.get("mosn", {}).get("calls")),
    ]
    for text, costs in rows:
        if costs is not None:
            yield text, costs


def publish(found: Found, estates: list[Estate]) -> None:
    """Put the outcome into the page, between its two marks."""
    head, mark, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    assert mark, f"{PAGE} has no {BEGIN}"
    tail = rest.partition(END)[2]
    body = (
        f"Machine: {found['machine']}.",
        "\n".join(verdicts(found, estates)),
        "\n".join(tables(found, estates)),
    )
    PAGE.write_text(f"{head}{BEGIN}\n\n" + "\n\n".join(body) + f"\n\n{END}{tail}", encoding="utf-8")
