"""Servers that names are answered without, as those of sidecars and of other name servers: each begins when it can.

An address that is taken is free again in most cases: what was killed may have left somebody who still has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from soadns import faults
from soadns.figures import Figures
from soadns.logs import Log

AGAIN_S = 3.0
"""Between attempts to begin."""


class Server(Protocol):
    """What begins and ends."""

    async def start(self) -> None:
        """Listen. Raises OSError, and has nothing open then."""

    async def stop(self) -> None: ...  # noqa: D102


S = TypeVar("S", bound=Server)


class Beside(Generic[S]):
    """One server, and the attempts to begin it.

    :param part: ``ads`` or ``transfer``, as metrics call it.
    :param event: what the log calls it that it does not listen.
    :param make: loads and makes it. Raises OSError, after which it is tried again, or ImportError.
    :param extra: of the package, which has what it imports.
    :param then: is given the server once it listens.
    """

    def __init__(
        self,
        part: str,
        event: str,
        make: Callable[[], S],
        figures: Figures,
        *,
        extra: str,
        then: Callable[[S], object] = lambda _: None,
        log: Log,
    ) -> None:
        self._part = part
        self._event = event
        self._make = make
        self._extra = extra
        self._then = then
        self._figures = figures
        self._log = log
        self._server: S | None = None
        self._task: asyncio.Task[None] | None = None
        self._told = ""

    async def start(self) -> None:
        """Begin it, or try on from now on; what stands in the way is logged."""
        self._figures.listening[self._part] = False
        try:
            if not await self._try():
                go_on = faults.anew(self._part, self._go_on, self._figures.faults, self._log)
                self._task = asyncio.create_task(go_on)
        except ImportError as error:
            reason = f"{error}; it wants the extra: pip install 'soadns[{self._extra}]'"
            self._log(self._event, level="error", reason=reason)

    async def stop(self) -> None:
        """End it, or the attempts."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._server is not None:
            await self._server.stop()

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(AGAIN_S)
            if await self._try():
                return

    async def _try(self) -> bool:
        try:
            if self._server is None:
                self._server = self._make()
            await self._server.start()
        except OSError as error:
            reason = error.strerror or str(error)
            if reason != self._told:
                self._told = reason
                self._log(self._event, level="error", reason=reason, hint="it is tried again until it can be")
            return False
        self._figures.listening[self._part] = True
        self._then(self._server)
        return True
