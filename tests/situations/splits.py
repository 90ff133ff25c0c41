"""Interfaces that move from one Service to another, and back."""

from __future__ import annotations

from tests.situations.catalogue import Situation, delete_with_pods, gray, into, x, y
from tests.situations.world import World

TITLE = "Interfaces on their way to another Service"
ROWS: list[Situation] = []
situation = into(ROWS)


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


@situation("split: an existing Y adds B by a rolling update, X drops it later", 4.5, 1, restart=410)
def split_existing_Y_adds(w: World) -> None:
    x(w)
    y(w, 4, interfaces="F")
    w.at(120, lambda: w.roll("Y", "FB"))
    w.at(400, lambda: w.roll("X", "ACDE"))


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
