"""Services that compete for an interface or share their pods."""

from __future__ import annotations

from soadns.model import Port
from tests.situations.catalogue import Situation, gray, into, x, y
from tests.situations.world import World

TITLE = "Several Services, or several applications in one"
ROWS: list[Situation] = []
situation = into(ROWS)


def mixed(w: World, first: int, second: int) -> None:
    w.at(10, lambda: w.service("X"))
    w.at(10, lambda: w.pods("X", first, "A", application="p"))
    w.at(10, lambda: w.pods("X", second, "B", application="q"))


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


@situation("an older Service over the same pods does not expose the port that is dialled", 0.0, 0)
def ports_twin(w: World) -> None:
    w.at(5, lambda: w.service("X'", ports=(Port(8080),)))
    x(w)


@situation("one Service over two applications: 3 pods with A, 2 pods with B", 0.0, 0, interfaces="AB")
def mixed_svc(w: World) -> None:
    mixed(w, 3, 2)


@situation("one Service over two applications: 2 pods with A, 2 pods with B", 0.0, 0, interfaces="AB")
def mixed_svc_even(w: World) -> None:
    mixed(w, 2, 2)


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
