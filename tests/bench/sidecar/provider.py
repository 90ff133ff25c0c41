"""Every pod's provider, in one process: whatever Dubbo call comes, its answer is the address that it arrived at."""

from __future__ import annotations

import asyncio
import sys

from tests.scenarios.stage.dubbowire import HEADER, HESSIAN, OK, VALUE, text


class Provider(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._held = bytearray()
        self._body = VALUE + text(transport.get_extra_info("sockname")[0])

    def data_received(self, data: bytes) -> None:
        held = self._held
        held += data
        answers = []
        while len(held) >= HEADER.size:
            _, _, _, number, length = HEADER.unpack_from(held)
            if len(held) < HEADER.size + length:
                break
            answers.append(HEADER.pack(0xDABB, HESSIAN, OK, number, len(self._body)) + self._body)
            del held[: HEADER.size + length]
        if answers:
            self._transport.write(b"".join(answers))


async def serve(port: int) -> None:
    """At all addresses, for ever."""
    server = await asyncio.get_running_loop().create_server(Provider, "0.0.0.0", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
