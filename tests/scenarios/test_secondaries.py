"""Name servers that take their zone from two replicas of soadns: Knot and BIND with a key, CoreDNS without."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.scenarios.stage.dig import dig
from tests.scenarios.stage.nameservers import NameServer
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.secondaries import (
    KEY,
    KEY_NAME,
    SECRET,
    CoreDnsSecondary,
    KnotSecondary,
    Named,
    Onlooker,
    content,
)
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.stage import Stage

USER, PAY = "com.x.UserService", "com.x.PayService"


@dataclass
class Scene:
    """Two replicas, and who follows them."""

    stage: Stage
    replicas: list[Soadns]
    primaries: list[int]
    secondaries: list[NameServer] = field(default_factory=list)

    def follow(self, server: NameServer) -> NameServer:
        server.start()
        self.secondaries.append(server)
        return server


@pytest.fixture
def scene(registry_stage: Stage, tmp_path: Path) -> Iterator[Scene]:
    secret = tmp_path / "transfer.key"
    secret.write_text(SECRET)
    ports, told = [free_port(), free_port()], [free_port(), free_port()]
    replicas = []
    for port in ports:
        transfer = {
            "listen": [f"127.0.0.1:{port}"],
            "allow": ["127.0.0.1/32"],
            "keys": [{"name": KEY_NAME, "secretFile": str(secret)}],
            "notify": [f"127.0.0.1:{each}" for each in told],
        }
        replicas.append(registry_stage.soadns_not_started(transfer=transfer))
    found = Scene(registry_stage, replicas, ports)
    machine = registry_stage.machine()
    machine.registers(USER, PAY)
    with ExitStack() as servers:
        servers.callback(lambda: [server.stop() for server in found.secondaries])
        for replica in replicas:
            replica.start()
        found.follow(KnotSecondary(tmp_path / "knot", ZONE, ports, port=told[0]))
        found.follow(Named(tmp_path / "named", ZONE, ports, port=told[1]))
        found.follow(CoreDnsSecondary(tmp_path / "coredns", ZONE, ports))
        yield found


def test_secondaries_of_two_replicas_always_equal_one_of_them(scene: Scene) -> None:
    """Random changes and restarts; whatever serial a secondary has, it holds what a replica gave under that serial."""
    compared: dict[str, int] = defaultdict(int)
    held: dict[str, list[tuple[int, frozenset[str]]]] = defaultdict(list)
    onlookers = [Onlooker(port, ZONE, KEY) for port in scene.primaries]
    with ExitStack() as looking:
        for each in onlookers:
            looking.enter_context(each)
        _changes_and_restarts(scene, held)
        # Quiet: everybody has the last version of one of the replicas.
        settled = eventually(lambda: _settled(scene), within=120.0)
        assert settled, "\n".join(_told(scene))
    for name, versions in held.items():
        for serial, lines in versions:
            if any(each.saw(serial, lines) for each in onlookers):
                compared[name] += 1
            else:
                said = f"{name} at {serial}, which was given otherwise\n" + "\n".join(map(str, onlookers))
                assert any(each.may_have_missed(serial) for each in onlookers), said
    assert len(compared) == 2
    assert min(compared.values()) >= 5, dict(compared)
    knot = scene.secondaries[0].process.log.read_text()
    assert "IXFR, incoming" in knot
    assert scene.replicas[0].metric(f'soadns_transfers_total{{outcome="axfr",zone="{ZONE}"}}') >= 1


def _changes_and_restarts(scene: Scene, held: dict[str, list[tuple[int, frozenset[str]]]]) -> None:
    """Ten turns of both; after each, what Knot and BIND hold is noted."""
    rng = random.Random(20_880)
    machines = [scene.stage.machine() for _ in range(6)]
    names = [f"com.acme.Service{number}" for number in range(30)]
    down: Soadns | None = None
    for turn in range(10):
        for machine in rng.sample(machines, 3):
            taken = rng.sample(names, 3)
            machine.registers(*taken)
            if rng.random() < 0.7:
                machine.unregisters(rng.choice(taken))
        if down is not None:
            down.start()
            down = None
        elif turn % 4 == 2:
            down = scene.replicas[turn // 4 % 2]
            if turn == 6:
                down.kill()
            else:
                down.stop()
        for server in scene.secondaries[:2]:
            held[server.name].append(content(server.port, ZONE))
        time.sleep(rng.random())
    if down is not None:
        down.start()


def _told(scene: Scene) -> Iterator[str]:
    """What everybody has, beside what the first replica has, and what happened last."""
    held = {f"replica at {port}": content(port, ZONE, key=KEY) for port in scene.primaries}
    held |= {server.name: content(server.port, ZONE) for server in scene.secondaries[:2]}
    first = held[f"replica at {scene.primaries[0]}"][1]
    for name, (serial, lines) in held.items():
        yield f"{name}: {serial}, wanting {sorted(first - lines)}, too many {sorted(lines - first)}"
    for server in scene.secondaries[:2]:
        yield f"--- log of {server.name}\n{server.process.tail()}"


def _settled(scene: Scene) -> bool:
    """Whether every secondary has the last version of one of the replicas, and of the one that changed last.

    The replicas may differ: one that was away has not seen a name come and go, which the other keeps for a while.
    """
    given = [content(port, ZONE, key=KEY) for port in scene.primaries]
    last = max(serial for serial, _ in given)
    wanted = [version for version in given if version[0] == last]
    return all(content(server.port, ZONE) in wanted for server in scene.secondaries[:2])


def test_a_change_is_told_and_every_secondary_answers_by_it(scene: Scene) -> None:
    def answered(server: NameServer) -> list[str]:
        return sorted(dig(server.port, f"{USER}.{ZONE}.", "A").data)

    before = answered_by(scene.replicas[0])
    for server in scene.secondaries:
        assert eventually(lambda each=server: answered(each), within=60.0, until=before.__eq__) == before, (
            server.name
        )
    scene.stage.machine().registers(USER)
    after = eventually(
        lambda: answered_by(scene.replicas[0]), within=30.0, until=lambda found: len(found) == 2
    )
    for server in scene.secondaries:
        # Knot and BIND are told; CoreDNS asks every ten seconds.
        assert eventually(lambda each=server: answered(each), within=60.0, until=after.__eq__) == after, (
            server.name
        )
    for server in scene.secondaries[:2]:
        sample = f'soadns_transfer_notices_total{{outcome="heard",secondary="127.0.0.1:{server.port}"}}'
        # Who heard it of the other replica first hears it of this one, too.
        assert eventually(lambda line=sample: scene.replicas[0].metric(line) >= 1, within=30.0), "it was told"
    gone = dig(scene.secondaries[1].port, f"com.x.Nobody.{ZONE}.", "A")
    assert gone.status == "NXDOMAIN"


def answered_by(replica: Soadns) -> list[str]:
    return sorted(replica.dig(USER).data)
