"""The direct URL by which an application calls an interface at its name, and why that may not be safe. Pure.

With a direct URL a Dubbo or SOFARPC consumer asks no registry, and what provider URLs used to tell it is gone. So the
URL carries that: Dubbo's consumers take parameters of a direct URL like those of a provider (ClusterUtils.mergeUrl)
and put what their own reference says above them. What no URL can carry (routers, tags, a token that nobody may see,
one call to every provider) is a reason to leave the interface out. So is ``tri``: its consumers look a name up once
(``docs/clients.md``), and after a move call whoever has the old address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soadns.model import Binding, Provider, ServedPort
from soadns.publishers.callsettings import combine
from soadns.publishers.verdicts import DEFAULT, DUBBO, SOFA, TRI, Said, Subject, Why, fits, judge, listed

FAMILIES = {DUBBO: ("dubbo", TRI), SOFA: ("bolt",)}
"""Protocols that have a direct URL of the framework, the preferred one first."""

CALLS_ON: Mapping[str, Mapping[str, str]] = {
    DUBBO: {"cluster.availablecheck": "false", "send.reconnect": "true"},
    SOFA: {},
}
"""What a URL says by family, so that calls go on when the one connection breaks.

A name is one invoker to Dubbo. When its provider says that it is going to stop, a consumer of 3.x takes the invoker out
of its list while the connection lasts (10 s), and has nobody left until a timer connects again, which may be a minute
later (``AbstractClusterInvoker``, ``dubbo.application.least-reconnect-duration``). Without the check it calls on: the
provider answers until it ends, and the next call opens a connection to another pod. 2.6 does that only if it is told to
(``AbstractClient``); else its timer does after up to two seconds.
"""


@dataclass(frozen=True, slots=True)
class DirectUrl:
    """One line, and what is to be said of it."""

    key: str
    url: str
    """``''`` where none can be made: the first reason says why."""
    reasons: tuple[Why, ...] = ()
    """Why it is not safe; nothing where it is."""
    notes: tuple[str, ...] = ()
    """What was decided for the operator, who may see it otherwise."""
    protocol: str = ""
    """That of the URL, or that it would have; ``''`` when nobody says one."""

    @property
    def why(self) -> tuple[str, ...]:
        """The reasons' texts."""
        return tuple(why.text for why in self.reasons)


def spoken(subject: Subject) -> set[str]:
    """The protocols of its providers; where none is registered, those after which its ports are named."""
    offered = {provider.protocol for provider in subject.providers}
    answer = subject.answer
    ports = answer.ports if isinstance(answer, Binding) else ()
    return offered or {port.protocol for port in ports}


def direct_url(subject: Subject, family: str) -> DirectUrl | None:
    """The line of a subject; None where nothing of it belongs to the family (the other one's interface)."""
    protocols = FAMILIES[family]
    answer = subject.answer
    ports = answer.ports if isinstance(answer, Binding) else ()
    words = spoken(subject)
    if words and not words & set(protocols) and _foreign(words, family):
        return None
    protocol = next((p for p in protocols if any(port.protocol == p for port in ports)), "")
    said = Said()
    if impossible := _impossible(subject, protocol, words, protocols):
        said.why.append(impossible)
    # Where no URL can be made, the reasons are those of the protocol that it would have.
    would = protocol or min(words & set(protocols), default="")
    judged = would or min(words, default="")
    speaking = [provider for provider in subject.providers if provider.protocol == judged]
    judge(subject, judged, speaking, said)
    if impossible:
        return DirectUrl(subject.key, "", tuple(said.why), tuple(said.notes), would)
    number = _port(subject, [port for port in ports if port.protocol == protocol], said)
    url = f"{protocol}://{subject.host}:{number}{_rest(subject, family, speaking, said)}"
    return DirectUrl(subject.key, url, tuple(said.why), tuple(said.notes), protocol)


def _port(subject: Subject, ports: Sequence[ServedPort], said: Said) -> int:
    """The port of the Service behind which all of its addresses have what is called, as far as one is."""
    best = min(ports, key=lambda port: subject.missed.get(port, 0))
    if missed := subject.missed.get(best, 0):
        several = (
            "1 address of its Service provides"
            if missed == 1
            else f"{missed} addresses of its Service provide"
        )
        said.no("ports", f"{several} it by another port or protocol than {best.protocol} at {best.port}")
    if rest := ", ".join(str(port.port) for port in ports if port != best):
        most = (
            "most providers are registered"
            if best == ports[0]
            else "most addresses of its Service provide it"
        )
        said.notes.append(f"port {best.port}, by which {most}; also {rest}")
    return best.port


