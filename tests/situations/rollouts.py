"""Pods that are replaced, scaled and killed."""

from __future__ import annotations

from tests.situations.catalogue import Situation, gray, into, vms, x
from tests.situations.world import World

TITLE = "Rolling out, scaling, crashing"
ROWS: list[Situation] = []
situation = into(ROWS)


def restart_in_place(w: World, names: list[str]) -> None:
    for name in names:
        w.kill(name)
        w.start(w.processes[name])


def crash_loop(w: World) -> None:
    old = w.of("X")
    for name in old:
        w.stop(name)
    w.at(112, lambda: w.pods("X", 4, "ABCDE", registers_after=688.0, ready_after=691.0))


@situation("a rolling update to a version with the same interfaces", 0.0, 0, restart=130)
def rolling_same(w: World) -> None:
    x(w)
    w.at(100, lambda: w.roll("X", "ABCDE"))


@situation(
    "a rolling update whose pods are ready 5 s before they register, and serve only then", 4.8, 0, restart=130
)
def rolling_ready_first(w: World) -> None:
    x(w)
    w.at(100, lambda: w.roll("X", "ABCDE", ready_after=10.0))


@situation(
    "a rolling update whose processes register one interface every 8 s; a gray Service has B too",
    0.0,
    0,
    restart=130,
)
def rolling_slow_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.roll("X", "ABCDE", spacing=8.0))


@situation("a rolling update that kills the old pods without a SIGTERM; two VMs have B", 0.0, 0, restart=130)
def roll_kill9(w: World) -> None:
    x(w)
    vms(w, 2)
    w.at(100, lambda: w.roll("X", "ABCDE", kill=True))


@situation("strategy Recreate: 30 s without a serving pod, of which 12 without any", 2.0, 0)
def recreate_20(w: World) -> None:
    x(w)
    w.at(100, lambda: w.recreate("X", "ABCDE", gap=12))


@situation(
    "Recreate with 30 s without a serving pod; a gray Service has B",
    30.0,
    0,
    remark="Back before the clocks run out: the name stays, callers wait for the new pods",
)
def recreate_30_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.recreate("X", "ABCDE", gap=12))


@situation("the same with two VMs instead of the gray Service", 30.0, 0)
def recreate_30_vms(w: World) -> None:
    x(w)
    vms(w, 2)
    w.at(100, lambda: w.recreate("X", "ABCDE", gap=12))


@situation(
    "Recreate with 120 s between the old pods and the new; a younger gray Service has B", 34.5, 2, restart=150
)
def recreate_120_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.recreate("X", "ABCDE", gap=120))


@situation(
    "Recreate, 30 s without a ready pod; the new ones register one interface every 8 s, B last; a gray Service has B",
    30.0,
    2,
    restart=134,
)
def recreate_slow_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.recreate("X", "ACDEB", gap=12, spacing=8.0))


@situation("kill -9 of one pod's process, which starts again in place", 0.0, 0)
def kill9_one(w: World) -> None:
    x(w)
    w.at(100, lambda: restart_in_place(w, w.of("X")[:1]))


@situation("kill -9 of all four pods' processes, which start again in place", 3.0, 0)
def kill9_all(w: World) -> None:
    x(w)
    w.at(100, lambda: restart_in_place(w, w.of("X")))


@situation("all pods are killed and rescheduled at once; two VMs have B", 9.9, 0)
def killall_vms(w: World) -> None:
    x(w)
    vms(w, 2)

    def crash() -> None:
        for name in w.of("X"):
            w.kill(name, reschedule=True)
        w.at(w.now + 3, lambda: w.pods("X", 4, "ABCDE"))

    w.at(100, crash)


@situation(
    "Recreate with new pods that do not get up for 11 min; a gray Service has B",
    74.5,
    2,
    restart=150,
    remark="A minute without a ready or registered address; unready addresses are there, so it is not known sooner",
)
def crashloop_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: crash_loop(w))


@situation("the same with two VMs instead of the gray Service", 74.6, 2, restart=150)
def crashloop_vms(w: World) -> None:
    x(w)
    vms(w, 2)
    w.at(100, lambda: crash_loop(w))


@situation(
    "all readiness probes of X fail for 200 s while its pods serve; a gray Service has B",
    200.0,
    0,
    restart=200,
    remark="Readiness never moves a name; direct callers do not look at it either, but a ClusterIP does",
)
def readiness_lost_gray(w: World) -> None:
    x(w)
    gray(w)

    def readiness(ready: bool) -> None:
        for name in w.of("X"):
            w.processes[name].ready = ready

    w.at(100, lambda: readiness(False))
    w.at(300, lambda: readiness(True))


@situation("X is scaled to nothing for 300 s, and nobody else has B", 2.0, 0, restart=250)
def scale0_alone(w: World) -> None:
    x(w)
    w.at(100, lambda: w.scale("X", 0, ""))
    w.at(400, lambda: w.scale("X", 4, "ABCDE"))


@situation(
    "X is scaled to nothing for 300 s; a gray Service has B",
    34.5,
    2,
    remark="An endpoint address stays until the process has ended, then 10 s more",
)
def scale0_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.scale("X", 0, ""))
    w.at(400, lambda: w.scale("X", 4, "ABCDE"))


@situation("X is scaled to nothing for good, back to the old world: four VMs have B", 34.5, 1)
def scale0_vms(w: World) -> None:
    x(w)
    vms(w, 4)
    w.at(100, lambda: w.scale("X", 0, ""))


@situation(
    "a canary of X, one pod of four, lacks B for 5 min; nobody else has B",
    75.2,
    0,
    restart=250,
    remark="A ClusterIP balances over all pods, so a quarter of the calls meets the canary; nobody else could answer",
)
def canary_drops_B(w: World) -> None:
    x(w)

    def swap(interfaces: str) -> None:
        old = w.of("X")[0] if "B" not in interfaces else "canary"
        if "B" not in interfaces:
            w.pod("canary", "X", interfaces)
        else:
            w.pods("X", 1, interfaces)
        w.at(w.now + 19, lambda: w.stop(old))

    w.at(100, lambda: swap("ACDE"))
    w.at(400, lambda: swap("ABCDE"))
