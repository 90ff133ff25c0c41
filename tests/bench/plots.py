"""Three plots of one run: what a query costs, how throughput and latency bear up, and what each factor does."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from tests.bench.load import Row

mpl.use("Agg")

COLOURS = {
    "soadns": "#d1495b",
    "knot": "#00798c",
    "nsd": "#3a9d5d",
    "dnsmasq": "#8d6a9f",
    "coredns-file": "#c9a227",
    "coredns-cache": "#e08e45",
    "coredns-etcd": "#7a6f5d",
}
LABELS = {
    "knot": "Knot", "nsd": "NSD", "coredns-file": "CoreDNS file", "coredns-cache": "CoreDNS cache + file",
    "coredns-etcd": "CoreDNS etcd",
}  # fmt: skip
BASE = ("udp", "A", 10_000, 100)
_STYLE = {
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.grid": True, "grid.color": "#e6e6e6", "axes.axisbelow": True,
    "figure.dpi": 120, "savefig.bbox": "tight", "legend.frameon": False,
}  # fmt: skip


def draw(rows: list[Row], folder: Path) -> list[Path]:
    """Write what the rows suffice for; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with plt.rc_context(_STYLE):
        for name, plot in (("cost", _cost), ("concurrency", _concurrency), ("factors", _factors)):
            if plot(rows):
                made.append(folder / f"dns-{name}.png")
                plt.savefig(made[-1])
            plt.close()
    return made


def _label(server: str) -> str:
    return LABELS.get(server, server)


def _cost(rows: list[Row]) -> bool:
    """Bars of user and system time per query in the base case."""
    base = [row for row in rows if _key(row) == BASE]
    if not base:
        return False
    base.sort(key=lambda row: row.us + row.us_store, reverse=True)
    _, axes = plt.subplots(figsize=(8, 0.5 * len(base) + 1.2))
    names = [_label(row.server) for row in base]
    colours = [COLOURS[row.server] for row in base]
    left = [0.0] * len(base)
    parts = (
        ("user", [row.us_user for row in base], 1.0),
        ("kernel", [row.us_sys for row in base], 0.55),
        ("etcd behind it", [row.us_store for row in base], 0.25),
    )
    for _, values, alpha in parts:
        axes.barh(names, values, left=left, color=colours, alpha=alpha, height=0.65)
        left = [at + value for at, value in zip(left, values, strict=True)]
    for number, row in enumerate(base):
        etcd = f" + {row.us_store:.0f} etcd" if row.us_store else ""
        told = f"  {row.us:.1f} µs{etcd}"
        axes.text(
            left[number], number, told, va="center", weight="bold" if row.server == "soadns" else "normal"
        )
    for label in axes.get_yticklabels():
        if label.get_text() == "soadns":
            label.set_weight("bold")
    axes.set_xlim(0, max(left) * 1.2)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(
        "microseconds of processor per query (dark: the program, light: the kernel, lightest: etcd)"
    )
    axes.set_title("What an answer costs: A over UDP, 10,000 names, 100 at once")
    return True


def _concurrency(rows: list[Row]) -> bool:
    """Throughput and the slowest thousandth over what is under way at once."""
    base = [row for row in rows if _key(row)[:3] == BASE[:3]]
    if len({row.concurrency for row in base}) < 2:
        return False
    _, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for server in dict.fromkeys(row.server for row in base):
        own = sorted((row for row in base if row.server == server), key=lambda row: row.concurrency)
        at = [row.concurrency for row in own]
        look = {
            "color": COLOURS[server], "label": _label(server), "marker": "o", "markersize": 4,
            "linewidth": 2.6 if server == "soadns" else 1.4, "zorder": 3 if server == "soadns" else 2,
        }  # fmt: skip
        left.plot(at, [row.qps / 1000 for row in own], **look)
        right.plot(at, [row.p999_ms for row in own], **look)
    for axes in (left, right):
        axes.set_xscale("log")
        _ticks(axes, sorted({row.concurrency for row in base}))
        axes.set_xlabel("questions under way at once")
    left.set_ylim(bottom=0)
    left.set_ylabel("thousand answers a second")
    left.set_title("Throughput, one core")
    right.set_yscale("log")
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())
    right.set_ylabel("p99.9 latency, ms")
    right.set_title("The slowest thousandth, at half load or 20,000 q/s")
    right.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return True


def _ticks(axes: Axes, values: list[int]) -> None:
    axes.set_xticks(values, [str(value) for value in values])
    axes.minorticks_off()


def _factors(rows: list[Row]) -> bool:
    """Processor time per query of each case that differs from the base in one thing."""
    cases = {
        BASE: "base", ("udp", "A", 100, 100): "100 names", ("udp", "A", 100_000, 100): "100,000 names",
        ("udp", "AAAA", 10_000, 100): "AAAA\n(no data)", ("udp", "search", 10_000, 100): "search list\n(¾ denied)",
        ("udp", "EDNS", 10_000, 100): "EDNS", ("tcp", "A", 10_000, 100): "TCP",
    }  # fmt: skip
    held = {(row.server, _key(row)): row.us for row in rows if _key(row) in cases}
    shown = [case for case in cases if any(key == case for _, key in held)]
    servers = [server for server in COLOURS if any(one == server for one, _ in held)]
    if len(shown) < 2:
        return False
    _, axes = plt.subplots(figsize=(11, 4.2))
    width = 0.84 / len(servers)
    for number, server in enumerate(servers):
        at = [place - 0.42 + (number + 0.5) * width for place in range(len(shown))]
        values = [held.get((server, case), 0.0) for case in shown]
        axes.bar(at, values, width * 0.92, color=COLOURS[server], label=_label(server))
        if server == "soadns":
            for place, value in zip(at, values, strict=True):
                axes.text(place, value * 1.06, f"{value:.1f}", ha="center", fontsize=8, color=COLOURS[server])
    axes.set_yscale("log")
    axes.set_yticks([5, 10, 20, 50, 100, 200], ["5", "10", "20", "50", "100", "200"])
    axes.set_ylim(bottom=2)
    axes.minorticks_off()
    axes.set_xticks(range(len(shown)), [cases[case] for case in shown])
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("µs of processor per query")
    axes.set_title("One factor at a time")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return True


def _key(row: Row) -> tuple[str, str, int, int]:
    return row.transport, row.mix, row.names, row.concurrency
