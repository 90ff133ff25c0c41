"""Lost sessions, and a registry or an API server that can not be reached."""

from __future__ import annotations

from tests.situations.catalogue import Situation, gray, into, lose, vms, x
from tests.situations.world import World

TITLE = "Sessions and sources in trouble"
ROWS: list[Situation] = []
situation = into(ROWS)


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
