"""What operators are told of each client, and a run is held to: by the tests of the run, and by that of the page.

Clients are named by their ``key``, ``dubbo-3.3.5/tri``. Every figure of ``docs/clients.md`` that no run writes is
written from here (``tests/clients/prose.py``).
"""

from __future__ import annotations

from typing import NamedTuple

from tests.scenarios.stage.beside import TURNS_S
from tests.scenarios.stage.network import NODE_LOCAL
from tests.scenarios.stage.residents import GONE_S, KEPT_S, PAUSE_S
from tests.scenarios.stage.residents import TIMEOUT_MS as MATRIX_TIMEOUT_MS
from tests.scenarios.stage.riders import (
    AT_A_TIME,
    BARE,
    CONNECTIONS,
    CONNECTIONS_EACH,
    NAME,
    PODS_EACH,
    REGISTRY,
    TIMEOUT_MS,
    TWO_NAMES,
    TWO_URLS,
    Client,
)
from tests.scenarios.stage.timeline import (
    COREDNS,
    EVERY_MS,
    KILLED,
    LOSSES,
    RESTARTED,
    SILENT,
    SOADNS,
    THREADS,
    lost,
)
from tests.scenarios.stage.town import TTL_S

DUBBO_2 = frozenset({"dubbo-2.6.12/dubbo", "dubbo-2.7.23/dubbo"})
DUBBO_3_DUBBO = frozenset({"dubbo-3.2.16/dubbo", "dubbo-3.3.5/dubbo"})
NEVER = frozenset({"dubbo-3.2.16/tri", "dubbo-3.3.5/tri"})
"""Who looks a name up once in its life to connect, and goes nowhere else."""
DUBBO_3 = DUBBO_3_DUBBO | NEVER
REST, SOFARPC = "rest/http", "sofarpc-5.12.0/bolt"
LOOKS_UP = DUBBO_3 | {REST, SOFARPC}
"""Who looks a name up though it is connected: when the JVM has forgotten it, for each call, or every ten seconds."""
BY_THEMSELVES = frozenset({REST, SOFARPC})
"""Who goes to another Service while its connection works."""
DEAF = frozenset({"sofarpc-5.6.0/bolt", "sofa-rpc-node-2.10.0/bolt"})
"""Who takes no timeout from providers, by a direct URL as by the registry."""

PER_SECOND = THREADS * 1000 // EVERY_MS
"""Calls that each client begins."""

# ---------------------------------------------------------------------- all of a server is lost

LEAST_DOWN_S = 15.0
"""So long each loss lasts, at least."""
UNNOTICED_S = 2.0
"""Who notices nothing may be without an answer for so long, on a machine that does much else; 0.7 s was seen."""


class Waits(NamedTuple):
    """How long a look-up waits for a name which CoreDNS, with ``stub.Corefile``, has answered within the hour."""

    beside_s: float
    """In a pod that has soadns as second name server and turns to it after ``TURNS_S``."""
    cached_s: float
    """In one that asks NodeLocal DNSCache, which asks CoreDNS."""
    because: str


_ASKS_S = 2.0
"""How long CoreDNS waits for an answer of a replica."""
WAITS = {
    SOADNS: Waits(2 * _ASKS_S, 2 * _ASKS_S, f"CoreDNS asks both replicas, and waits {_ASKS_S:g} s for each"),
    SILENT: Waits(
        2.0 * TURNS_S, 2 * _ASKS_S,
        "the same; meanwhile the pod's resolver turns to soadns, which is silent, and back",
    ),
    COREDNS: Waits(TURNS_S, 0.0, "the pod's resolver turns to soadns; the cache has the answer"),
}  # fmt: skip
"""By what is away."""
CALLS_LEFT = {SOADNS: 0.6, SILENT: 0.4}
"""Only the first look-ups wait: which part of the calls that they make without soadns those make by name, at least, who
look up at every call or every second."""
JVM_S = 30.0
"""How long a JVM remembers an address, if nobody says another time."""
PART_MADE = 0.4
"""Who waits for nothing makes so much of its calls, at least, on a machine that does much else: what was seen of fewer
proves nothing."""


def longest_s(client: Client, what: str) -> float:
    """How long a caller by name may be without an answer while something is lost and comes back, at most."""
    looks_up = f"{client.program}/{client.protocol}" in LOOKS_UP
    return waits_s(what, looks_up=looks_up, cached=client.nameserver == NODE_LOCAL)


