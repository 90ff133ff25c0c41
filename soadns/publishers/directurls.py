"""The direct URL by which an application calls an interface at its name, and why that may not be safe. Pure.

With a direct URL a Dubbo or SOFARPC consumer asks no registry, and what provider URLs used to tell it is gone. So the
URL carries that: Dubbo's consumers take parameters of a direct URL like those of a provider (ClusterUtils.mergeUrl)
and put what their own reference says above them. What no URL can carry (routers, tags, a token that nobody may see,
one call to every provider) is a reason to leave the interface out. So is ``tri``: its consumers look a name up once
(``docs/clients.md``), and after a move call whoever has the old address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from soadns.model import Binding, Outcome, Provider
from soadns.publishers.callsettings import combine

DUBBO, SOFA = "dubbo", "sofa"
TRI = "tri"
FAMILIES = {DUBBO: ("dubbo", TRI), SOFA: ("bolt",)}
"""Protocols that have a direct URL of the framework, the preferred one first."""

_DEFAULT = "hessian2"

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

REASONS: Mapping[str, str] = {
    "not-answered": "the name is not answered",
    "no-name": "no resolver can send the name, or another interface holds it",
    "no-service": "no Service serves it yet",
    "vanishing": "what spoke for its Service is gone, and its name is to go with it",
    "registry": "its traffic is sent to the registry",
    "no-port": "its Service does not have the providers' port",
    "other-protocol": "no direct URL is written for its protocols",
    "no-protocol": "nobody says its protocol",
    "split": "its groups and versions are served by several Services",
    "tri": "its callers look the name up once, and follow no move (--with-tri)",
    "rules": "routers or configurators govern its calls, or can not be read",
    "tags": "its providers are tagged",
    "tls": "its providers want TLS",
    "token": "its providers want a token",
    "serialization": "its providers do not understand hessian2",
    "paths": "its providers have different paths",
    "several": "its callers want more than one provider",
}
"""Kinds of reasons why an interface is not safe to board, in words; each has a text of its own for the interface."""


class Why(NamedTuple):
    """Why an interface is not safe to board."""

    reason: str
    """A key of ``REASONS``."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is known of that for which one line is written.

    For Dubbo that is a Java name, for its consumers look their URL up by that alone; for SOFARPC an interface.
    """

    key: str
    """What the line says before ``=``: ``[group/]name``."""
    host: str
    """The whole name at which it answers; ``''`` when there is none."""
    no_host: str = ""
    """Why there is none."""
    answer: Outcome | None
    providers: Sequence[Provider] = ()
    """The usable ones, of all that the line holds for."""
    split: Sequence[str] = ()
    """The Services among which what the line holds for is divided; one or none is no split."""
    vanishing: bool = False
    """Whether its name is to go unless what spoke for its Service returns."""
    rules: Sequence[str] = ()
    """What governs its calls, in words, e.g. ``a condition router``."""
    callers_rules: Sequence[tuple[str, str]] = ()
    """Applications that call it, and what governs their calls, likewise."""
    tokens: frozenset[str] | None = None
    """Those of its providers, where somebody asked for secrets and they could be read."""
    tri: bool = False
    """Whether somebody takes it that callers by ``tri`` follow no move."""


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


@dataclass(slots=True)
class _Said:
    why: list[Why] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def no(self, reason: str, text: str) -> None:
        self.why.append(Why(reason, text))


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
    said = _Said()
    if impossible := _impossible(subject, protocol, words, protocols):
        said.why.append(impossible)
    # Where no URL can be made, the reasons are those of the protocol that it would have.
    would = protocol or min(words & set(protocols), default="")
    judged = would or min(words, default="")
    speaking = [provider for provider in subject.providers if provider.protocol == judged]
    _judge(subject, speaking, said)
    if judged == TRI and not subject.tri:
        said.no("tri", _once(subject))
    if impossible:
        return DirectUrl(subject.key, "", tuple(said.why), tuple(said.notes), would)
    numbers = [port.port for port in ports if port.protocol == protocol]
    if len(numbers) > 1:
        rest = ", ".join(map(str, numbers[1:]))
        said.notes.append(f"port {numbers[0]}, by which most providers are registered; also {rest}")
    url = f"{protocol}://{subject.host}:{numbers[0]}{_rest(subject, family, speaking, said)}"
    return DirectUrl(subject.key, url, tuple(said.why), tuple(said.notes), protocol)


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
        return None
    at = f"Service {answer.service}" if answer.service is not None else "its name"
    if wanted := sorted(words & set(protocols)):
        registered = sorted({p.port for p in subject.providers if p.protocol in wanted})
        text = f"{at} has no port {_listed(registered, 'or')}, by which its providers are registered"
        return Why("no-port", text)
    if subject.providers:
        text = f"it is offered by {_listed(sorted(words))} alone, for which no direct URL is written"
        return Why("other-protocol", text)
    text = f"no provider is registered, and no port of {at} is named after a protocol ({_listed(protocols, 'or')})"
    return Why("no-protocol", text)


def _judge(subject: Subject, speaking: Sequence[Provider], said: _Said) -> None:
    """What a direct URL would change for its callers."""
    answer = subject.answer
    if isinstance(answer, Binding) and answer.kind == "providers":
        reason = "no-service" if answer.service is None else "registry"
        said.no(reason, f"{REASONS[reason]}: its name answers the providers' own addresses")
    elif isinstance(answer, Binding) and subject.vanishing:
        said.no("vanishing", f"{REASONS['vanishing']} unless that returns")
    if isinstance(answer, Binding) and answer.kind == "headless":
        said.notes.append("its Service is headless: each connection stays at the pod it was opened to")
    if len(subject.split) > 1:
        text = (
            f"its groups and versions are served by {_listed(subject.split)}, and one line leads all to one"
        )
        said.no("split", text)
    for rule in subject.rules:
        said.no("rules", f"it has {rule}")
    for application, rule in subject.callers_rules:
        said.no("rules", f"{application}, which calls it, has {rule}")
    if tags := sorted({value for p in subject.providers for key, value in p.settings if key == "dubbo.tag"}):
        said.no("tags", f"its providers are tagged ({', '.join(tags)}): a name leads to all of them")
    if any(p.tls for p in subject.providers):
        said.no("tls", "its providers want TLS, of which a direct URL says nothing")
    if any(p.token for p in subject.providers):
        if subject.tokens is None:
            said.no("token", "its providers want a token (--with-secrets writes it)")
        elif not subject.tokens:
            said.no("token", "its providers want a token, which could not be read")
        elif len(subject.tokens) > 1:
            said.no("token", "its providers want different tokens, and a name leads to any of them")
    odd = sorted(
        {p.serialization[0] for p in speaking if p.serialization and _DEFAULT not in p.serialization}
    )
    if odd:
        text = f"its providers want {_listed(odd)}, and not {_DEFAULT}, which a direct URL falls back to"
        said.no("serialization", text)


def _once(subject: Subject) -> str:
    """Why tri is a reason, and what its providers offer beside it."""
    text = (
        "callers by tri look its name up once per process, and follow no move until they restart (--with-tri)"
    )
    ports = sorted({p.port for p in subject.providers if p.protocol == "dubbo"})
    if not ports:
        return text
    return f"{text}; its providers speak dubbo, too, but its Service has no port {_listed(ports, 'or')}"


def _rest(subject: Subject, family: str, speaking: Sequence[Provider], said: _Said) -> str:
    """Path and parameters."""
    paths = sorted({p.path for p in speaking})
    path = paths[0] if paths else ""
    if len(paths) > 1:
        shown = _listed([text or "the interface's name" for text in paths])
        said.no("paths", f"its providers have different paths: {shown}")
    combined = combine(speaking, family)
    said.why += [Why("several", text) for text in combined.why]
    said.notes += combined.notes
    if not speaking:
        said.notes.append("no provider is registered: nothing is known of timeout, retries and the like")
    parameters = {**CALLS_ON[family], **combined.parameters}
    if any(p.serialization for p in speaking):
        parameters |= _serialization([p.serialization or (_DEFAULT,) for p in speaking], said)
    if subject.tokens is not None and len(subject.tokens) == 1:
        [parameters["token"]] = subject.tokens
    kept = {key: value for key, value in parameters.items() if _fits(value, family)}
    said.notes += [
        f"{key} is left out: its value can not be written in a direct URL"
        for key in parameters.keys() - kept.keys()
    ]
    query = "&".join(f"{key}={value}" for key, value in sorted(kept.items()))
    return (f"/{path}" if path else "") + (f"?{query}" if query else "")


def _serialization(accepted: Sequence[tuple[str, ...]], said: _Said) -> dict[str, str]:
    """What all providers understand: as they prefer it if they agree, else the default if they understand that.

    Consumers from Dubbo 3.2 on take the first of ``prefer.serialization``; older ones do not know it and write
    hessian2, by a direct URL as by a registry.
    """
    common = [name for name in accepted[0] if all(name in other for other in accepted)]
    agreed = len(set(accepted)) == 1
    if agreed and len(common) > 1 and _DEFAULT in common[1:]:
        return {"prefer.serialization": ",".join(common)}
    if not agreed and _DEFAULT in common and any(other[0] != _DEFAULT for other in accepted):
        shown = _listed(sorted({other[0] for other in accepted}))
        said.notes.append(f"its providers prefer {shown}: {_DEFAULT}, which all of them understand")
    if _DEFAULT in common:
        return {"serialization": _DEFAULT}
    if not common:
        text = f"its providers have no serialization in common; {_DEFAULT} is what nothing says"
        said.no("serialization", text)
        return {"serialization": _DEFAULT}
    return {"serialization": common[0]}


_SEPARATORS = {DUBBO: "&;#", SOFA: "&;,="}
"""Characters that end a value, or the whole URL, for the parsers of the frameworks, which decode nothing."""


def _fits(value: str, family: str) -> bool:
    return value.isprintable() and not any(char in value for char in _SEPARATORS[family])


def _listed(words: Iterable[object], last: str = "and") -> str:
    texts = [str(word) for word in words]
    return f" {last} ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
