"""Other name servers: CoreDNS as people set it up; Knot and NSD on a zone file, set to what soadns promises.

Both cap EDNS replies at 1232 octets, NSID and CHAOS say what soadns says; NSD adds nothing and limits no rate.
"""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from pathlib import Path

from soadns import __version__
from tests.ports import free_port
from tests.scenarios.stage.places import OUTSIDE, Place
from tests.scenarios.stage.process import Process, command_of
from tests.scenarios.stage.showcase import IDENTITY

VERSION = f"soadns {__version__}"
_SOA = b"\x12\x34\1\0\0\1\0\0\0\0\0\0"
"""Header of a question, as to a resolver."""


def wire_name(name: str) -> bytes:
    """A name without escapes, in wire form."""
    labels = name.removesuffix(".").split(".")
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


class NameServer:
    """One server of one zone; ``port`` of ``host`` speaks UDP and TCP."""

    def __init__(
        self,
        name: str,
        folder: Path,
        zone: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        place: Place = OUTSIDE,
    ) -> None:
        self.name = name
        self.zone = zone
        self.host = host
        self.port = port or free_port()
        self.place = place
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.process: Process

    def start(self) -> None:
        """Start it and wait until it has loaded the zone."""
        self.process.start()
        self.process.wait_until(self._loaded, within=60.0)

    def stop(self) -> None:
        self.process.stop()

    def _loaded(self) -> bool:
        with self.place.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.2)
            sock.connect((self.host, self.port))
            sock.send(_SOA + wire_name(self.zone) + b"\0\6\0\1")
            with suppress(TimeoutError):
                reply = sock.recv(4096)
                return not reply[3] & 0xF and reply[7] == 1
            return False

    def _run(self, part: str, *arguments: str) -> None:
        command, env = command_of(part)
        log = self.folder / "log"
        self.process = Process(self.name, [*command, *arguments], log=log, env=env, place=self.place)


def knotd(port: int, folder: Path, *settings: str) -> str:
    """The configuration of a small knotd but for its zones; ``settings`` are further ones of ``server``."""
    more = "".join(f"    {setting}\n" for setting in settings)
    return f"""
server:
    listen: 127.0.0.1@{port}
    rundir: {folder}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
{more}database:
    storage: {folder}
log:
  - target: stderr
    any: info
"""


class Knot(NameServer):
    """knotd."""

    def __init__(self, folder: Path, zone: str, file: Path) -> None:
        super().__init__("Knot", folder, zone)
        config = folder / "knot.conf"
        config.write_text(
            knotd(
                self.port,
                folder,
                "udp-max-payload: 1232",
                f"identity: {IDENTITY}",
                f'version: "{VERSION}"',
                f"nsid: {IDENTITY}",
            )
            + f"""
zone:
  - domain: {zone}
    file: {file}
    journal-content: none
    zonefile-sync: -1
"""
        )
        self._run("knotd", "-c", str(config))


class Nsd(NameServer):
    """nsd."""

    def __init__(self, folder: Path, zone: str, file: Path) -> None:
        super().__init__("NSD", folder, zone)
        config = folder / "nsd.conf"
        config.write_text(
            f"""
server:
    ip-address: 127.0.0.1@{self.port}
    server-count: 1
    tcp-count: 1000
    username: ""
    chroot: ""
    database: ""
    zonesdir: "{folder}"
    pidfile: "{folder}/pid"
    xfrdfile: "{folder}/xfrd"
    xfrdir: "{folder}"
    zonelistfile: "{folder}/zones"
    cookie-secret-file: "{folder}/cookies"
    ipv4-edns-size: 1232
    identity: "{IDENTITY}"
    version: "{VERSION}"
    nsid: "ascii_{IDENTITY}"
    minimal-responses: yes
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
    zonefiles-write: 0
remote-control:
    control-enable: no
zone:
    name: {zone}
    zonefile: {file}
"""
        )
        self._run("nsd", "-d", "-c", str(config))


OLDER = "coredns-1.11"
"""The part that is a CoreDNS of before 1.12."""


class CoreDns(NameServer):
    """coredns with a Corefile; every ``{port}`` in it is the one it listens on. ``part`` is the version of it."""

    def __init__(
        self,
        folder: Path,
        zone: str,
        corefile: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        place: Place = OUTSIDE,
        part: str = "coredns",
    ) -> None:
        super().__init__("CoreDNS", folder, zone, host=host, port=port, place=place)
        self._config = folder / "Corefile"
        self._write(corefile)
        self._run(part, "-conf", str(self._config))

    def _write(self, corefile: str) -> None:
        self._config.write_text(corefile.replace("{port}", str(self.port)))

    def change(self, corefile: str) -> None:
        """Give it another Corefile, as the ``reload`` plugin does when it finds one; it holds when this returns."""
        before = self._changes()
        self._write(corefile)
        self.process.signal(signal.SIGUSR1)
        self.process.wait_until(lambda: self._changes() > before, within=30.0)

    def _changes(self) -> int:
        return self.process.log.read_text(encoding="utf-8", errors="replace").count("Reloading complete")
