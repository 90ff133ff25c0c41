"""What the move of an interface to another Service is held to: what is not as ``promises.py`` has it, line by line.

A caller that made few calls, or was answered by anybody but the two pods, has proved nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.scenarios.stage.following import Followed
from tests.scenarios.stage.promises import BY_THEMSELVES, FOLLOWS_S, GONE, NEVER, PART_MADE, REFUSED
from tests.scenarios.stage.residents import GONE_S, KEPT_S, PAUSE_S


def kept(key: str, old: str, new: str, seen: Followed) -> list[str]:
    """The old pods serve on: who follows is there in time, and the others stay; no call fails but in that moment."""
    found = list(_unseen(seen, KEPT_S, {old, new} if key in BY_THEMSELVES else {old}))
    if (seen.after_s is not None) != (key in BY_THEMSELVES):
        found.append(f"{'followed' if seen.after_s is not None else 'stayed'} while the old pods served")
    if seen.failed > REFUSED.get(key, 0):
        found.append(f"{seen.failed} calls failed while the old pods served")
    if seen.after_s is not None:
        found += _over_new_connections(key, seen)
        if seen.after_s > FOLLOWS_S.get(key, 0.0):
            found.append(f"followed after {seen.after_s} s")
    return found


def gone(key: str, old: str, new: str, seen: Followed) -> list[str]:
    """The old pods end: who follows is there in time, and few calls fail."""
    found = list(_unseen(seen, GONE_S, {old, new}))
    if (seen.after_s is None) != (key in NEVER):
        found.append(f"{'lost' if seen.after_s is None else 'followed'} when the old pods ended")
    if seen.after_s is None:
        return found + [f"answered by {name}" for name in seen.by if name == new]
    promised = GONE.get(key)
    if promised is None or seen.after_s > promised.within_s:
        found.append(f"followed after {seen.after_s} s")
    if promised is None or seen.failed > promised.fails:
        found.append(f"{seen.failed} calls failed when the old pods ended")
    return [*found, *_over_new_connections(key, seen)]


def restarted(key: str, new: str, seen: Followed) -> list[str]:
    """Who never follows does when it is started anew."""
    found = list(_unseen(seen, 0.0, {new}))
    if seen.after_s is None:
        found.append("did not follow when it was started anew")
    if seen.failed:
        found.append(f"{seen.failed} calls failed when it was started anew")
    return [*found, *_over_new_connections(key, seen)]


def _unseen(seen: Followed, within: float, pods: set[str]) -> Iterator[str]:
    """Calls that were not made, and answers of strangers."""
    least = 1 if seen.after_s is not None else max(1, int(PART_MADE * within / PAUSE_S))
    if seen.calls < least:
        yield f"{seen.calls} calls, of at least {least}"
    if sum(seen.by.values()) + seen.failed != seen.calls:
        yield f"{sum(seen.by.values())} answered and {seen.failed} failed, of {seen.calls}"
    if strangers := sorted(seen.by.keys() - pods):
        yield f"answered by {', '.join(strangers)}"


def _over_new_connections(key: str, seen: Followed) -> Iterator[str]:
    """REST has one for each call, and none between calls."""
    if not seen.opened and not key.endswith("/http"):
        yield "no connection was opened to the new Service"
