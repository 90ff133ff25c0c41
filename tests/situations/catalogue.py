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


@situation("rolling update, 4 pods, same interfaces", 0.0, 0, restart=130)
def rolling_same(w: World) -> None:
    x(w)
    w.at(100, lambda: w.roll("X", "ABCDE"))


@situation("rolling, pod ready 5 s before it registers (and serves)", 4.8, 0, restart=130)
def rolling_ready_first(w: World) -> None:
    x(w)
    w.at(100, lambda: w.roll("X", "ABCDE", ready_after=10.0))


@situation(
    "rolling, each process takes 40 s to register 5 interfaces one after another; gray Y has B too",
    0.0,
    0,
    restart=130,
)
def rolling_slow_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.roll("X", "ABCDE", spacing=8.0))


@situation("Recreate, 12+18 s without pods", 2.0, 0)
def recreate_20(w: World) -> None:
    x(w)
    w.at(100, lambda: w.recreate("X", "ABCDE", gap=12))


@situation("Recreate of X (main), 120 s gap, younger gray Y (1 pod) has B", 34.5, 2, restart=150)
def recreate_120_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.recreate("X", "ABCDE", gap=120))


@situation("Recreate, gap 30 s, registers slowly (8 s apart), B last, gray Y", 30.0, 2, restart=134)
def recreate_slow_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.recreate("X", "ACDEB", gap=12, spacing=8.0))


def lose(w: World, names: list[str], back: float, spacing: float = 0.05) -> None:
    for name in names:
        w.lose_session(name, back, spacing=spacing)


@situation("all sessions lost, back after 30 s", 0.0, 0)
def sess_all_30(w: World) -> None:
    x(w)
    w.at(100, lambda: lose(w, w.of("X"), 30))


@situation("half of the sessions lost, back after 30 s", 0.0, 0)
def sess_half_30(w: World) -> None:
    x(w)
    w.at(100, lambda: lose(w, w.of("X")[:2], 30))


@situation("one session lost, back after 30 s", 0.0, 0)
def sess_one_30(w: World) -> None:
    x(w)
    w.at(100, lambda: lose(w, w.of("X")[:1], 30))


@situation(
    "all of X's sessions lost for 20 min, pods serve on (registry direct has nothing)",
    0.0,
    0,
    end=2400,
    restart=700,
)
def sess_all_20min(w: World) -> None:
    x(w)
    w.at(100, lambda: lose(w, w.of("X"), 1200))


@situation("all lost, back after 30 s, slowly (8 s apart, B last); gray Y has B", 0.0, 0, restart=160)
def sess_all_slow_gray(w: World) -> None:
    x(w, interfaces="ACDEB")
    gray(w)
    w.at(100, lambda: lose(w, w.of("X"), 30, 8.0))


@situation("the same with 2 VMs left in the old world", 0.0, 0, restart=160)
def sess_all_slow_vms(w: World) -> None:
    x(w, interfaces="ACDEB")
    vms(w, 2)
    w.at(100, lambda: lose(w, w.of("X"), 30, 8.0))


@situation("ZooKeeper down 5 min", 0.0, 0, restart=250)
def zkdown_5(w: World) -> None:
    x(w)
    w.at(100, w.registry_down)
    w.at(400, w.registry_back)


@situation("ZooKeeper down 5 min, X (4 pods) rolled meanwhile", 0.0, 0, restart=250)
def zkdown_5_roll(w: World) -> None:
    x(w)
    w.at(100, w.registry_down)
    w.at(120, lambda: w.roll("X", "ABCDE"))
    w.at(400, w.registry_back)


@situation("ZooKeeper down 15 min, X rolled completely meanwhile", 0.0, 0, end=2400, restart=500)
def zkdown_15_roll(w: World) -> None:
    x(w)
    w.at(100, w.registry_down)
    w.at(200, lambda: w.roll("X", "ABCDE"))
    w.at(1000, w.registry_back)


@situation("API server down 5 min, one pod killed -9 meanwhile", 0.0, 0, restart=250)
def apidown_5(w: World) -> None:
    x(w)
    w.at(100, w.api_down)
    w.at(150, lambda: w.kill(w.of("X")[0], reschedule=True))
    w.at(153, lambda: w.pods("X", 1, "ABCDE"))
    w.at(400, w.api_back)


@situation("one of 4 pods killed -9 (restarts in place)", 0.0, 0)
def kill9_one(w: World) -> None:
    x(w)
    w.at(100, lambda: restart_in_place(w, w.of("X")[:1]))


def restart_in_place(w: World, names: list[str]) -> None:
    for name in names:
        w.kill(name)
        w.start(w.processes[name])


