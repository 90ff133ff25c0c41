"""The listener for replicas that have no snapshot: ``GET /v1/snapshot`` with the bearer token, and nothing else.

What is given is the file, as it is on disk at that moment: with its format, its checksum, what it is of, and what
changed since it was written as a whole. It is at most a few seconds older than what this replica answers.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from aiohttp import web

from soadns.logs import log
from soadns.web.bearer import CHALLENGE, bears
from soadns.web.operations import Running
from soadns.web.replies import reply

AT_ONCE = 4
"""Requests that are answered at once; what is more is to ask again."""
GIVE_S = 60.0
"""How long one may take."""
PIECE = 1 << 18
HEARD = "Soadns-Heard"
"""Header of the answer: how much the file holds, so that the best is chosen before any is read."""
SAVED = "Soadns-Saved"
"""Another one: when the newest of it was saved (Unix seconds), so that what is too old is not read at all."""


class Snapshots:
    """Gives the file at ``path`` to whoever bears the token, once this process knows everything."""

    def __init__(self, running: Running, path: Path, token_file: str) -> None:
        self._running = running
        self._path = path
        self._token_file = token_file
        self._under_way = 0

    def application(self) -> web.Application:
        """The only route."""
        app = web.Application()
        app.router.add_get("/v1/snapshot", self._snapshot, allow_head=False)
        return app

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        count = self._running.figures.snapshots_given
        if not bears(request, self._token_file):
            count["denied"] += 1
            log("snapshot-denied", level="warning", peer=request.remote)
            text = "needs the bearer token of state.peers.tokenFile"
            return web.json_response({"error": text}, status=401, headers=CHALLENGE)
        if not self._running.ready:
            count["unready"] += 1
            return reply({"error": "this replica does not know everything itself"}, status=503)
        if self._under_way >= AT_ONCE:
            count["busy"] += 1
            return reply({"error": f"{AT_ONCE} replicas are given one already"}, status=503)
        self._under_way += 1
        outcome = "broken"
        try:
            async with asyncio.timeout(GIVE_S):
                response, outcome = await self._give(request)
        finally:
            self._under_way -= 1
            count[outcome] += 1
        if outcome == "given":
            log("snapshot-given", peer=request.remote, octets=response.content_length)
        return response

    def _heard(self) -> float:
        """How much the file holds, as ``Snapshot.heard`` has it: what was heard since it was saved is not given."""
        saved, sources = self._running.figures.snapshot_at, self._running.estate.observations.sources.values()
        return sum(
            saved if state.paused_at is None else min(saved, state.paused_at)
            for state in sources
            if state.known
        )

    async def _give(self, request: web.Request) -> tuple[web.StreamResponse, str]:
        """The answer, and what became of it."""
        try:
            # Another one takes its place as a whole. What comes behind it while it is read is not given.
            file = await asyncio.to_thread(self._path.open, "rb")
        except OSError as error:
            return reply({"error": f"there is no snapshot: {error.strerror}"}, status=503), "unready"
        with file:
            response = web.StreamResponse(
                headers={
                    "Content-Type": "application/octet-stream", HEARD: repr(self._heard()),
                    SAVED: repr(self._running.figures.snapshot_at),
                }
            )  # fmt: skip
            left = response.content_length = os.fstat(file.fileno()).st_size
            try:
                await response.prepare(request)
                while left and (piece := await asyncio.to_thread(file.read, min(left, PIECE))):
                    await response.write(piece)
                    left -= len(piece)
                await response.write_eof()
            except ConnectionError:
                # Whoever asks several replicas takes the best that is offered, and breaks the others off.
                return response, "broken"
        return response, "given"
