"""What ``tests/data/registry`` holds: registry trees of real frameworks, and what each of their nodes has to end as.

The README there explains both notations. Everything that is compared is a line of text, so that a failure reads
as a difference of two lists of providers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType

from soadns.model import Override, Provider
from soadns.sources import dubbo, sofa

DATA = Path(__file__).parent / "data" / "registry"
TREES = ("dubbo-2.6.12", "dubbo-2.7.23", "dubbo-3.2.16", "sofarpc-5.10.1")
SEQUENCES = ("dubbo-3.3.5", "sofarpc-5.12.0")
CREDENTIALS = ("digest", "reg:example")
"""The user who owns the nodes marked ``reg``."""


def dialect_of(capture: str) -> ModuleType:
    """The dialect of a captured file."""
    return sofa if capture.startswith("sofarpc") else dubbo


# ------------------------------------------------------------------------------------------------ what was captured


@dataclass(frozen=True)
class Node:
    """A znode of a tree."""

    kind: str
    owner: str
    path: str

    @property
    def leaf(self) -> tuple[str, str, str, str] | None:
        """(root, child of the root, category, name) of a node where providers, consumers or rules are."""
        root, *rest = self.path.rsplit("/", 3)
        if len(rest) < 3 or rest[1] not in ("providers", "configurators", "routers", "consumers"):
            return None
        return root, rest[0], rest[1], rest[2]


@dataclass(frozen=True)
class Step:
    """An event of a sequence; for a mark ``path`` is its text."""

    seconds: float
    what: str
    path: str


@cache
def trees(capture: str) -> dict[str, list[Node]]:
    """The snapshots of a tree file, by name."""
    found: dict[str, list[Node]] = {}
    for line in _lines(DATA / f"{capture}.tree"):
        if line.startswith("snapshot "):
            nodes = found.setdefault(line.split()[1], [])
        else:
            nodes.append(Node(*line.split()))
    return found


@cache
def sequence(capture: str) -> list[Step]:
    """The events of a sequence file, in order."""
    steps = (line.split(maxsplit=2) for line in _lines(DATA / f"{capture}.sequence"))
    return [Step(float(seconds), what, rest) for seconds, what, rest in steps]


@cache
def leaves() -> list[tuple[str, str, str, str]]:
    """(capture, child, category, name) of every leaf of all files."""
    paths = [(capture, node) for capture in TREES for nodes in trees(capture).values() for node in nodes]
    for capture in SEQUENCES:
        paths += [(capture, Node("", "", step.path)) for step in sequence(capture) if step.what != "mark"]
    found = ((capture, node.leaf) for capture, node in paths)
    return sorted({(capture, *leaf[1:]) for capture, leaf in found if leaf is not None})


# ------------------------------------------------------------------------------------------------ what is expected


@dataclass
class Expected:
    """What one root holds in one snapshot."""

    providers: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    empty: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)

    def lines(self) -> list[str]:
        """All that a source makes of it, as ``lines_of`` writes it."""
        rejected = [f"rejected {line}" for line in self.rejected]
        return sorted([*self.providers, *rejected, *(f"override {line}" for line in self.overrides)])


@cache
def expected_trees(capture: str) -> dict[tuple[str, str], Expected]:
    """What each (snapshot, root) of a tree file holds."""
    found: dict[tuple[str, str], Expected] = {}
    always: list[str] = []
    listens: dict[str, list[str]] = {}
    for line in _lines(DATA / f"{capture}.expected"):
        word, *rest = line.split()
        if word == "=":
            snapshot, always, listens = rest[0], [], {}
        elif word == "always":
            always = rest
        elif word == "listens":
            listens[rest[0]] = rest[1:]
        elif word == "in":
            now = found[snapshot, rest[0]] = Expected()
        elif word == "rejected":
            now.rejected.append(" ".join(rest))
        elif word == "override":
            now.overrides.append(" ".join(rest))
        elif word == "ignored":
            now.ignored.append(" ".join(rest[:2]))
        elif word in ("empty", "skipped"):
            getattr(now, word).update(rest)
        else:
            group, version, whose, *attributes = rest
            application, _, place = whose.partition("@")
            for url in [place] if place else listens[application]:
                now.providers.append(_line(word, group, version, application, url, [*always, *attributes]))
    return found


@dataclass
class Life:
    """What a sequence shows: the providers at each mark, in order; None where there is no root yet."""

    root: str = ""
    skipped: set[str] = field(default_factory=set)
    started: dict[str, range] = field(default_factory=dict)
    """Place where a process listens → when it may have started, of the processes at this mark."""
    marks: list[tuple[str, list[str] | None]] = field(default_factory=list)


@cache
def expected_life(capture: str) -> Life:
    """What a sequence file has to look like at each of its marks.

    The lines of the providers name the process that started them, ``B2``, instead of the time when it did.
    """
    life, always, provides = Life(), [], []
    processes: dict[str, tuple[str, list[str]]] = {}
    for line in _lines(DATA / f"{capture}.expected"):
        word, rest = line.split(maxsplit=1)
        if word == "root":
            life.root = rest
        elif word == "skipped":
            life.skipped.update(rest.split())
        elif word == "always":
            always = rest.split()
        elif word == "process":
            name, application, *places, times = rest.split()
            first, last = times.split("..")
            life.started[name] = range(int(first), int(last))
            processes[name] = (application, places)
        elif word == "provides":
            provides.append(rest.split())
        else:
            mark, state = (part.strip() for part in rest.split("|"))
            names = [] if state == "nothing" else state.split()
            lines = None if state == "no root" else [
                _line(*what, application, url, [*always, f"by={name}"])
                for name in names
                for application, places in [processes[name]]
                for url in places
                for what in provides
            ]  # fmt: skip
            life.marks.append((mark, lines if lines is None else sorted(lines)))
    return life


# ------------------------------------------------------------------------------------------------ what soadns saw


def lines_of(values: Iterable[Provider | Override], life: Life | None = None) -> list[str]:
    """Observations as lines, sorted."""
    return sorted(_describe(value, life) for value in values)


def rejection(interface: str, leaf: str, reason: str) -> str:
    """A rejection as a line: the leaf is shown up to its port."""
    scheme, rest = leaf.replace("%3A", ":").replace("%2F", "/").split("://")
    place = rest.split("/")[0].replace("%25", "%").replace("%5B", "[").replace("%5D", "]")
    return f"rejected {interface} {scheme}://{place} {reason}"


def _describe(value: Provider | Override, life: Life | None) -> str:
    if isinstance(value, Override):
        return f"override {value.interface_name} {value.host or '0.0.0.0'}:{value.port}"
    attributes = [f"{key}={setting}" for key, setting in value.settings]
    if value.path:
        attributes.append(f"path={value.path}")
    if value.serialization:
        attributes.append(f"serialization={','.join(value.serialization)}")
    if life is not None:
        names = [name for name, times in life.started.items() if value.timestamp in times]
        attributes += [f"by={name}" for name in names] or [f"by={value.timestamp}"]
    words = {
        "disabled": not value.enabled,
        "static": not value.dynamic,
        "tls": value.tls,
        "token": value.token,
        "undated": not value.timestamp,
    }
    attributes += [word for word, holds in words.items() if holds]
    host = f"[{value.host}]" if ":" in value.host else value.host
    name, group, version = value.interface
    url = f"{value.protocol}://{host}:{value.port}"
    return _line(name, group or "-", version or "-", value.application, url, attributes)


def _line(
    interface: str, group: str, version: str, application: str, url: str, attributes: Iterable[str]
) -> str:
    return " ".join([interface, group, version, application, url, *sorted(attributes)])


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line
