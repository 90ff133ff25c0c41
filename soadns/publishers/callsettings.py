"""Many providers' call settings as those of one direct URL: where they differ, the safest. Pure.

``Provider.settings`` holds what a registry's consumers take over from a provider URL. With a registry each provider's
own value holds for the calls to it; behind one name one value holds for all. Where providers differ it is the one
that makes no call fail that succeeded, and none happen twice that happened once; and it is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from soadns.model import Provider

DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "dubbo": {
        "timeout": "1000", "retries": "2", "cluster": "failover", "loadbalance": "random", "payload": "8388608",
        "heartbeat": "60000",
    },
    "sofa": {"timeout": "3000"},
}  # fmt: skip
"""What consumers do where neither they nor the provider says anything (Dubbo's Constants, SOFARPC's rpc-config)."""

NOT_CARRIED: Mapping[str, str] = {
    "actives": "it limits the calls to one provider, and would limit those to all of them together",
    "sticky": "behind a name there is one provider to choose from",
    "forks": "behind a name there is one provider to choose from",
    "concurrents": "providers limit themselves",
}
"""Settings that mean something else behind a name, and why."""

_OF_PROVIDERS = frozenset({"executes", "dubbo.tag"})
"""Settings that providers keep to themselves, or that are told elsewhere."""

_TO_SEVERAL = {
    ("cluster", "broadcast"): "calls every provider, and a name leads to one",
    ("cluster", "forking"): "calls several providers at once, and a name leads to one",
    ("cluster", "mergeable"): "merges the answers of several groups, and a name leads to one",
    ("loadbalance", "consistenthash"): "sends equal arguments to one provider, and a name does not",
}

Settings = dict[str, str]


@dataclass(frozen=True, slots=True)
class Combined:
    """The parameters of one URL, and what is to be said of them."""

    parameters: Settings
    why: tuple[str, ...]
    """What no parameter can carry."""
    notes: tuple[str, ...]


def combine(providers: Sequence[Provider], family: str) -> Combined:
    """One value for each setting of any provider; ``family`` is a key of ``DEFAULTS``."""
    # Most providers share one tuple of settings.
    weights = Counter(provider.settings for provider in providers)
    sets = [(dict(settings), count) for settings, count in weights.items()]
    parameters: Settings = {}
    why: list[str] = []
    notes: list[str] = []
    for key in sorted({key for settings, _ in sets for key in settings}):
        kind = key.rpartition(".")[2] if key not in _WITH_DOTS else key
        if kind in _OF_PROVIDERS:
            continue
        values = Counter[str]()
        for settings, count in sets:
            values[_effective(settings, key, kind, family)] += count
        if kind in NOT_CARRIED:
            told = ", ".join(sorted(value for value in values if value))
            notes.append(f"{key}={told} is left out: {NOT_CARRIED[kind]}")
            continue
        why += [
            f"{key}={value} {_TO_SEVERAL[kind, value]}"
            for value in sorted(values)
            if (kind, value) in _TO_SEVERAL
        ]
        chosen = _SAFEST.get(kind, _commonest)(values)
        if len(values) > 1:
            shown = ", ".join(sorted(value or "unset" for value in values))
            notes.append(f"its providers differ in {key} ({shown}): {chosen or 'left out'}")
        if chosen:
            parameters[key] = chosen
    return Combined(parameters, tuple(why), tuple(notes))


_WITH_DOTS = frozenset({"dubbo.tag", "hash.nodes", "hash.arguments", "heartbeat.timeout"})


def _effective(settings: Settings, key: str, kind: str, family: str) -> str:
    """What holds for calls to a provider with these settings: a method's own, its interface's, the default."""
    default = DEFAULTS[family].get(kind, "")
    return settings.get(key) or (settings.get(kind) if kind != key else "") or default


def _commonest(values: Counter[str]) -> str:
    return min(values, key=lambda value: (-values[value], value))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.lstrip("-").isdigit() and len(text) < 12 else 0


def _largest(values: Counter[str]) -> str:
    return max(values, key=lambda value: (_number(value), value))


def _smallest(values: Counter[str]) -> str:
    return min(values, key=lambda value: (_number(value), value))


def _plainest_cluster(values: Counter[str]) -> str:
    """One that neither repeats a call nor hides that it failed; else the default."""
    if len(values) == 1:
        return next(iter(values))
    return "failfast" if "failfast" in values else "failover"


_SAFEST: Mapping[str, Callable[[Counter[str]], str]] = {
    "timeout": _largest,  # a shorter one would end calls that succeed
    "retries": _smallest,  # more would repeat calls that nobody may repeat
    "connections": _largest,
    "payload": _largest,
    "heartbeat": _smallest,  # a provider ends connections that are silent for three times its own
    "heartbeat.timeout": _largest,
    "cluster": _plainest_cluster,
}