def _foreign(words: set[str], family: str) -> bool:
    """Whether it is the other framework's, and nobody would expect a line of it here."""
    return any(words & set(protocols) for name, protocols in FAMILIES.items() if name != family)


def _impossible(subject: Subject, protocol: str, words: set[str], protocols: Sequence[str]) -> Why | None:
    """Why no URL can be made; None when one can."""
    answer = subject.answer
    if not isinstance(answer, Binding):
        detail = answer.detail or answer.reason if answer is not None else "nothing is known of it"
        return Why("not-answered", f"its name is not answered: {detail}")
    if not subject.host:
        return Why("no-name", subject.no_host)
    if protocol:
        odd = [p.path for p in subject.providers if p.protocol == protocol and not _PATH.fullmatch(p.path)]
        return Why("paths", f"its path can not be written in a direct URL: {odd[0]!a}") if odd else None
    at = f"Service {answer.service}" if answer.service is not None else "its name"
    if wanted := sorted(words & set(protocols)):
        registered = sorted({p.port for p in subject.providers if p.protocol in wanted})
        text = f"{at} has no port {listed(registered, 'or')}, by which its providers are registered"
        return Why("no-port", text)
    if subject.providers:
        text = f"it is offered by {listed(sorted(words))} alone, for which no direct URL is written"
        return Why("other-protocol", text)
    text = f"no provider is registered, and no port of {at} is named after a protocol ({listed(protocols, 'or')})"
    return Why("no-protocol", text)


def _rest(subject: Subject, family: str, speaking: Sequence[Provider], said: Said) -> str:
    """Path and parameters."""
    paths = sorted({p.path for p in speaking})
    path = paths[0] if paths else ""
    if len(paths) > 1:
        shown = listed([text or "the interface's name" for text in paths])
        said.no("paths", f"its providers have different paths: {shown}")
    combined = combine(speaking, family)
    said.why += [Why(reason, text) for reason, text in combined.why]
    said.notes += combined.notes
    if not speaking:
        said.notes.append("no provider is registered: nothing is known of timeout, retries and the like")
    parameters = {**CALLS_ON[family], **combined.parameters}
    if any(p.serialization for p in speaking):
        fixed = any(key == "serialization" for p in speaking for key, _ in p.settings)
        preferred = family == DUBBO and not fixed
        accepted = [p.serialization or (DEFAULT,) for p in speaking]
        parameters |= _serialization(accepted, said, preferred=preferred)
    if subject.tokens is not None and len(subject.tokens) == 1:
        [parameters["token"]] = subject.tokens
    kept = {key: value for key, value in parameters.items() if fits(value, family)}
    said.notes += [
        f"{key} is left out: its value can not be written in a direct URL"
        for key in parameters.keys() - kept.keys()
    ]
    query = "&".join(f"{key}={value}" for key, value in sorted(kept.items()))
    return (f"/{path}" if path else "") + (f"?{query}" if query else "")


def _serialization(accepted: Sequence[tuple[str, ...]], said: Said, *, preferred: bool) -> dict[str, str]:
    """What all providers understand: as they prefer it if they agree, else the default if they understand that.

    Consumers from Dubbo 3.2 on take the first of ``prefer.serialization``; older ones do not know it and write
    hessian2, by a direct URL as by a registry. ``preferred``: no provider says more than what it prefers
    (``serialization=X`` is for all callers), so a preference is all that they are told by name, too.
    """
    common = [name for name in accepted[0] if all(name in other for other in accepted)]
    agreed = len(set(accepted)) == 1
    if agreed and len(common) > 1 and DEFAULT in common[1:]:
        return {"prefer.serialization": ",".join(common)}
    if not agreed and DEFAULT in common and any(other[0] != DEFAULT for other in accepted):
        shown = listed(sorted({other[0] for other in accepted}))
        said.notes.append(f"its providers prefer {shown}: {DEFAULT}, which all of them understand")
    if DEFAULT in common:
        return {"serialization": DEFAULT}
    if not common:
        text = f"its providers have no serialization in common; {DEFAULT} is what nothing says"
        said.no("serialization", text)
        return {"serialization": DEFAULT}
    return {"prefer.serialization": ",".join(common)} if preferred else {"serialization": common[0]}


_PATH = re.compile(r"[^?;#\s]*")
"""A path behind which nothing of a URL begins, and no other URL: direct URLs are lists of such."""
