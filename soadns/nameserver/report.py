"""What a worker reports of itself, as the body of a ``STATS`` frame. Pure; standard library only.

All counts are of one process since it began: a report that is lost is made up for by the next one. However many zones
and types strangers ask for, a report fits one message of a SOCK_SEQPACKET pair (some 200 KiB): replies are packed.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from struct import Struct, error

from soadns.nameserver.frames import FrameError

UDP, TCP = "udp", "tcp"
INET, INET6 = 1, 2
"""Address families as IANA numbers them, and CoreDNS's metrics show them."""
Reply = tuple[str, str, int, int, int]
"""Zone (empty for none), transport, address family, QTYPE (0 for rare ones), RCODE."""
_ROW = Struct("!BBQ")
"""QTYPE, RCODE, count."""


@dataclass(frozen=True, slots=True)
class Report:
    """One worker process as it stands."""

    pid: int
    replies: Mapping[Reply, int]
    durations: Mapping[str, tuple[list[int], float]]
    """By zone: slots of ``figures.Durations``, and seconds."""
    udp: int = 0
    """Messages received."""
    tcp: int = 0
    dropped: int = 0
    malformed: int = 0
    unsent: int = 0
    refused: int = 0
    connections: int = 0
    names: int = 0
    memory: int = 0
    """Octets resident."""
    overflowed: int = 0
    processor_s: float = 0.0
    handshakes: Mapping[str, int] = field(default_factory=dict)
    """Those of TLS that failed, by why."""
    certificate_refused: bool | None = None
    """Whether what its files hold now can not be used; None: no TLS."""

    def encode(self) -> bytes:
        """As octets."""
        groups: dict[tuple[str, str, int], bytearray] = {}
        for (zone, proto, family, kind, rcode), count in self.replies.items():
            groups.setdefault((zone, proto, family), bytearray()).extend(_ROW.pack(kind, rcode, count))
        packed = {group: bytes(rows) for group, rows in groups.items()}
        rest = tuple(getattr(self, field.name) for field in _REST)
        return marshal.dumps((self.pid, packed, dict(self.durations), *rest))

    @classmethod
    def decode(cls, body: bytes) -> Report:
        """What ``encode`` made. Raises FrameError."""
        try:
            pid, packed, durations, *rest = marshal.loads(body)  # noqa: S302 - our own processes, see frames
            replies = {
                (*group, kind, rcode): count
                for group, rows in packed.items()
                for kind, rcode, count in _ROW.iter_unpack(rows)
            }
            return cls(pid, replies, durations, *rest)
        except (ValueError, EOFError, TypeError, AttributeError, error) as fault:
            raise FrameError(f"unreadable report: {fault}") from None


_REST = fields(Report)[3:]
