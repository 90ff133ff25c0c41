"""The situations: what happens, and what callers may suffer in it.

Each function sets a world up and schedules what happens; the table holds the limits. Times in
seconds; X is the main Service (4 pods, interfaces A-E), B the interface looked at, Y another Service,
``gray`` a Y with one pod. ``docs/situations.md`` is the table for operators, printed by ``python -m tests.situations``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from soadns.model import Port
from tests.situations.world import World

Setup = Callable[[World], None]
START = 60.0
"""When callers begin to call: everything has come up by then."""


@dataclass(frozen=True)
class Situation:
    """One row: what happens, until when it is watched, and the limits."""

    name: str
    what: str
    excess: float
    changes: int
    setup: Setup
    end: float = 1500.0
    interfaces: str = "B"
    """The interfaces looked at; the limits hold for each."""
    start: float = START
    restart: float = 112.0
    """When soadns is restarted, in the run with a restart: amid what happens."""
    remark: str = ""
    """What an operator should know of the figures."""


SITUATIONS: list[Situation] = []


def situation(
    what: str,
    excess: float,
    changes: int,
    *,
    end: float = 1500.0,
    interfaces: str = "B",
    start: float = START,
    restart: float = 112.0,
    remark: str = "",
) -> Callable[[Setup], Setup]:
    def add(setup: Setup) -> Setup:
        SITUATIONS.append(
            Situation(setup.__name__, what, excess, changes, setup, end, interfaces, start, restart, remark)
        )
        return setup

    return add


def x(world: World, count: int = 4, interfaces: str = "ABCDE", **kw: object) -> list[str]:
    world.at(10, lambda: world.service("X"))
    world.at(10, lambda: world.pods("X", count, interfaces, **kw))
    return []


def y(world: World, count: int, at: float = 11, interfaces: str = "B", name: str = "Y", **kw: object) -> None:
    namespace = str(kw.pop("namespace", "shop"))
    world.at(at, lambda: world.service(name, namespace=namespace))
    world.at(at, lambda: world.pods(name, count, interfaces, **kw))


def gray(world: World, at: float = 11) -> None:
    y(world, 1, at)


def vms(world: World, count: int, at: float = 5) -> None:
    world.at(at, lambda: world.vms(count, "B"))


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


@situation("strategy Recreate: 30 s without a serving pod, of which 12 without any", 2.0, 0)
def recreate_20(w: World) -> None:
    x(w)
    w.at(100, lambda: w.recreate("X", "ABCDE", gap=12))


@situation(
    "Recreate with 120 s between the old pods and the new; a younger gray Service has B", 34.5, 2, restart=150
)
def recreate_120_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.recreate("X", "ABCDE", gap=120))


@situation(
    "Recreate, 30 s until the first registration, then one interface every 8 s and B last; a gray Service",
    30.0,
    2,
    restart=134,
)
def recreate_slow_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.recreate("X", "ACDEB", gap=12, spacing=8.0))


def lose(w: World, names: list[str], back: float, spacing: float = 0.05) -> None:
    for name in names:
        w.lose_session(name, back, spacing=spacing)


@situation("all pods lose their registry sessions and return after 30 s", 0.0, 0)
def sess_all_30(w: World) -> None:
    x(w)
    w.at(100, lambda: lose(w, w.of("X"), 30))


@situation("two of the four pods lose their sessions for 30 s", 0.0, 0)
def sess_half_30(w: World) -> None:
    x(w)
    w.at(100, lambda: lose(w, w.of("X")[:2], 30))


@situation("one pod loses its session for 30 s", 0.0, 0)
def sess_one_30(w: World) -> None:
    x(w)
    w.at(100, lambda: lose(w, w.of("X")[:1], 30))


@situation(
    "all pods lose their sessions for 20 min and serve on: the registry itself knows nobody",
    0.0,
    0,
    end=2400,
    restart=700,
)
def sess_all_20min(w: World) -> None:
    x(w)
    w.at(100, lambda: lose(w, w.of("X"), 1200))


@situation(
    "all sessions lost, back after 30 s with one interface every 8 s, B last; a gray Service has B",
    0.0,
    0,
    restart=160,
    remark="A restart that sleeps through the loss itself may show the gray Service until B is registered again",
)
def sess_all_slow_gray(w: World) -> None:
    x(w, interfaces="ACDEB")
    gray(w)
    w.at(100, lambda: lose(w, w.of("X"), 30, 8.0))


@situation("the same, and two VMs of the old world instead of the gray Service", 0.0, 0, restart=160)
def sess_all_slow_vms(w: World) -> None:
    x(w, interfaces="ACDEB")
    vms(w, 2)
    w.at(100, lambda: lose(w, w.of("X"), 30, 8.0))


@situation("the registry can not be reached for 5 min", 0.0, 0, restart=250)
def zkdown_5(w: World) -> None:
    x(w)
    w.at(100, w.registry_down)
    w.at(400, w.registry_back)


@situation("the registry is away for 5 min, and all pods are replaced meanwhile", 0.0, 0, restart=250)
def zkdown_5_roll(w: World) -> None:
    x(w)
    w.at(100, w.registry_down)
    w.at(120, lambda: w.roll("X", "ABCDE"))
    w.at(400, w.registry_back)


@situation(
    "the registry is away for 15 min, and all pods are replaced meanwhile", 0.0, 0, end=2400, restart=500
)
def zkdown_15_roll(w: World) -> None:
    x(w)
    w.at(100, w.registry_down)
    w.at(200, lambda: w.roll("X", "ABCDE"))
    w.at(1000, w.registry_back)


@situation("the API server is away for 5 min; one pod is killed and replaced meanwhile", 0.0, 0, restart=250)
def apidown_5(w: World) -> None:
    x(w)
    w.at(100, w.api_down)
    w.at(150, lambda: w.kill(w.of("X")[0], reschedule=True))
    w.at(153, lambda: w.pods("X", 1, "ABCDE"))
    w.at(400, w.api_back)


@situation("kill -9 of one pod's process, which starts again in place", 0.0, 0)
def kill9_one(w: World) -> None:
    x(w)
    w.at(100, lambda: restart_in_place(w, w.of("X")[:1]))


def restart_in_place(w: World, names: list[str]) -> None:
    for name in names:
        w.kill(name)
        w.start(w.processes[name])


@situation("kill -9 of all four pods' processes, which start again in place", 3.0, 0)
def kill9_all(w: World) -> None:
    x(w)
    w.at(100, lambda: restart_in_place(w, w.of("X")))


@situation(
    "a gray Service appears later, grows to 12 pods for 500 s and shrinks to one again",
    0.0,
    0,
    end=1800,
    restart=700,
)
def gray_younger(w: World) -> None:
    x(w)
    gray(w, 150)
    w.at(300, lambda: w.scale("Y", 12, "B"))
    w.at(800, lambda: w.scale("Y", 1, "B"))


@situation("the gray Service was there first, the main one (4 pods) comes at 150", 0.0, 1, restart=500)
def gray_older(w: World) -> None:
    gray(w, 5)
    w.at(150, lambda: w.service("X"))
    w.at(150, lambda: w.pods("X", 4, "ABCDE"))


@situation(
    "the Service is deleted and created again within 5 s, its pods live on; the gray one is older by then",
    19.5,
    1,
    restart=95,
    remark="A restart in between shows the gray Service for the seconds until the cluster has been read",
)
def main_recreated_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.delete_service("X"))
    w.at(105, lambda: w.service("X"))


@situation("the Service is deleted and created again after 100 s; a gray Service has B", 24.5, 2, restart=105)
def main_recreated_late_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.delete_service("X"))
    w.at(200, lambda: w.service("X"))


@situation("split: Y with B is brought up, then X rolled to a version without B", 4.5, 1, restart=210)
def split_Y_first(w: World) -> None:
    x(w)
    y(w, 4, 120)
    w.at(200, lambda: w.roll("X", "ACDE"))


@situation(
    "split in the wrong order: X is rolled without B, and Y brought up a minute later",
    53.5,
    1,
    restart=240,
    remark="X's ClusterIP meets the pods without B, and there is no other Service yet: bring Y up first",
)
def split_X_first(w: World) -> None:
    x(w)
    w.at(100, lambda: w.roll("X", "ACDE"))
    y(w, 4, 260)


@situation(
    "split: Y is created with its declaration of B, gets ready pods 2 min later, then X is rolled",
    0.0,
    1,
    restart=310,
)
def split_declared_before_pods(w: World) -> None:
    x(w)
    w.at(120, lambda: w.service("Y"))
    w.at(120, lambda: w.declare("Y", "B"))
    w.at(222, lambda: w.pods("Y", 4, "B"))
    w.at(300, lambda: w.roll("X", "ACDE"))


@situation(
    "split: an existing Y declares B in the same moment in which it begins to roll to a version with B",
    2.7,
    1,
    restart=310,
)
def split_declared_and_rolled(w: World) -> None:
    x(w)
    y(w, 4, interfaces="F")
    w.at(120, lambda: w.declare("Y", "B"))
    w.at(120, lambda: w.roll("Y", "FB"))
    w.at(300, lambda: w.roll("X", "ACDE"))


@situation("split: Y serves B, declares it 80 s later, X is rolled after that", 0.0, 1, restart=310)
def split_declared_after(w: World) -> None:
    x(w)
    y(w, 4, 120)
    w.at(200, lambda: w.declare("Y", "B"))
    w.at(300, lambda: w.roll("X", "ACDE"))


@situation(
    "the same, but Y lives in another namespace, where its declaration does not count", 4.5, 1, restart=310
)
def split_other_ns_declared(w: World) -> None:
    x(w)
    y(w, 4, 120, namespace="other")
    w.at(200, lambda: w.declare("Y", "B"))
    w.at(300, lambda: w.roll("X", "ACDE"))


@situation(
    "split to Y, then X rolled back to a version with B, and Y deleted with its pods",
    29.0,
    2,
    restart=702,
)
def split_then_rollback(w: World) -> None:
    x(w)
    y(w, 4, 120)
    w.at(200, lambda: w.roll("X", "ACDE"))
    w.at(400, lambda: w.roll("X", "ABCDE"))
    w.at(700, lambda: delete_with_pods(w, "Y"))


def delete_with_pods(w: World, service: str) -> None:
    w.delete_service(service)
    for name in w.of(service):
        w.stop(name)


@situation("split: an existing Y adds B by a rolling update, X drops it later", 4.5, 1, restart=410)
def split_existing_Y_adds(w: World) -> None:
    x(w)
    y(w, 4, interfaces="F")
    w.at(120, lambda: w.roll("Y", "FB"))
    w.at(400, lambda: w.roll("X", "ACDE"))


@situation("B lives on two VMs; X is rolled to a version that has it", 2.7, 1, restart=150)
def add_by_rolling_vms(w: World) -> None:
    x(w, interfaces="ACDE")
    vms(w, 2)
    w.at(100, lambda: w.roll("X", "ABCDE"))


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
    "the Service is deleted and created again after 3 s with another ClusterIP; the pods live on",
    17.5,
    1,
    restart=95,
)
def recreate_svc_3(w: World) -> None:
    x(w)
    w.at(100, lambda: w.delete_service("X"))
    w.at(103, lambda: w.service("X"))


@situation("the same with a minute between", 24.5, 2, restart=105)
def recreate_svc_60(w: World) -> None:
    x(w)
    w.at(100, lambda: w.delete_service("X"))
    w.at(160, lambda: w.service("X"))


@situation("the Service is deleted with its pods for good; Y serves B as well", 24.5, 1, restart=105)
def delete_svc_other(w: World) -> None:
    x(w)
    y(w, 4)
    w.at(100, lambda: delete_with_pods(w, "X"))


@situation("the Service is deleted with its pods; four VMs serve B", 24.5, 1, restart=105)
def delete_svc_vms(w: World) -> None:
    x(w)
    vms(w, 4)
    w.at(100, lambda: delete_with_pods(w, "X"))


@situation(
    "the Service is deleted by mistake, its pods live on; it is created again after 5 min",
    24.5,
    2,
    restart=105,
    remark="While there is no Service the pods' own addresses are answered",
)
def delete_svc_podsstay(w: World) -> None:
    x(w)
    w.at(100, lambda: w.delete_service("X"))
    w.at(400, lambda: w.service("X"))


@situation(
    "the Service is deleted, and another one gets its ClusterIP 5 s later; Y serves B",
    19.5,
    1,
    restart=102,
    remark="One step: the moment another Service has the address, Y is answered",
)
def cip_reused(w: World) -> None:
    x(w)
    y(w, 4)

    def take() -> None:
        w.service("Z", cluster_ips=("10.96.0.1",))
        w.pods("Z", 1, "F")

    w.at(100, lambda: delete_with_pods(w, "X"))
    w.at(105, take)


def kill_and_reuse(w: World, *, back: bool) -> None:
    victim = w.processes[w.of("X")[0]]
    w.kill(victim.name, reschedule=True)
    if back:
        w.at(w.now + 1, lambda: w.pods("X", 1, "ABCDE"))
    w.at(w.now + 3, lambda: w.pods("Z", 1, "F", ip=victim.ip))


@situation("X's only pod is killed and rescheduled; 3 s later a pod of Z gets its address", 1.0, 0)
def podip_reuse(w: World) -> None:
    x(w, 1)
    y(w, 2, 12, "F", "Z")
    w.at(100, lambda: kill_and_reuse(w, back=True))


@situation(
    "X's only pod is killed and not replaced; its address goes to a pod of Z, whose other pod then ends",
    0.0,
    1,
    restart=117,
)
def podip_reuse_nomain(w: World) -> None:
    y(w, 1, 5, "F", "Z")
    x(w, 1)

    def reuse() -> None:
        old = w.of("Z")[0]
        kill_and_reuse(w, back=False)
        w.at(w.now + 25, lambda: w.stop(old))

    w.at(100, reuse)


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


@situation(
    "two applications of one namespace, 4 pods each, serve B; the older one is rolled", 0.0, 0, restart=130
)
def two_apps_ns(w: World) -> None:
    x(w)
    y(w, 4)
    w.at(100, lambda: w.roll("X", "ABCDE"))


@situation("three Services with 3 pods each serve B, created within seconds", 0.0, 0)
def three_svcs(w: World) -> None:
    x(w, 3)
    y(w, 3, 11)
    y(w, 3, 12, "B", "V")


@situation("an older headless Service over the same pods", 0.0, 0)
def headless_twin_older(w: World) -> None:
    w.at(5, lambda: w.service("X'", cluster_ips=(), headless=True))
    x(w)


@situation("one Service over two applications: 3 pods with A, 2 pods with B", 0.0, 0, interfaces="AB")
def mixed_svc(w: World) -> None:
    mixed(w, 3, 2)


@situation("one Service over two applications: 2 pods with A, 2 pods with B", 0.0, 0, interfaces="AB")
def mixed_svc_even(w: World) -> None:
    mixed(w, 2, 2)


def mixed(w: World, first: int, second: int) -> None:
    w.at(10, lambda: w.service("X"))
    w.at(10, lambda: w.pods("X", first, "A", application="p"))
    w.at(10, lambda: w.pods("X", second, "B", application="q"))


@situation(
    "two SOFAArk applications in one process on one port: one with A, the other, installed at 60, with B",
    0.0,
    0,
    interfaces="AB",
    start=80.0,
    remark="Looked at from 80 on",
)
def koupleless(w: World) -> None:
    w.at(10, lambda: w.service("X"))
    w.at(10, lambda: w.pods("X", 4, "AB", application="biz1", spacing=1e9))

    def install() -> None:
        for name in w.of("X"):
            process = w.processes[name]
            process.application = "biz2"
            w.register(process, "B", process.session)
            process.application = "biz1"

    w.at(60, install)


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
    "a short-lived pod that carries X's label registers something else; Y is as large as X",
    3.7,
    1,
    end=800,
    restart=230,
)
def cron_stray(w: World) -> None:
    x(w)
    y(w, 4)
    w.at(200, lambda: w.pod("cron", "X", "J"))
    w.at(260, lambda: w.stop("cron"))


@situation(
    "a pod that carries X's label serves something else for good; a gray Service has B",
    149.4,
    0,
    end=850,
    restart=130,
    remark="Every fifth connection to X meets the stray pod, with or without soadns: correct its labels",
)
def stray_same_label(w: World) -> None:
    x(w)
    gray(w)
    w.at(85, lambda: w.pod("stray", "X", "J"))


@situation("an older Service over the same pods does not expose the port that is dialled", 0.0, 0)
def ports_twin(w: World) -> None:
    w.at(5, lambda: w.service("X'", ports=(Port(8080),)))
    x(w)


@situation(
    "split to a Y of one pod, while X (8 pods) is rolled quickly, one pod every 12 s",
    25.2,
    1,
    restart=250,
    remark="Too small to take over while X's old pods outnumber it; the name moves when X votes no",
)
def split_Y_small(w: World) -> None:
    x(w, 8)
    gray(w, 120)
    w.at(200, lambda: w.roll("X", "ACDE", every=12.0))


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


@situation(
    "merge: B lives in Y, the older X is rolled to a version with it, then Y is scaled to nothing",
    34.5,
    1,
    restart=305,
    remark="Declare B on X half a minute before Y is scaled down, and nothing is lost",
)
def merge_Y_into_X(w: World) -> None:
    x(w, interfaces="ACDE")
    y(w, 4)
    w.at(120, lambda: w.roll("X", "ABCDE"))
    w.at(300, lambda: w.scale("Y", 0, ""))


@situation(
    "six VMs are redeployed one by one, 35 s each without a registration", 6.7, 0, end=600, restart=130
)
def vm_move_rolling_deploy(w: World) -> None:
    vms(w, 6)
    for i in range(6):
        w.at(100 + 60 * i, lambda i=i: w.stop(f"vm-{i}"))
        w.at(120 + 60 * i, lambda i=i: w.start(w.processes[f"vm-{i}"]))


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


@situation("all pods are killed and rescheduled at once; two VMs have B", 9.9, 0)
def killall_vms(w: World) -> None:
    x(w)
    vms(w, 2)

    def crash() -> None:
        for name in w.of("X"):
            w.kill(name, reschedule=True)
        w.at(w.now + 3, lambda: w.pods("X", 4, "ABCDE"))

    w.at(100, crash)


@situation("a rolling update that kills the old pods without a SIGTERM; two VMs have B", 0.0, 0, restart=130)
def roll_kill9(w: World) -> None:
    x(w)
    vms(w, 2)
    w.at(100, lambda: w.roll("X", "ABCDE", kill=True))


def crash_loop(w: World) -> None:
    old = w.of("X")
    for name in old:
        w.stop(name)
    w.at(112, lambda: w.pods("X", 4, "ABCDE", registers_after=688.0, ready_after=691.0))


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
