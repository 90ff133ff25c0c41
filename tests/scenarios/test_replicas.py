"""Two replicas need not know of each other: what they saw at different times ends in the same answers."""

from __future__ import annotations

from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import Stage

NAMES = [f"com.alipay.user.Service{i}" for i in range(12)]


def everything(soadns: Soadns) -> dict[str, tuple[str, ...]]:
    return {name: tuple(sorted(soadns.dig(name).data)) for name in NAMES}


def agrees(soadns: Soadns, expected: dict[str, tuple[str, ...]]) -> None:
    got = eventually(lambda: everything(soadns), within=30, until=lambda found: found == expected)
    assert got == expected, soadns.process.tail()


def test_a_replica_that_comes_later_answers_the_same(stage: Stage) -> None:
    first = stage.soadns()
    older, younger = stage.service("account"), stage.service("user")  # or, in the same second, by name
    pods = [stage.pod(older), stage.pod(older), stage.pod(younger), stage.pod(younger)]
    pods[0].registers(*NAMES[:8])
    pods[1].registers(*NAMES[:8])
    pods[2].registers(*NAMES[4:])  # four names are in conflict
    pods[3].registers(*NAMES[4:])
    machine = stage.machine()
    machine.registers(NAMES[0], NAMES[11])  # boarded
    first.answers(NAMES[11], younger.cluster_ip)

    second = stage.soadns()  # knows only the present

    expected = dict.fromkeys(NAMES[:8], (older.cluster_ip,)) | dict.fromkeys(NAMES[8:], (younger.cluster_ip,))
    for replica in (first, second):
        agrees(replica, expected)

    # What happens now is seen by both; only the second one is restarted amid it.
    second.kill()
    for pod in pods[:2]:
        pod.unregisters(*NAMES[4:8])
    second.start()
    moved = expected | dict.fromkeys(NAMES[4:8], (younger.cluster_ip,))
    for replica in (first, second):
        agrees(replica, moved)