def waits_s(what: str, *, looks_up: bool, cached: bool = False) -> float:
    """The same by whether somebody looks names up, and asks NodeLocal DNSCache."""
    if not looks_up or what not in WAITS:
        return UNNOTICED_S
    return UNNOTICED_S + (WAITS[what].cached_s if cached else WAITS[what].beside_s)


def least_calls(client: Client, way: str, phase: str, seconds: float) -> int:
    """How many calls are made in a way in a phase of the timeline that lasts for so long, at least."""
    looks_up = f"{client.program}/{client.protocol}" in LOOKS_UP and way != REGISTRY
    if phase == lost(COREDNS) and client.nameserver != NODE_LOCAL:
        # Each thread may wait for each call; half of what that leaves, on a machine that does much else.
        if looks_up:
            return int(THREADS * seconds / WAITS[COREDNS].beside_s / 2)
        if client.protocol == "http":  # its Service's own name is known to nobody else
            return 0
    left = CALLS_LEFT.get(_LOST.get(phase, ""), 1.0) if looks_up else 1.0
    # A call that hangs when its pod goes takes its time.
    hangs = {KILLED: 1, RESTARTED: PODS_EACH}.get(phase, 0) * TIMEOUT_MS / 1000
    return max(1, int(PART_MADE * left * PER_SECOND * (seconds - hangs)))


_LOST = {lost(what): what for what in LOSSES}
assert set(LOSSES) >= WAITS.keys() | CALLS_LEFT.keys()

# ---------------------------------------------------------------------- pods are lost


class Pods(NamedTuple):
    """What calls by name fail, at most, when their pod goes: those under way, and all that begin in some seconds."""

    restarted_s: float
    """For each pod that ends in good order."""
    killed_s: float
    because: str
    twice_s: float | None = None
    """When its URL is written twice or with two names, and a pod is killed; None: no better."""


_NEXT = "the next call connects"
_TRI = (
    "it tries to connect again after a second and then every three, and does not succeed at once: up to the"
)
_BOLT = "it looks after its connections once a second, as it is told to"
_OUT_S = 0.2
"""Until kube-proxy has taken a pod out that was killed, and callers know of it, on a machine that does much else."""
_DUBBO_2 = Pods(0.0, _OUT_S, f"{_NEXT}; over a single URL nothing is tried again", twice_s=0.0)
_DUBBO_3 = Pods(0.0, _OUT_S, f"{_NEXT}; what was under way is tried again")
PODS = {
    **dict.fromkeys(sorted(DUBBO_2), _DUBBO_2),
    "dubbo-3.2.16/dubbo": _DUBBO_3,
    # Seen were 1.2, 4.3, 7.4 and 10.4 s, and of 3.3.5 the first two; the other pod is there from the beginning.
    "dubbo-3.2.16/tri": Pods(10.5, 13.5, f"{_TRI} fifth time"),
    "dubbo-3.3.5/dubbo": _DUBBO_3,
    "dubbo-3.3.5/tri": Pods(4.5, 7.5, f"{_TRI} third time"),
    # Two looks that find the pod on its way out, and one that finds the other.
    "sofarpc-5.6.0/bolt": Pods(3.0, 3.0, _BOLT),
    "sofarpc-5.12.0/bolt": Pods(3.0, 3.0, _BOLT),
    "sofa-rpc-node-2.10.0/bolt": Pods(
        1.0, 0.5, "a pod on its way out answers with errors until it closes; then it connects again at once"
    ),
    "rest/http": Pods(_OUT_S, _OUT_S, "each call connects, for a moment to a pod that is gone"),
    "private-tcp/tcp": Pods(
        _OUT_S, _OUT_S, "each thread loses a call with its connection, and connects again at once"
    ),
}
"""By client."""
BARE_FAILS = frozenset(DUBBO_3_DUBBO)
"""Who is down for long when pods restart in good order, and its URL says nothing of it."""
BARE_LEAST_S = 5.0
"""So long, at least, with all the calls of that time failing."""


def fails_restarted(client: Client) -> int:
    """How many calls by name may fail while both pods restart, one after the other."""
    return PODS_EACH * _fail(PODS[client.key].restarted_s)


def fails_killed(client: Client, way: str) -> int:
    """How many calls may fail in a way by name when the pod is killed that gets them."""
    said = PODS[client.key]
    twice = way in (TWO_URLS, TWO_NAMES) and said.twice_s is not None
    return _fail(said.twice_s if twice and said.twice_s is not None else said.killed_s)


