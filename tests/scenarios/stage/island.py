"""A network namespace with nothing but a loopback interface that has many addresses, for one process.

``unshare --net python -m tests.scenarios.stage.island ADDRESS... -- COMMAND`` gives the interface its addresses and
becomes the command. The namespace is gone with its last process.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
from ipaddress import IPv6Address, ip_address

from tests.scenarios.stage.process import Process

_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFFLAGS = 0x8916, 0x891C, 0x8914
_IFF_UP = 0x1


def command(addresses: tuple[str, ...], inner: list[str]) -> list[str]:
    """What starts a command where these addresses are."""
    return [
        "unshare",
        "--net",
        sys.executable,
        "-m",
        "tests.scenarios.stage.island",
        *addresses,
        "--",
        *inner,
    ]


def beside(process: Process) -> list[str]:
    """What starts a command where a process is."""
    return ["nsenter", f"--net=/proc/{process.pid}/ns/net"]


def _set_up(addresses: list[str]) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inet,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as inet6,
    ):
        fcntl.ioctl(inet, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
        for number, address in enumerate(map(ip_address, addresses)):
            if isinstance(address, IPv6Address):
                # struct in6_ifreq: address, prefix length, interface.
                prefix = 64 if address.is_link_local else 128
                index = socket.if_nametoindex("lo")
                fcntl.ioctl(inet6, _SIOCSIFADDR, struct.pack("@16sIi", address.packed, prefix, index))
            else:
                # struct ifreq with a sockaddr_in; each further address needs a name of its own.
                alias = f"lo:{number}".encode()
                for request, packed in (
                    (_SIOCSIFADDR, address.packed),
                    (_SIOCSIFNETMASK, b"\xff" * 4),
                ):
                    sockaddr = struct.pack("@HH4s8x", socket.AF_INET, 0, packed)
                    fcntl.ioctl(inet, request, struct.pack("16s16s8x", alias, sockaddr))


if __name__ == "__main__":
    separator = sys.argv.index("--")
    _set_up(sys.argv[1:separator])
    os.execvp(sys.argv[separator + 1], sys.argv[separator + 1 :])
