"""What the supervisor opens: for its children only, and for nobody else."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from soadns.processes.listening import ListenError, check_free
from soadns.processes.supervisor import Supervisor, SupervisorSettings
from tests.ports import free_port


def descriptors() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd")}


@pytest.fixture
def port() -> Iterator[int]:
    """A port that a supervisor with two workers listens on."""
    number = free_port()
    before = descriptors()
    supervisor = Supervisor(
        SupervisorSettings((("127.0.0.1", number),), control=(), workers=2), log=lambda line: None
    )
    mine = {fd for fd in descriptors() - before if os.path.exists(f"/proc/self/fd/{fd}")}
    assert not [fd for fd in mine if os.get_inheritable(fd)], (
        "a program that control runs inherits none of them"
    )
    yield number
    supervisor.close()
    assert descriptors() == before


@pytest.mark.parametrize("option", [None, socket.SO_REUSEADDR])
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_nobody_can_bind_over_it(port: int, kind: int, option: int | None) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        if option is not None:
            other.setsockopt(socket.SOL_SOCKET, option, 1)
        with pytest.raises(OSError, match="Address already in use"):
            other.bind(("127.0.0.1", port))


def test_another_supervisor_is_told_which_setting_to_change(port: int) -> None:
    with pytest.raises(
        ListenError, match=r"Set nameserver.listen to another address, or find who holds it: ss -lunp"
    ):
        check_free("127.0.0.1", port)
    with pytest.raises(ListenError, match=r"can not listen on TCP .* Set http.livez to"):
        check_free("127.0.0.1", port, setting="http.livez", tcp_only=True)


def test_both_families_are_listened_on_at_one_port() -> None:
    number = free_port()
    both = (("0.0.0.0", number), ("::", number))
    supervisor = Supervisor(SupervisorSettings(both, control=(), workers=1), log=lambda line: None)
    try:
        with pytest.raises(ListenError, match=rf"can not listen on UDP \[::\]:{number}: Address already"):
            check_free("::", number)
    finally:
        supervisor.close()


def test_who_holds_the_udp_port_does_not_stand_in_the_way_of_http() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", free_port()))
        check_free("127.0.0.1", other.getsockname()[1], setting="http.listen", tcp_only=True)


def test_an_address_that_is_not_here_is_an_error_too() -> None:
    said = (
        r"192\.0\.2\.1:5353: Cannot assign requested address\. Set nameserver\.listen to another .* ip -brief"
    )
    with pytest.raises(ListenError, match=said):
        check_free("192.0.2.1", 5353)


def test_who_may_not_have_a_port_is_told_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", forbidden)
    with pytest.raises(ListenError, match=r"Set http\.livez to another port: .* CAP_NET_BIND_SERVICE"):
        check_free("127.0.0.1", 53, setting="http.livez", tcp_only=True)