@situation("all 4 pods killed -9 (restart in place)", 3.0, 0)
def kill9_all(w: World) -> None:
    x(w)
    w.at(100, lambda: restart_in_place(w, w.of("X")))


@situation(
    "gray Y (1 pod) younger, appears at 150, scaled to 12 at 300 and back to 1 at 800",
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


@situation("gray Y (1 pod) is there first, main X (4 pods) comes at 150", 0.0, 1, restart=500)
def gray_older(w: World) -> None:
    gray(w, 5)
    w.at(150, lambda: w.service("X"))
    w.at(150, lambda: w.pods("X", 4, "ABCDE"))


@situation(
    "main X deleted at 100 with its pods kept, re-created at 105; gray Y older than the new X",
    19.5,
    1,
    restart=95,
)
def main_recreated_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.delete_service("X"))
    w.at(105, lambda: w.service("X"))


@situation("X deleted at 100, re-created at 200; gray Y", 24.5, 2, restart=105)
def main_recreated_late_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.delete_service("X"))
    w.at(200, lambda: w.service("X"))


@situation("Y with B up at 120; X rolled without B from 200", 4.5, 1, restart=210)
def split_Y_first(w: World) -> None:
    x(w)
    y(w, 4, 120)
    w.at(200, lambda: w.roll("X", "ACDE"))


@situation("X rolled without B from 100 to 200; Y with B from 260", 53.5, 1, restart=240)
def split_X_first(w: World) -> None:
    x(w)
    w.at(100, lambda: w.roll("X", "ACDE"))
    y(w, 4, 260)


