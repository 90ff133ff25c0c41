"""Other replicas, asked for the snapshot that is missing here.

All of them are asked at once. Each says in its first line what it has; the one that knows most is read to its end,
then the next where that does not hold. Nothing here waits for anybody for long: a replica whose peers are no better
off starts without, and asks again until it knows everything by itself or somebody can help.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite

import aiohttp

from soadns.addresses import ANY, parse_address, print_address
from soadns.figures import Figures
from soadns.logs import Log
from soadns.persistence import snapshotfile
from soadns.persistence.believing import Doubt, Own, check, check_age
from soadns.persistence.snapshot import Snapshot
from soadns.persistence.snapshotfile import SnapshotError
from soadns.settings import credentials
from soadns.settings.credentials import CredentialError
from soadns.settings.peertls import PeerTls
from soadns.settings.stateconfig import PeersConfig
from soadns.web.snapshots import HEARD, SAVED

RESOLVE_S = 3.0
HEAD_S = 3.0
"""How long a replica may take to its first line; all are waited for at the same time."""
BODY_S = 60.0
"""How long all of it may take, of one replica."""
MOST_OCTETS = 1 << 30
"""Of a snapshot, with what changed since: some million providers."""
MOST_PEERS = 64
AGAIN_S = 5.0
"""Between two rounds, while this replica does not know everything."""
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Offer:
    """A replica that has a snapshot, read up to its first line."""

    peer: str
    heard: float
    """How much the file holds (``Snapshot.heard``), by what it says."""
    line: bytes
    """The first one."""
    response: aiohttp.ClientResponse


class Peers:
    """The replicas of the settings. What they say is noted in ``figures``, and logged when it changes."""

    def __init__(
        self,
        settings: PeersConfig,
        tls: PeerTls,
        own: Own,
        figures: Figures,
        *,
        log: Log,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._own = own
        self._figures = figures
        self._log = log
        self._now = now
        self._said: dict[str, str] = {}
        """The last problem with each replica, and with each name."""

    @property
    def configured(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self._settings.hosts)

    async def find(self) -> Snapshot | None:
        """The newest snapshot that may be believed; None where nobody has one now.

        It counts as not whole until this replica has found it to be (``ready``).
        """
        addresses = await self._addresses()
        timeout = aiohttp.ClientTimeout(total=None)
        async with contextlib.AsyncExitStack() as opened:
            session = await opened.enter_async_context(aiohttp.ClientSession(timeout=timeout))
            asked = await asyncio.gather(
                *(self._ask(session, opened, address, name) for address, name in addresses.items())
            )
            offers = [offer for offer in asked if offer is not None]
            for offer in sorted(offers, key=lambda each: (-each.heard, each.peer)):
                try:
                    return replace(await self._take(offer), ready=False)
                except Doubt as doubt:
                    self._doubted(offer.peer, doubt)
        return None

    async def follow(self, needed: Callable[[], bool], take: Callable[[Snapshot], bool]) -> None:
        """Ask again and again while that is needed, until what is found is taken."""
        while needed():
            await asyncio.sleep(AGAIN_S)
            if needed() and (found := await self.find()) is not None and needed() and take(found):
                return

    # ------------------------------------------------------------------ whom

    async def _addresses(self) -> dict[Address, str]:
        """Where replicas listen, less this one, and by which name of the settings: their certificates are for that."""
        loop = asyncio.get_running_loop()
        found: dict[Address, str] = {}
        for text in self._settings.hosts:
            host, _, port = text.rpartition(":")
            host = host.removeprefix("[").removesuffix("]")
            try:
                async with asyncio.timeout(RESOLVE_S):
                    rows = await loop.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
            except TimeoutError:
                self._problem(host, f"not resolved within {RESOLVE_S:g} s")
            except UnicodeError as error:  # of IDNA
                self._problem(host, str(error), expected=False)
            except OSError as error:
                # No replica is ready yet: its name has no address.
                self._problem(host, error.strerror or str(error))
            else:
                self._said.pop(host, None)
                found |= {(str(row[4][0]), int(row[4][1])): host for row in rows}
        own = parse_address(self._settings.listen)
        others = [each for each in found.items() if own is None or not is_own(each[0], own)]
        return dict(others[:MOST_PEERS])

    # ------------------------------------------------------------------ what they have

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        opened: contextlib.AsyncExitStack,
        address: Address,
        name: str,
    ) -> Offer | None:
        peer = print_address(*address)
        try:
            async with asyncio.timeout(HEAD_S):
                response = await self._get(session, peer, name)
                opened.callback(response.close)
                return await self._offer(peer, response)
        except Doubt as doubt:
            self._doubted(peer, doubt)
        except TimeoutError:
            self._doubted(peer, Doubt("silent", f"no answer within {HEAD_S:g} s"))
        except aiohttp.ClientConnectorCertificateError as error:
            reason = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
            text = f"its certificate is not by state.peers.tls.ca, or not for {name}: {reason}"
            self._doubted(peer, Doubt("untrusted", text))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._doubted(peer, Doubt("silent", str(error)))
        return None

    async def _get(self, session: aiohttp.ClientSession, peer: str, name: str) -> aiohttp.ClientResponse:
        """Its answer. Raises aiohttp.ClientError, and OSError."""
        headers, tls = self._headers(), self._tls.asking()
        if tls is None:
            return await session.get(f"http://{peer}/v1/snapshot", headers=headers, allow_redirects=False)
        return await session.get(
            f"https://{peer}/v1/snapshot",
            headers=headers,
            allow_redirects=False,
            ssl=tls,
            server_hostname=name,
        )

    async def _offer(self, peer: str, response: aiohttp.ClientResponse) -> Offer:
        """What a replica has. Raises Doubt."""
        if response.status != 200:
            word = {401: "denied", 503: "unready"}.get(response.status, "silent")
            text = (await response.content.read(1_000)).decode("utf-8", "replace").strip()
            raise Doubt(word, f"HTTP {response.status} {text}")
        if (response.content_length or 0) > MOST_OCTETS:
            raise Doubt("oversized", f"it has {response.content_length} octets")
        try:
            line = await response.content.readuntil(b"\n")
            head = snapshotfile.head(line)
        except ValueError:  # a line that is too long
            raise Doubt("damaged", "it does not begin with a snapshot header") from None
        except SnapshotError as error:
            raise Doubt("damaged", str(error)) from None
        # A replica of an older version has it written as a whole each time, and has no such header.
        saved = max(head.saved, _number(response, SAVED))
        check_age(saved, self._own, self._now())
        return Offer(peer, _at_most(_number(response, HEARD), saved), line, response)

    def _headers(self) -> dict[str, str]:
        # Read each time: a rotated secret holds at once. One that can not be read is denied, and said there.
        try:
            token = credentials.of_bearer(self._settings.token_file)
        except CredentialError as error:
            self._problem(self._settings.token_file, str(error), expected=False)
            token = ""
        else:
            self._said.pop(self._settings.token_file, None)
        return {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}

    async def _take(self, offer: Offer) -> Snapshot:
        """All of it. Raises Doubt."""
        octets = bytearray(offer.line)
        try:
            async with asyncio.timeout(BODY_S):
                async for piece in offer.response.content.iter_any():
                    octets += piece
                    if len(octets) > MOST_OCTETS:
                        raise Doubt("oversized", f"it has more than {MOST_OCTETS} octets")
        except TimeoutError:
            raise Doubt("silent", f"not all of it came within {BODY_S:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Doubt("silent", f"it ended too soon: {error}") from None
        try:
            found = await asyncio.to_thread(snapshotfile.decode, bytes(octets))
        except SnapshotError as error:
            raise Doubt("damaged", str(error)) from None
        check(found, self._own, self._now())
        self._figures.snapshots_asked["taken"] += 1
        names = sum(len(zone.states) for zone in found.zones)
        age = round(self._now() - found.saved, 1)
        self._log("snapshot-taken", peer=offer.peer, names=names, age_s=age, octets=len(octets))
        return found

    def _doubted(self, peer: str, doubt: Doubt) -> None:
        self._figures.snapshots_asked[doubt.word] += 1
        self._problem(peer, str(doubt), expected=doubt.word in ("unready", "silent"))

    def _problem(self, whose: str, text: str, *, expected: bool = True) -> None:
        if self._said.get(whose) != text:
            self._said[whose] = text
            self._log("snapshot-not-taken", level="info" if expected else "warning", peer=whose, reason=text)


def _at_most(heard: float, saved: float) -> float:
    """What a replica says that it heard, each source no later than its file was saved.

    An older version says what its process heard since, too. A sum of moments tells by itself of how many sources it is.
    """
    return min(heard, round(heard / saved) * saved) if saved > 0 else heard


def _number(response: aiohttp.ClientResponse, name: str) -> float:
    """The number in a header; 0 where there is none."""
    try:
        found = float(response.headers.get(name, ""))
    except ValueError:
        return 0.0
    return found if isfinite(found) else 0.0


def is_own(address: Address, listening: Address) -> bool:
    """Whether a replica that listens there is asked at that address."""
    host, port = address
    if port != listening[1]:
        return False
    if listening[0] not in ANY:
        return host == listening[0]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, 0))  # which only an address of this host lets
        except OSError:
            return False
    return True
