"""Datagrams by the batch: ``recvmmsg`` and ``sendmmsg`` of Linux, in memory that is laid out once.

The only door to the C library; standard library only. Of a datagram Python sees its octets and those of the reply.
Who sent it, and to which of our addresses, stays where the kernel wrote it and goes back from there: no address is
made into an object and parsed again, no system call and no exception are spent on each.
"""

from __future__ import annotations

import ctypes
import errno
import socket
from collections.abc import Callable
from typing import Literal

from soadns.nameserver.batch import Batch

BATCH = 16
"""Datagrams of one system call, at most: who is killed amid a batch takes so many questions along. Twice as many would
be no cheaper, since most of the cost is the kernel's way of each reply; with half as many each costs a twentieth more.
"""
MAX_DATAGRAM = 4096
"""Octets of a question that are looked at: whatever is longer is cut off."""

_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", 49)
_PEER, _PEER6 = 16, 28
"""Octets of struct sockaddr_in and struct sockaddr_in6."""
_WORD: Literal["Q", "I"] = "Q" if ctypes.sizeof(ctypes.c_size_t) == 8 else "I"


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct msghdr; sendmsg(2)."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Header(ctypes.Structure):
    """struct mmsghdr: a message, and how many octets came or went; recvmmsg(2)."""

    _anonymous_ = ("message",)
    _fields_ = (("message", _Message), ("length", ctypes.c_uint))


