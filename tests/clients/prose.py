"""What ``docs/clients.md`` promises: written from ``tests/scenarios/stage/promises.py``, to which every run is held."""

from __future__ import annotations

from collections.abc import Iterator

from tests.clients.tables import NOTHING, head, line, name, opened
from tests.scenarios.stage.beside import TURNS_S
from tests.scenarios.stage.following import IN_A_ROW
from tests.scenarios.stage.promises import (
    BARE_LEAST_S,
    BUSY_S,
    BY_THEMSELVES,
    CALLS_LEFT,
    ENDING,
    ENDS_S,
    FOLLOWS_S,
    GONE,
    JVM_S,
    LEAST_DOWN_S,
    NEVER,
    OPENED,
    PART_MADE,
    PER_SECOND,
    PODS,
    REFUSED,
    UNNOTICED_S,
    WAITS,
    fails_killed,
    fails_restarted,
    waits_s,
)
from tests.scenarios.stage.residents import GONE_S, KEPT_S, PAUSE_S
from tests.scenarios.stage.riders import CLIENTS, LOCAL, NAME, REMEMBERS_S, TIMEOUT_MS, TWO_NAMES, Client
from tests.scenarios.stage.timeline import AFTER_S, COREDNS, DOWN_S, LOSSES, SILENT, THREADS

LOSS_COLUMNS = (
    "lost", "down", "who looks up: without an answer", "the others", "behind NodeLocal DNSCache",
    "calls made meanwhile", "calls that fail", "because",
)  # fmt: skip
POD_COLUMNS = (
    "client", "fail while both pods restart", "fail when the pod is killed", "the same with two names",
    "connections with two names", "because",
)  # fmt: skip
MOVE_COLUMNS = (
    "client", "connected", "pods gone", f"calls that fail then, of one every {PAUSE_S:g} s", "because",
)  # fmt: skip


def seconds(value: float) -> str:
    """As they are read."""
    return f"{value:g} s"


def losses() -> Iterator[str]:
    """By what is lost: how long it is down at least, and what waits at most; no call by name fails."""
    yield from head(LOSS_COLUMNS)
    for what in LOSSES:
        waits = (
            seconds(waits_s(what, looks_up=looks_up, cached=cached))
            for looks_up, cached in ((True, False), (False, False), (True, True))
        )
        left = f"{CALLS_LEFT[what]:.0%} at least" if what in CALLS_LEFT else NOTHING
        because = WAITS[what].because if what in WAITS else "nobody asks it who looks a name up"
        yield line(what, f"{seconds(DOWN_S[what])} or more", *waits, left, "0", because)


def pods() -> Iterator[str]:
    """By client: how many calls by name fail at most when pods end in good order, and when one is killed."""
    yield from head(POD_COLUMNS)
    for client in CLIENTS:
        twice = TWO_NAMES in client.ways
        yield line(
            name(client), str(fails_restarted(client)), str(fails_killed(client, NAME)),
            str(fails_killed(client, TWO_NAMES)) if twice else NOTHING,
            opened(OPENED[client.key][TWO_NAMES]) if twice else NOTHING, PODS[client.key].because,
        )  # fmt: skip


def moves() -> Iterator[str]:
    """By client: when it is at the new Service at the latest, and how many calls fail at most."""
    yield from head(MOVE_COLUMNS)
    for client in CLIENTS:
        kept = f"within {seconds(FOLLOWS_S[client.key])}" if client.key in BY_THEMSELVES else "stays"
        if client.key in REFUSED:
            kept += f", {REFUSED[client.key]} call may fail"
        if client.key in NEVER:
            yield line(name(client), kept, f"not within {seconds(GONE_S)}", "all", "it looks a name up once")
        else:
            said = GONE[client.key]
            yield line(name(client), kept, f"within {seconds(said.within_s)}", str(said.fails), said.because)


def settings() -> Iterator[str]:
    """What the stage sets."""
    cached = " and ".join(dict.fromkeys(map(_program, LOCAL)))
    after = max(AFTER_S, key=lambda what: AFTER_S[what])
    yield (
        f"- Each client begins {PER_SECOND} calls a second in each way, by {THREADS} threads. A call's time is up "
        f"after {seconds(TIMEOUT_MS / 1000)}, as its provider says."
    )
    yield (
        f"- Whatever is lost is away for {seconds(LEAST_DOWN_S)} at least, and looked at for up to "
        f"{seconds(AFTER_S[after])} after its return. ZooKeeper is away for longer than its sessions last."
    )
    yield (
        f"- *soadns silent*: both replicas are stopped (SIGSTOP) for {seconds(DOWN_S[SILENT])}, so that they neither "
        "answer nor refuse, as when nodes are lost and nobody has noticed yet."
    )
    yield (
        f"- A JVM remembers an address for {seconds(JVM_S)}. In the timeline it does for {seconds(REMEMBERS_S)}, so "
        f"that an outage is felt at once: with {seconds(JVM_S)} one of CoreDNS of {seconds(DOWN_S[COREDNS])} meets an "
        f"address that runs out in {DOWN_S[COREDNS] / JVM_S:.0%} of all cases."
    )
    yield (
        f"- Who notices nothing may be without an answer for {seconds(UNNOTICED_S)} on a busy machine, and for so much "
        "longer as those wait who ask the registry."
    )
    yield (
        f"- A caller that waits for nothing makes {PART_MADE:.0%} of its calls at least, and each of them fails or is "
        "answered by a pod that provides the interface: else the run has proved nothing, and fails."
    )
    yield (
        f"- When pods go, each time has {seconds(BUSY_S)} for a machine that does much else: here {ENDING} providers "
        "end at once, on two cores."
    )
    yield (
        f"- Who follows is asked on until {IN_A_ROW} answers in a row are the new pod's, one call after another with "
        f"{seconds(PAUSE_S)} between them. The old pods serve on for {seconds(KEPT_S)}, and then they "
        f"end, a few at a time; who goes nowhere is watched for {seconds(GONE_S)} more."
    )
    yield (
        f"- A Java provider with callers by a direct URL takes up to {seconds(ENDS_S)} to end, in which it answers. "
        f"Bare, a Dubbo 3 caller by `dubbo` then fails all calls for {seconds(BARE_LEAST_S)} and more."
    )
    yield (
        f"- The callers' pods have soadns as second name server, to which their resolvers turn after "
        f"{seconds(TURNS_S)} ([coredns.md](coredns.md#when-coredns-is-gone)); not those behind NodeLocal DNSCache."
    )
    yield f"- Behind NodeLocal DNSCache are {cached}: those who look up."


def _program(client: Client) -> str:
    return name(client).partition(",")[0]