def _fail(seconds: float) -> int:
    return THREADS + round(seconds * PER_SECOND)


_EACH = {NAME: 1, CONNECTIONS: CONNECTIONS_EACH, TWO_URLS: 1, TWO_NAMES: 2, BARE: 1}
_NO_POOL = _EACH | {CONNECTIONS: 1}
OPENED = {
    **dict.fromkeys(sorted(DUBBO_2 | DUBBO_3_DUBBO), _EACH),
    **dict.fromkeys(sorted(NEVER), _NO_POOL),
    "sofarpc-5.6.0/bolt": _NO_POOL,
    # It looks up first: whatever leads to one address goes over the one connection of the process.
    "sofarpc-5.12.0/bolt": _NO_POOL | {CONNECTIONS: 0, TWO_URLS: 0, TWO_NAMES: 0},
    "sofa-rpc-node-2.10.0/bolt": {NAME: 1},
}
"""By client and way: how many connections its process opens for it, one way after the other; 0 where it shares."""

# ---------------------------------------------------------------------- an interface moves


class Gone(NamedTuple):
    """The old pods end, ``KEPT_S`` after the move: what a caller is promised that makes one call after another."""

    within_s: float
    """From their SIGTERM until calls reach the new Service, and no other."""
    fails: int
    """Calls that fail until then, at most."""
    because: str


SOFARPC_LOOKS_S = 10.0
"""How often SOFARPC 5.12 looks up a name to which it is connected."""
ENDING = len(NEVER) + AT_A_TIME
"""So many providers end at a time: those whose callers are watched to the end first, and some of the others."""
BUSY_S = 3.0
"""How much longer all of this may take on a machine on which other stories run as well, and so many providers end at
once."""
FOLLOWS_S = {REST: TTL_S + BUSY_S, SOFARPC: TTL_S + JVM_S + SOFARPC_LOOKS_S + BUSY_S}
"""Who goes to another Service by itself is there by then: CoreDNS keeps an answer for the zone's TTL, then the JVM
keeps it, and then SOFARPC has to look."""
REFUSED = {SOFARPC: 1}
"""Calls that fail in the moment in which somebody goes there by itself: SOFARPC 5.12 takes the new address in place of
the old one before it is connected there (``AbstractCluster.updateAllProviders``), which takes some milliseconds. Who
makes one call after another begins one in them, or none."""
ENDS_S = 14.0
"""How long a Java provider takes to end that has callers by a direct URL."""
CALL_S = MATRIX_TIMEOUT_MS / 1000
"""How long a call may take there, as its provider says."""
_ENDS_S = ENDS_S + CALL_S + BUSY_S
_ENDS = (
    f"its provider answers for up to {ENDS_S:g} s more; a call that is under way then may wait for its time of "
    f"{CALL_S:g} s"
)
_BOLT_S = PODS["sofarpc-5.6.0/bolt"].restarted_s
_REFUSES = (
    f"{_ENDS}; it refuses calls from when it takes its services back until it closes connections: some milliseconds, "
    "or what that takes a machine that does much else; the next one connects"
)


def _begun(seconds: float) -> int:
    """The call under way, and those that one after another begins in a time."""
    return 1 + round(seconds / PAUSE_S)


GONE = {
    **dict.fromkeys(sorted(DUBBO_2 | DUBBO_3_DUBBO), Gone(_ENDS_S, _begun(BUSY_S), _REFUSES)),
    "sofarpc-5.6.0/bolt": Gone(
        _BOLT_S + BUSY_S, _begun(_BOLT_S + BUSY_S), f"{_BOLT}, and may find the pod on its way out twice"
    ),
    SOFARPC: Gone(BUSY_S, 0, "it is there already"),
    "sofa-rpc-node-2.10.0/bolt": Gone(
        BUSY_S, _begun(BUSY_S), "it connects again at once, and calls fail until it has"
    ),
    REST: Gone(BUSY_S, 0, "it is there already"),
    "private-tcp/tcp": Gone(BUSY_S, THREADS, "a call fails with its connection, the next one connects"),
}
"""By client that follows then."""
assert GONE.keys() == PODS.keys() - NEVER
assert max(FOLLOWS_S.values()) < KEPT_S
assert max(each.within_s for each in GONE.values()) < GONE_S
# By then nobody remembers where the name led before.
assert TTL_S + JVM_S < KEPT_S
