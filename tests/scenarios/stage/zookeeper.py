"""A real ZooKeeper, and application processes that register in it as Dubbo and SOFARPC do."""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote_plus

from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError

from tests.ports import free_port
from tests.scenarios.stage.places import OUTSIDE, Place
from tests.scenarios.stage.process import Process, command_of, eventually

TICK_MS = 500
"""Sessions may be as short as two ticks."""
SESSION_S = 10.0
"""Of application processes, and the longest that the server grants: they outlive its restart, also where a dozen other
processes start beside it. Who loses a session here does not register again by himself."""
_PATIENCE_S = 180.0
"""Where a dozen JVMs start at once on two cores, a server takes most of a minute to answer."""

_started = itertools.count(1_767_225_600_000)


class ZooKeeper:
    """One server; restarts keep its port and data."""

    def __init__(
        self,
        folder: Path,
        *lines: str,
        properties: Sequence[str] = (),
        host: str = "127.0.0.1",
        place: Place = OUTSIDE,
    ) -> None:
        """``lines`` are added to its configuration file, ``properties`` to Java's (``name=value``)."""
        self.port = free_port()
        self.host = host
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "zoo.cfg"
        config.write_text(
            f"tickTime={TICK_MS}\ndataDir={folder}/data\nclientPort={self.port}\nclientPortAddress={host}\n"
            "admin.enableServer=false\n4lw.commands.whitelist=*\nmaxClientCnxns=0\nfsync.warningthresholdms=100000\n"
            + "".join(f"{line}\n" for line in lines)
        )
        command, env = command_of("zookeeper")
        command[1:1] = [f"-D{each}" for each in properties]
        self.process = Process("ZooKeeper", [*command, str(config)], log=folder / "log", env=env, place=place)

    @property
    def hosts(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        """Start it unless it runs, and wait until it answers."""
        if not self.process.running:
            self.process.start()
        self.process.wait_until(self._answers, within=_PATIENCE_S)

    def _answers(self) -> bool:
        return "Mode:" in self._status()

    def received(self) -> int:
        """How many requests it had from all clients since it started."""
        [count] = re.findall(r"^Received: (\d+)$", self._status(), re.M)
        return int(count)

    def _status(self) -> str:
        with self.process.place.inside(), socket.create_connection((self.host, self.port), 1.0) as sock:
            sock.sendall(b"srvr")
            return b"".join(iter(lambda: sock.recv(4096), b"")).decode()

    def kill(self) -> None:
        self.process.kill()

    def stop(self) -> None:
        self.process.stop()

    def client(self, chroot: str = "", *, timeout: float = 10.0) -> KazooClient:
        """A connected client; the caller stops it. It is soon back when the server is."""
        retry = {"max_tries": -1, "delay": 0.1, "max_delay": 0.3}
        client = KazooClient(hosts=f"{self.hosts}{chroot}", timeout=timeout, connection_retry=retry)
        with self.process.place.inside():  # the client's threads are there for good
            client.start(timeout=_PATIENCE_S)
        return client


def close(client: KazooClient) -> None:
    """End a client's session at once."""
    client.stop()
    client.close()


def dubbo_url(interface: str, host: str, port: int, application: str, **parameters: object) -> str:
    """A provider URL with the parameters that Dubbo always writes."""
    fields = {"application": application, "interface": interface, "side": "provider", **parameters}
    fields.setdefault("timestamp", next(_started))
    query = "&".join(f"{key}={value}" for key, value in sorted(fields.items()))
    return f"{parameters.get('protocol', 'dubbo')}://{host}:{port}/{interface}?{query}"


def sofa_url(interface: str, host: str, port: int, application: str, **parameters: object) -> str:
    """A provider URL as SOFARPC writes it."""
    fields = {"uniqueId": "", "interface": interface, "appName": application, **parameters}
    fields.setdefault("startTime", next(_started))
    return f"bolt://{host}:{port}?version=1.0&" + "&".join(f"{key}={value}" for key, value in fields.items())


class Registration:
    """One application process: a session of its own, and what it registered with it."""

    def __init__(
        self,
        zookeeper: ZooKeeper,
        chroot: str,
        *,
        host: str,
        port: int,
        application: str,
        session_s: float = SESSION_S,
    ) -> None:
        self.host = host
        self.port = port
        self.application = application
        self._hosts = zookeeper.hosts
        self._client = zookeeper.client(chroot, timeout=session_s)
        self._nodes: dict[str, list[str]] = {}

    def registers(
        self, *interfaces: str, dialect: str = "dubbo", dynamic: bool = True, **parameters: object
    ) -> None:
        """Register interfaces one after another."""
        for interface in interfaces:
            if dialect == "dubbo":
                url = dubbo_url(interface, self.host, self.port, self.application, **parameters)
                folder = f"/dubbo/{quote_plus(interface)}/providers"
            else:
                url = sofa_url(interface, self.host, self.port, self.application, **parameters)
                folder = f"/sofa-rpc/{interface}/providers"
            self.registers_leaf(interface, folder, quote_plus(url), dynamic=dynamic)

    def calls(self, *interfaces: str, dialect: str = "dubbo") -> None:
        """Register as a consumer of interfaces, as the frameworks do."""
        for interface in interfaces:
            if dialect == "dubbo":
                query = (
                    f"application={self.application}&category=consumers&interface={interface}&side=consumer"
                )
                url = f"consumer://{self.host}/{interface}?{query}&timestamp={next(_started)}"
                folder = f"/dubbo/{quote_plus(interface)}/consumers"
            else:
                query = f"version=1.0&uniqueId=&interface={interface}&appName={self.application}"
                url = f"bolt://{self.host}?{query}&startTime={next(_started)}"
                folder = f"/sofa-rpc/{interface}/consumers"
            self.registers_leaf(interface, folder, quote_plus(url))

    def registers_leaf(self, interface: str, folder: str, leaf: str, *, dynamic: bool = True) -> None:
        """Create one leaf, whatever it says."""
        self._client.ensure_path(folder)
        try:
            self._client.create(f"{folder}/{leaf}", ephemeral=dynamic)
        except NodeExistsError:
            return
        self._nodes.setdefault(interface, []).append(f"{folder}/{leaf}")

    def registers_again(self) -> None:
        """Create what is missing of its leaves, under the same names, as frameworks do after a lost session."""
        for path in itertools.chain.from_iterable(self._nodes.values()):
            with suppress(NodeExistsError):
                self._client.retry(self._client.create, path, ephemeral=True)

    def unregisters(self, *interfaces: str) -> None:
        """Remove its leaves of some interfaces (all when none is named), as a clean shutdown does."""
        for interface in interfaces or tuple(self._nodes):
            for path in self._nodes.pop(interface, []):
                try:
                    self._client.delete(path)
                except NoNodeError:
                    continue

    def session_expires(self) -> None:
        """Lose the session for real: a second connection takes it over and ends it.

        The process stays, as one that was cut off does; it has a new session when it registers again.
        """
        lost = self._client.client_id
        while self._client.client_id in (None, lost):  # the process may take it back in time
            thief = KazooClient(hosts=self._hosts, client_id=lost)
            thief.start(timeout=_PATIENCE_S)
            close(thief)
            eventually(lambda: self._client.client_id not in (None, lost), within=2.0)
        self._nodes.clear()

    def close(self) -> None:
        close(self._client)
