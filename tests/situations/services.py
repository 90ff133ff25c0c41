"""Services that are deleted and created again, and addresses that are used again."""

from __future__ import annotations

from tests.situations.catalogue import Situation, delete_with_pods, gray, into, vms, x, y
from tests.situations.world import World

TITLE = "Services that come, go and are created again"
ROWS: list[Situation] = []
situation = into(ROWS)


def kill_and_reuse(w: World, *, back: bool) -> None:
    victim = w.processes[w.of("X")[0]]
    w.kill(victim.name, reschedule=True)
    if back:
        w.at(w.now + 1, lambda: w.pods("X", 1, "ABCDE"))
    w.at(w.now + 3, lambda: w.pods("Z", 1, "F", ip=victim.ip))


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
