"""Providers on VMs, and interfaces that they share with Services."""

from __future__ import annotations

from tests.situations.catalogue import Situation, into, lose, vms, x
from tests.situations.world import World

TITLE = "The old world and the way on board"
ROWS: list[Situation] = []
situation = into(ROWS)


@situation("boarding: 50 VMs, a pod more every 10 s up to 50, then a VM less every 10 s", 0.0, 1, restart=400)
def board_gradual(w: World) -> None:
    vms(w, 50)
    w.at(10, lambda: w.service("X"))
    for i in range(50):
        w.at(100 + 10 * i, lambda: w.pods("X", 1, "ABCDE"))
        w.at(700 + 10 * i, lambda i=i: w.stop(f"vm-{i}"))


@situation("half boarded for good: 20 pods beside 50 VMs", 0.0, 0)
def board_never(w: World) -> None:
    vms(w, 50)
    w.at(100, lambda: w.service("X"))
    w.at(100, lambda: w.pods("X", 20, "ABCDE"))


@situation("four VMs, while an autoscaler goes to and fro between 4 and 3 pods", 0.0, 1, restart=350)
def board_oscillate(w: World) -> None:
    vms(w, 4)
    w.at(100, lambda: w.service("X"))
    w.at(100, lambda: w.pods("X", 4, "ABCDE"))
    for i in range(6):
        w.at(200 + 200 * i, lambda: w.scale("X", 3, "ABCDE"))
        w.at(300 + 200 * i, lambda: w.scale("X", 4, "ABCDE"))


@situation("B lives on two VMs; X is rolled to a version that has it", 2.7, 1, restart=150)
def add_by_rolling_vms(w: World) -> None:
    x(w, interfaces="ACDE")
    vms(w, 2)
    w.at(100, lambda: w.roll("X", "ABCDE"))


@situation(
    "X is rolled to a version without B, which four VMs still serve",
    31.4,
    1,
    restart=150,
    remark="The pods that still have B are among the answered providers until they end",
)
def drop_back_to_vms(w: World) -> None:
    x(w)
    vms(w, 4)
    w.at(100, lambda: w.roll("X", "ACDE"))


@situation(
    "a persistent provider (dynamic=false) on a VM that is dead; X's first pod comes 50 s later",
    7.3,
    1,
    remark="The name moves with the pod's registration. For the life of their caches callers still hold the dead "
    "machine, where direct callers fail every second time by then; no answer could make it less",
)
def persistent_dead_vm(w: World) -> None:
    w.at(5, lambda: w.vms(1, "B", dynamic=False))
    w.at(10, lambda: w.service("X"))
    w.at(50, lambda: w.kill("vm-0"))
    w.at(100, lambda: w.pods("X", 1, "ABCDE"))


@situation(
    "three such VMs, all dead, against two pods of X",
    5.8,
    0,
    remark="Dead persistent providers count as the old world; `soadns.io/traffic: mesh` boards past them",
)
def persistent_dead_vm_3(w: World) -> None:
    w.at(5, lambda: w.vms(3, "B", dynamic=False))
    w.at(10, lambda: w.service("X"))
    for i in range(3):
        w.at(50, lambda i=i: w.kill(f"vm-{i}"))
    w.at(100, lambda: w.pods("X", 2, "ABCDE"))


@situation(
    "six VMs, no Service: half of the sessions expire for 60 s, later all; one VM dies, the others leave one by one",
    10.5,
    0,
    end=900,
    restart=310,
)
def vm_last_expires(w: World) -> None:
    vms(w, 6)
    w.at(100, lambda: lose(w, [f"vm-{i}" for i in range(3)], 60))
    for i in range(6):
        w.at(300 + i * 0.6, lambda i=i: lose(w, [f"vm-{i}"], 60))
        if i:
            w.at(530 + 70 * i, lambda i=i: w.stop(f"vm-{i}"))
    w.at(500, lambda: w.kill("vm-0"))


@situation(
    "six VMs are redeployed one by one, 35 s each without a registration", 6.7, 0, end=600, restart=130
)
def vm_move_rolling_deploy(w: World) -> None:
    vms(w, 6)
    for i in range(6):
        w.at(100 + 60 * i, lambda i=i: w.stop(f"vm-{i}"))
        w.at(120 + 60 * i, lambda i=i: w.start(w.processes[f"vm-{i}"]))
