"""Many providers' call settings as those of one direct URL: where they differ, the safest. Pure.

``Provider.settings`` holds what a registry's consumers take over from a provider URL. With a registry each provider's
own value holds for the calls to it; behind one name one value holds for all. Where providers differ it is the one
that makes no call fail that succeeded, and none happen twice that happened once; and it is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from soadns.model import UNKEPT, Provider
from soadns.numerals import whole_number

DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "dubbo": {
        "timeout": "1000", "retries": "2", "cluster": "failover", "loadbalance": "random", "payload": "8388608",
        "heartbeat": "60000", "return": "true", "async": "false", "sent": "false", "lazy": "false", "mock": "false",
        "generic": "false",
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

_OF_PROVIDERS = frozenset({"executes", "dubbo.tag", "serialization"})
"""Settings that providers keep to themselves, or that are told elsewhere."""

_DEFAULT = "default."
"""Begins settings above which a consumer's own default stands; so it does in a direct URL (Dubbo up to 2.6)."""

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
    why: tuple[tuple[str, str], ...]
    """What no parameter can carry: a key of ``verdicts.REASONS``, and a text."""
    notes: tuple[str, ...]


def combine(providers: Sequence[Provider], family: str) -> Combined:
    """One value for each setting of any provider; ``family`` is a key of ``DEFAULTS``."""
    # Most providers share one tuple of settings.
    weights = Counter(provider.settings for provider in providers)
    sets = [
        ({key.removeprefix(_DEFAULT): value for key, value in settings}, count)
        for settings, count in weights.items()
    ]
    names = {key for settings in weights for key, _ in settings}
    parameters: Settings = {}
    why: list[tuple[str, str]] = []
    notes: list[str] = []
    for key in sorted({key for settings, _ in sets for key in settings} - {UNKEPT}):
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
            ("several", f"{key}={value} {_TO_SEVERAL[kind, value]}")
            for value in sorted(values)
            if (kind, value) in _TO_SEVERAL
        ]
        if kind == "generic" and len(values) > 1:
            why.append(
                ("generic", "some of its providers take generic calls alone, and a name leads to any of them")
            )
        chosen = _safest(kind, values, DEFAULTS[family].get(kind, ""))
        if len(values) > 1:
            shown = ", ".join(sorted(value or "unset" for value in values))
            notes.append(f"its providers differ in {key} ({shown}): {chosen or 'left out'}")
        if chosen:
            # Where nobody says more than a default, whoever has one of its own goes on by that.
            parameters[key if key in names else f"{_DEFAULT}{key}"] = chosen
    if unkept := [int(settings[UNKEPT]) for settings, _ in sets if UNKEPT in settings]:
        several = "1 more setting" if max(unkept) == 1 else f"{max(unkept)} more settings"
        why.append(
            ("settings", f"its providers say more than can be carried: {several}, or longer than is kept")
        )
    return Combined(parameters, tuple(why), tuple(notes))


_WITH_DOTS = frozenset({"dubbo.tag", "hash.nodes", "hash.arguments", "heartbeat.timeout"})


def _effective(settings: Settings, key: str, kind: str, family: str) -> str:
    """What holds for calls to a provider with these settings: a method's own, its interface's, the default."""
    default = DEFAULTS[family].get(kind, "")
    said = settings.get(key) or (settings.get(kind) if kind != key else "") or default
    # Both frameworks take their default for a timeout that is none (DefaultFuture, AbstractCluster).
    return default if kind == "timeout" and _number(said) <= 0 else said


def _safest(kind: str, values: Counter[str], default: str) -> str:
    """The one value of all, else that which does the least harm where it is not a provider's own."""
    if len(values) == 1:
        return next(iter(values))
    if kind in _IF_ANY:
        return _commonest(Counter({value: count for value, count in values.items() if value}))
    if kind in _AS_USUAL:
        return default
    return _SAFEST.get(kind, _commonest)(values)


def _commonest(values: Counter[str]) -> str:
    return min(values, key=lambda value: (-values[value], value))


def _number(text: str) -> int:
    number = whole_number(text.removeprefix("-"), (1 << 63) - 1) or 0  # Java has no more
    return -number if text.startswith("-") else number


def _largest(values: Counter[str]) -> str:
    return max(values, key=lambda value: (_number(value), value))


def _largest_or_none(values: Counter[str]) -> str:
    """The largest of limits, where 0 and less are no limit."""
    return max(values, key=lambda value: (_number(value) <= 0, _number(value), value))


def _smallest(values: Counter[str]) -> str:
    return min(values, key=lambda value: (_number(value), value))


def _shortest(values: Counter[str]) -> str:
    """The shortest of periods, where 0 and less are never."""
    return min(values, key=lambda value: (_number(value) <= 0, _number(value), value))


def _plainest_cluster(values: Counter[str]) -> str:
    """One that neither repeats a call nor hides that it failed; the default where all of them repeat calls."""
    return "failover" if values.keys() <= _REPEATING else "failfast"


_REPEATING = frozenset({"failover", "failback", "forking", "broadcast", "mergeable"})
"""Clusters by which a call may be made more than once."""

_AS_USUAL = frozenset({"return", "async", "sent", "lazy", "mock", "stub", "cache", "merger", "generic"})
"""Settings by which a caller gets something else than the provider's answer, or not at once.

One provider's word for that would hold for answers of all the others.
"""

_IF_ANY = frozenset({"callback"})
"""Settings without which calls to those who say so fail."""

_SAFEST: Mapping[str, Callable[[Counter[str]], str]] = {
    "timeout": _largest,  # a shorter one would end calls that succeed
    "retries": _smallest,  # more would repeat calls that nobody may repeat
    "connections": _largest,
    "payload": _largest_or_none,
    "heartbeat": _shortest,  # a provider ends connections that are silent for three times its own
    "heartbeat.timeout": _largest,
    "cluster": _plainest_cluster,
}