@situation(
    "Service Y with declaration B applied at 120, its pods ready at 240; X rolled w/o B from 300",
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
    "Y exists (F only); at 120 helm sets declaration B and starts rolling Y to serve F,B; X loses B at 300",
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


@situation("Y up at 120 with B; declared at 200; X rolled w/o B at 300", 0.0, 1, restart=310)
def split_declared_after(w: World) -> None:
    x(w)
    y(w, 4, 120)
    w.at(200, lambda: w.declare("Y", "B"))
    w.at(300, lambda: w.roll("X", "ACDE"))


@situation("the same, Y in another namespace (declaration may not hijack)", 4.5, 1, restart=310)
def split_other_ns_declared(w: World) -> None:
    x(w)
    y(w, 4, 120, namespace="other")
    w.at(200, lambda: w.declare("Y", "B"))
    w.at(300, lambda: w.roll("X", "ACDE"))


@situation(
    "split to Y (200-300), then X rolled back with B at 400 and Y deleted with pods at 700",
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


@situation("Y exists (F) and adds B by rolling at 120; X drops it at 400", 4.5, 1, restart=410)
def split_existing_Y_adds(w: World) -> None:
    x(w)
    y(w, 4, interfaces="F")
    w.at(120, lambda: w.roll("Y", "FB"))
    w.at(400, lambda: w.roll("X", "ACDE"))


@situation("B served by 2 VMs; X (no B) rolls to a version with B", 2.7, 1, restart=150)
def add_by_rolling_vms(w: World) -> None:
    x(w, interfaces="ACDE")
    vms(w, 2)
    w.at(100, lambda: w.roll("X", "ABCDE"))


@situation("X scaled to 0 at 100, back at 400, nobody else", 2.0, 0, restart=250)
def scale0_alone(w: World) -> None:
    x(w)
    w.at(100, lambda: w.scale("X", 0, ""))
    w.at(400, lambda: w.scale("X", 4, "ABCDE"))


@situation("X to 0 at 100, back at 400; gray Y 1 pod", 34.5, 2)
def scale0_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.scale("X", 0, ""))
    w.at(400, lambda: w.scale("X", 4, "ABCDE"))


@situation("X to 0 at 100 (roll-back to the old world); 4 VMs serve B", 34.5, 1)
def scale0_vms(w: World) -> None:
    x(w)
    vms(w, 4)
    w.at(100, lambda: w.scale("X", 0, ""))


@situation("X redeployed without B at 100; 4 VMs still serve B", 31.4, 1, restart=150)
def drop_back_to_vms(w: World) -> None:
    x(w)
    vms(w, 4)
    w.at(100, lambda: w.roll("X", "ACDE"))


@situation("X deleted, re-created after 3 s with another ClusterIP, pods stay", 17.5, 1, restart=95)
def recreate_svc_3(w: World) -> None:
    x(w)
    w.at(100, lambda: w.delete_service("X"))
    w.at(103, lambda: w.service("X"))


@situation("the same after 60 s", 24.5, 2, restart=105)
def recreate_svc_60(w: World) -> None:
    x(w)
    w.at(100, lambda: w.delete_service("X"))
    w.at(160, lambda: w.service("X"))


@situation("X deleted at 100 for good, pods gone; Y serves B too", 24.5, 1, restart=105)
def delete_svc_other(w: World) -> None:
    x(w)
    y(w, 4)
    w.at(100, lambda: delete_with_pods(w, "X"))


@situation("X deleted with its pods; 4 VMs serve", 24.5, 1, restart=105)
def delete_svc_vms(w: World) -> None:
    x(w)
    vms(w, 4)
    w.at(100, lambda: delete_with_pods(w, "X"))


@situation("X deleted by mistake, pods stay registered; re-created at 400", 24.5, 2, restart=105)
def delete_svc_podsstay(w: World) -> None:
    x(w)
    w.at(100, lambda: w.delete_service("X"))
    w.at(400, lambda: w.service("X"))


@situation("X deleted at 100, Z takes its ClusterIP at 105; Y serves B", 19.5, 1, restart=102)
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


@situation("X's only pod killed -9 at 100 and rescheduled; Z's new pod gets its IP at 103", 1.0, 0)
def podip_reuse(w: World) -> None:
    x(w, 1)
    y(w, 2, 12, "F", "Z")
    w.at(100, lambda: kill_and_reuse(w, back=True))


@situation("X scaled to 0 with kill -9, Z (older, single pod, rolling) gets the IP", 0.0, 1, restart=117)
def podip_reuse_nomain(w: World) -> None:
    y(w, 1, 5, "F", "Z")
    x(w, 1)

    def reuse() -> None:
        old = w.of("Z")[0]
        kill_and_reuse(w, back=False)
        w.at(w.now + 25, lambda: w.stop(old))

    w.at(100, reuse)


@situation(
    "dynamic=false provider on a VM that dies at 50; 1 pod of X comes at 100",
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


@situation("3 such VMs dead, 2 pods of X from 100", 5.8, 0)
def persistent_dead_vm_3(w: World) -> None:
    w.at(5, lambda: w.vms(3, "B", dynamic=False))
    w.at(10, lambda: w.service("X"))
    for i in range(3):
        w.at(50, lambda i=i: w.kill(f"vm-{i}"))
    w.at(100, lambda: w.pods("X", 2, "ABCDE"))


@situation(
    "50 VMs; 50 pods come, one each 10 s from 100; VMs leave one each 10 s from 700", 0.0, 1, restart=400
)
def board_gradual(w: World) -> None:
    vms(w, 50)
    w.at(10, lambda: w.service("X"))
    for i in range(50):
        w.at(100 + 10 * i, lambda: w.pods("X", 1, "ABCDE"))
        w.at(700 + 10 * i, lambda i=i: w.stop(f"vm-{i}"))


@situation("50 VMs stay, 20 pods", 0.0, 0)
def board_never(w: World) -> None:
    vms(w, 50)
    w.at(100, lambda: w.service("X"))
    w.at(100, lambda: w.pods("X", 20, "ABCDE"))


@situation("4 VMs, HPA 4<->3 pods every 100 s", 0.0, 1, restart=350)
def board_oscillate(w: World) -> None:
    vms(w, 4)
    w.at(100, lambda: w.service("X"))
    w.at(100, lambda: w.pods("X", 4, "ABCDE"))
    for i in range(6):
        w.at(200 + 200 * i, lambda: w.scale("X", 3, "ABCDE"))
        w.at(300 + 200 * i, lambda: w.scale("X", 4, "ABCDE"))


@situation("two applications in one namespace serve B: X (4), Y (4), younger Y; X rolls", 0.0, 0, restart=130)
def two_apps_ns(w: World) -> None:
    x(w)
    y(w, 4)
    w.at(100, lambda: w.roll("X", "ABCDE"))


@situation("three Services 3/3/3 with B, deployed within seconds", 0.0, 0)
def three_svcs(w: World) -> None:
    x(w, 3)
    y(w, 3, 11)
    y(w, 3, 12, "B", "V")


@situation("headless twin over the same pods, older", 0.0, 0)
def headless_twin_older(w: World) -> None:
    w.at(5, lambda: w.service("X'", cluster_ips=(), headless=True))
    x(w)


@situation("one Service over P (3 pods, A) and Q (2 pods, B); A and B", 0.0, 0, interfaces="AB")
def mixed_svc(w: World) -> None:
    mixed(w, 3, 2)


@situation("one Service over two applications, 2 pods (A) and 2 pods (B)", 0.0, 0, interfaces="AB")
def mixed_svc_even(w: World) -> None:
    mixed(w, 2, 2)


def mixed(w: World, first: int, second: int) -> None:
    w.at(10, lambda: w.service("X"))
    w.at(10, lambda: w.pods("X", first, "A", application="p"))
    w.at(10, lambda: w.pods("X", second, "B", application="q"))


@situation(
    "one JVM, one bolt port, two SOFAArk applications (biz1: A, biz2: B); biz2 installed at 60",
    0.0,
    0,
    interfaces="AB",
    start=80.0,
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
    "old world only, 6 VMs: half expire at 100 (back 160), all expire at 300 (spread 3 s, back 360), "
    "one dies at 500 -9, VMs shut down one by one from 600",
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
    "a CronJob pod with X's label registers another interface; Y is as large as X",
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
    "a stray pod with X's label registers only J for good; gray Y (1) has B", 149.4, 0, end=850, restart=130
)
def stray_same_label(w: World) -> None:
    x(w)
    gray(w)
    w.at(85, lambda: w.pod("stray", "X", "J"))


@situation("two Services over the same pods, only one exposes the dialled port", 0.0, 0)
def ports_twin(w: World) -> None:
    w.at(5, lambda: w.service("X'", ports=(Port(8080),)))
    x(w)


@situation("Y with B, 1 pod only; X (8 pods) rolled without B from 200, 12 s each", 25.2, 1, restart=250)
def split_Y_small(w: World) -> None:
    x(w, 8)
    gray(w, 120)
    w.at(200, lambda: w.roll("X", "ACDE", every=12.0))


@situation(
    "X's canary: 1 of 4 pods without B for 5 min, then rolled back; nobody else has B", 75.2, 0, restart=250
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
    "B lives in Y (4); X (older, 4) rolled to serve B too from 120; Y scaled to 0 at 300",
    34.5,
    1,
    restart=305,
)
def merge_Y_into_X(w: World) -> None:
    x(w, interfaces="ACDE")
    y(w, 4)
    w.at(120, lambda: w.roll("X", "ABCDE"))
    w.at(300, lambda: w.scale("Y", 0, ""))


@situation("VM deploy: 6 VMs redeployed one by one (SIGTERM, 20 s, back)", 6.7, 0, end=600, restart=130)
def vm_move_rolling_deploy(w: World) -> None:
    vms(w, 6)
    for i in range(6):
        w.at(100 + 60 * i, lambda i=i: w.stop(f"vm-{i}"))
        w.at(120 + 60 * i, lambda i=i: w.start(w.processes[f"vm-{i}"]))


@situation("Recreate of X, 12+18 s; gray Y 1 pod has B", 30.0, 0)
def recreate_30_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: w.recreate("X", "ABCDE", gap=12))


@situation("Recreate of X; 2 VMs serve B", 30.0, 0)
def recreate_30_vms(w: World) -> None:
    x(w)
    vms(w, 2)
    w.at(100, lambda: w.recreate("X", "ABCDE", gap=12))


@situation("all X pods deleted with kill -9 and rescheduled; 2 VMs", 9.9, 0)
def killall_vms(w: World) -> None:
    x(w)
    vms(w, 2)

    def crash() -> None:
        for name in w.of("X"):
            w.kill(name, reschedule=True)
        w.at(w.now + 3, lambda: w.pods("X", 4, "ABCDE"))

    w.at(100, crash)


@situation("X (no preStop, kill -9) rolled; 2 VMs", 0.0, 0, restart=130)
def roll_kill9(w: World) -> None:
    x(w)
    vms(w, 2)
    w.at(100, lambda: w.roll("X", "ABCDE", kill=True))


def crash_loop(w: World) -> None:
    old = w.of("X")
    for name in old:
        w.stop(name)
    w.at(112, lambda: w.pods("X", 4, "ABCDE", registers_after=688.0, ready_after=691.0))


@situation("Recreate of X; new pods never come up until 800; gray Y", 74.5, 2, restart=150)
def crashloop_gray(w: World) -> None:
    x(w)
    gray(w)
    w.at(100, lambda: crash_loop(w))


@situation("the same, 2 VMs instead of gray", 74.6, 2, restart=150)
def crashloop_vms(w: World) -> None:
    x(w)
    vms(w, 2)
    w.at(100, lambda: crash_loop(w))


@situation(
    "X's readiness probe fails 100-300 (pods registered, serving); gray Y: registry direct is fine",
    200.0,
    0,
    restart=200,
)
def readiness_lost_gray(w: World) -> None:
    x(w)
    gray(w)

    def readiness(ready: bool) -> None:
        for name in w.of("X"):
            w.processes[name].ready = ready

    w.at(100, lambda: readiness(False))
    w.at(300, lambda: readiness(True))
