"""The servers that are compared: on the same zone, pinned to one core; what they spend can be read at any moment."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from soadns import __version__
from tests.scenarios.stage import shop
from tests.scenarios.stage.kubernetes import Etcd
from tests.scenarios.stage.nameservers import CoreDns, Knot, NameServer, Nsd, wire_name
from tests.scenarios.stage.process import parts
from tests.scenarios.stage.soadns import ZONE, Soadns

TICKS = os.sysconf("SC_CLK_TCK")
KEYS_AT_ONCE = 100
"""Of an etcd transaction; it takes 128."""

PER_SERVICE = 1_000
"""Interfaces at most that a Service declares."""


class Dnsmasq(NameServer):
    """dnsmasq on a hosts file: as kube-dns used it, without asking anybody."""

    def __init__(self, folder: Path, zone: str, file: Path) -> None:
        super().__init__("dnsmasq", folder, zone)
        self._run(
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-poll",
            "--user=", "--group=", f"--pid-file={folder}/pid", "--listen-address=127.0.0.1", "--bind-interfaces",
            f"--port={self.port}", f"--addn-hosts={file}", f"--local=/{zone}/", "--local-ttl=30",
            "--max-tcp-connections=1000",
        )  # fmt: skip

    def _loaded(self) -> bool:
        """It has no SOA record to ask for; a name that does not exist is denied once the hosts are read."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.2)
            sock.connect(("127.0.0.1", self.port))
            sock.send(b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + wire_name(f"nobody.{self.zone}") + b"\0\1\0\1")
            with suppress(TimeoutError):
                return sock.recv(4096)[3] & 0xF == 3
            return False


class Contender:
    """One server under measurement: its port, its version, its processes."""

    def __init__(self, name: str, version: str, port: int, pid: int, store: int = 0) -> None:
        self.name = name
        self.version = version
        self.port = port
        self.pid = pid
        self.store = store
        """The process behind the server that keeps its data (etcd), counted apart; or none."""

    def spent(self) -> tuple[float, float]:
        """Seconds of user and system time of all its processes, those that ended included."""
        return spent(self.pid)

    def spent_behind(self) -> float:
        """Seconds of processor time of what keeps its data."""
        return sum(spent(self.store)) if self.store else 0.0


def spent(pid: int) -> tuple[float, float]:
    user = system = 0.0
    for one in tree(pid):
        with suppress(OSError):
            stat = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            # proc(5): utime, stime, and those of children that were waited for.
            user += (int(stat[11]) + int(stat[13])) / TICKS
            system += (int(stat[12]) + int(stat[14])) / TICKS
    return user, system


def tree(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            children = Path(f"/proc/{pid}/task/{thread}/children").read_text()
            for child in children.split():
                yield from tree(int(child))


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """What is started meanwhile runs on this core alone, with all its threads and children."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def contenders(
    folder: Path, names: int, wanted: Iterable[str], core: int
) -> Iterator[tuple[list[Contender], list[str]]]:
    """The wanted servers on one zone of so many names, and the names that have an address.

    Raises AssertionError for one that does not start.
    """
    # An annotation takes a quarter of a MiB at most.
    interfaces = shop.write(folder / "shop", names, services=max(10, names // PER_SERVICE))
    random.Random(names).shuffle(interfaces)
    with ExitStack() as last_to_first:
        with pinned(core):
            soadns = Soadns(
                folder / "soadns", {"static": [{"name": "shop", "paths": [str(folder / "shop")]}]}
            )
            soadns.write_config(nameserver=soadns.settings["nameserver"] | {"workers": 1})
            last_to_first.callback(soadns.stop)
            soadns.start()
        file = _zone_file(soadns, folder)
        addresses = _addresses(file)
        assert len(addresses) >= names, f"of {names} names {len(addresses)} have an address"
        hosts = folder / "hosts"
        hosts.write_text("".join(f"{address} {name}.{ZONE}\n" for name, address in addresses.items()))
        found = []
        for name in wanted:
            with pinned(core):
                if name == "soadns":
                    found.append(Contender(name, __version__, soadns.port, soadns.process.pid))
                    continue
                etcd = None
                if name == "coredns-etcd":
                    etcd = _etcd(folder / "etcd", addresses, last_to_first)
                server = _SERVERS[name](folder / name, file if name != "dnsmasq" else hosts, etcd)
                last_to_first.callback(server.stop)
                server.start()
                found.append(
                    Contender(
                        name, _version(name), server.port, server.process.pid, etcd.process.pid if etcd else 0
                    )
                )
        yield found, interfaces


def _zone_file(soadns: Soadns, folder: Path) -> Path:
    command = [sys.executable, "-m", "soadns", "export", "zonefile", "--config", str(soadns.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert not done.returncode, done.stderr
    file = folder / "zone"
    file.write_text(done.stdout)
    return file


def _addresses(file: Path) -> dict[str, str]:
    """The A records of a zone file below its apex."""
    rows = (line.split() for line in file.read_text().splitlines() if " IN A " in line)
    return {row[0]: row[-1] for row in rows if row[0] != "@"}


def _etcd(folder: Path, addresses: dict[str, str], last_to_first: ExitStack) -> Etcd:
    """An etcd with the addresses as SkyDNS keys: what the CoreDNS of the original system read."""
    etcd = Etcd(folder)
    last_to_first.callback(etcd.process.stop)
    etcd.start()
    held = list(addresses.items())
    for at in range(0, len(held), KEYS_AT_ONCE):
        etcd.put(dict(_skydns(*one) for one in held[at : at + KEYS_AT_ONCE]))
    return etcd


def _skydns(name: str, address: str) -> tuple[str, str]:
    labels = reversed(f"{name}.{ZONE}".lower().split("."))
    return f"/skydns/{'/'.join(labels)}", f'{{"host":"{address}","ttl":30}}'


def _version(name: str) -> str:
    part = {"knot": "knotd"}.get(name, name.partition("-")[0])
    return str(parts()[part]["version"])


_CACHE = "cache { success 262144\n denial 262144\n }"
"""Room for every name: by default it keeps some 10,000."""


def _coredns(plugins: str) -> Callable[[Path, Path, Etcd | None], NameServer]:
    def start(folder: Path, file: Path, etcd: Etcd | None) -> NameServer:
        text = plugins.format(zone=ZONE, file=file, url=etcd.url if etcd else "")
        return CoreDns(folder, ZONE, f"{ZONE}:{{port}} {{\n bind 127.0.0.1\n {text}\n}}\n")

    return start


_FILE = "file {file} {zone}"
_SERVERS: dict[str, Callable[[Path, Path, Etcd | None], NameServer]] = {
    "knot": lambda folder, file, _: Knot(folder, ZONE, file),
    "nsd": lambda folder, file, _: Nsd(folder, ZONE, file),
    "dnsmasq": lambda folder, file, _: Dnsmasq(folder, ZONE, file),
    "coredns-file": _coredns(_FILE),
    "coredns-cache": _coredns(f"{_CACHE.replace('{', '{{').replace('}', '}}')}\n {_FILE}"),
    "coredns-etcd": _coredns("etcd {zone} {{\n path /skydns\n endpoint {url}\n }}"),
}
NAMES = ("soadns", *_SERVERS)
"""All there are, in the order of tables and plots."""
