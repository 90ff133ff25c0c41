"""Faults of our own in parts of the control process: said, counted, and got over where names can be answered without.

Standard library only. Where half of something may be done that answers depend on (``Control._turn``), the process ends
instead, and a successor begins.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable

from soadns.logs import Log

AGAIN_S = 5.0
"""Until a part that failed begins anew."""


def said(error: BaseException) -> str:
    """What an exception says and where it was raised; of a group, each of those that are in it."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(said, error.exceptions))
    text = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    return f"{text} ({frames[0].filename}:{frames[0].lineno})" if frames else text


def note(part: str, error: BaseException, counts: Counter[str], log: Log) -> None:
    """Say and count that a part (``mesh``, ``ads`` ...) failed."""
    counts[part] += 1
    log(f"{part}-failed", level="error", error=said(error))


async def anew(part: str, run: Callable[[], Awaitable[None]], counts: Counter[str], log: Log) -> None:
    """Run a part to its end, or until cancelled; after each fault it begins anew, a while later."""
    while True:
        try:
            await run()
        except Exception as error:
            note(part, error, counts, log)
        else:
            return
        await asyncio.sleep(AGAIN_S)