class _Inet(ctypes.Structure):
    """struct cmsghdr with a struct in_pktinfo; ip(7)."""

    _fields_ = (
        ("length", ctypes.c_size_t),
        ("level", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("interface", ctypes.c_int),
        ("ours", ctypes.c_uint32),
        ("destination", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


class _Inet6(ctypes.Structure):
    """struct cmsghdr with a struct in6_pktinfo; ipv6(7)."""

    _fields_ = (
        ("length", ctypes.c_size_t),
        ("level", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("ours", ctypes.c_ubyte * 16),
        ("interface", ctypes.c_int),
        ("padding", ctypes.c_uint32),
    )


# No call here waits, and a worker has one thread: the interpreter's lock is kept. Why a call failed is not asked. What
# they are called with is of C's types and made once: to convert it at each call would take as long as to call.
_libc = ctypes.PyDLL(None)
_recvmmsg, _sendmmsg = _libc.recvmmsg, _libc.sendmmsg


_HEADER = ctypes.sizeof(_Header)


def _try(descriptor: int) -> None:
    """Call both for nothing. Raises OSError where they are not to be had."""
    libc = ctypes.PyDLL(None, use_errno=True)
    for name in ("recvmmsg", "sendmmsg"):
        if getattr(libc, name)(descriptor, None, 0, socket.MSG_DONTWAIT, None) < 0:
            number = ctypes.get_errno()
            if number in (errno.ENOSYS, errno.EPERM):
                raise OSError(number, f"{name} is forbidden here: allow it in the seccomp profile")


class Exchange:
    """Answers what waits at one UDP socket, which must not block. Replies have at most ``reply_size`` octets.

    They leave from the address that was asked, on a socket for all addresses, too (RFC 2181 4).
    """

    def __init__(self, sock: socket.socket, reply_size: int) -> None:
        """Raises OSError where the system calls are not to be had (a seccomp profile that forbids them)."""
        self.unsent = 0
        """Replies that the kernel would not take."""
        _try(sock.fileno())
        self._inet6 = inet6 = sock.family == socket.AF_INET6
        told: type[_Inet] | type[_Inet6] | None = None
        if sock.getsockname()[0] == "0.0.0.0":  # noqa: S104 - a comparison
            told = _Inet
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        elif sock.getsockname()[0] == "::":
            told = _Inet6
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)

        self._batch = Batch(BATCH, max(MAX_DATAGRAM, reply_size))
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._batch.memory))
        self._peers = peers = (ctypes.c_ubyte * _PEER6 * BATCH)()
        vectors = (_Vector * (2 * BATCH))()
        self._told = (told * BATCH)() if told is not None else None
        self._received, self._sent = (_Header * BATCH)(), (_Header * BATCH)()
        for number in range(BATCH):
            asked, replied = vectors[number], vectors[BATCH + number]
            asked.base = replied.base = base + self._batch.begins[number]
            asked.length = MAX_DATAGRAM
            for header, vector in ((self._received[number], asked), (self._sent[number], replied)):
                header.name, header.name_length = ctypes.addressof(peers[number]), _PEER6 if inet6 else _PEER
                header.vectors, header.vector_count = ctypes.addressof(vector), 1
                if self._told is not None:
                    header.control = ctypes.addressof(self._told[number])
                    header.control_length = ctypes.sizeof(self._told[number])
        received_at, sent_at = ctypes.addressof(self._received), ctypes.addressof(self._sent)
        descriptor, at_once = ctypes.c_int(sock.fileno()), ctypes.c_int(0)
        self._receiving = [
            (descriptor, ctypes.c_void_p(received_at), ctypes.c_uint(limit), at_once, ctypes.c_void_p())
            for limit in range(BATCH + 1)
        ]
        """How to receive so many at most."""
        self._sending = [
            [
                (descriptor, ctypes.c_void_p(sent_at + first * _HEADER), ctypes.c_uint(end - first), at_once)
                for end in range(BATCH + 1)
            ]
            for first in range(BATCH + 1)
        ]
        """How to send from one to before another."""

        self._headers = memoryview(self._received).cast("B")
        self._fresh = bytes(self._received)
        """The headers as they have to be before each call, for the kernel writes into them. Where our address is not
        told that changes nothing: those of peers are all equally long.
        """
        self._lengths = self._headers.cast("I")[_Header.length.offset // 4 :: _HEADER // 4]
        self._batch.sizes = memoryview(vectors).cast("B").cast(_WORD)[2 * BATCH + 1 :: 2]
        if self._told is not None and told is not None:
            self._destinations = memoryview(self._told).cast("B")
            self._nowhere = bytes(self._told)
            self._step, self._ours = ctypes.sizeof(told), told.ours.offset
            self._interfaces = self._destinations.cast("i")[told.interface.offset // 4 :: self._step // 4]
            self._open = memoryview(bytes(BATCH * self._interfaces.itemsize)).cast("i")

    def turn(self, answer: Callable[[Batch, list[int]], None], limit: int = BATCH) -> int:
        """Have up to so many datagrams answered, no more than ``BATCH``. Returns how many there were.

        ``answer`` is told how long the first messages of a batch are. None are after an error as well: an ICMP error of
        an earlier reply (RFC 1122 4.1.3.3) says nothing about this socket, and where more waits it is readable again.
        """
        if self._told is not None:
            self._headers[:] = self._fresh
            self._destinations[:] = self._nowhere
        received: int = _recvmmsg(*self._receiving[limit])
        if received <= 0:
            return 0
        if self._told is not None:
            self._leave_interfaces_open(received)
        answer(self._batch, self._lengths[:received].tolist())
        first, silent = 0, self._batch.silent
        if silent:
            for number in silent:
                self._send(first, number)
                first = number + 1
            silent.clear()
        self._send(first, received)
        return received

    def _send(self, first: int, end: int) -> None:
        """Send the replies from one number to before another."""
        while first < end:
            sent = _sendmmsg(*self._sending[first][end])
            if sent <= 0:
                self.unsent += 1
                sent = 1
            first += sent

    def _leave_interfaces_open(self, received: int) -> None:
        """A reply may take another interface than the question, but for one to a link-local address."""
        if not self._inet6:
            self._interfaces[:] = self._open
            return
        octets, at = self._destinations, self._ours
        for number in range(received):
            if octets[at] != 0xFE or octets[at + 1] & 0xC0 != 0x80:
                self._interfaces[number] = 0
            at += self._step
