"""Why an interface is not safe to board: what a direct URL would change for its callers, and can not carry. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from soadns.model import Binding, Outcome, Provider, ServedPort

DUBBO, SOFA = "dubbo", "sofa"
TRI = "tri"

DEFAULT = "hessian2"
"""The serialization that a direct URL falls back to."""

REASONS: Mapping[str, str] = {
    "not-answered": "the name is not answered",
    "no-name": "no resolver can send the name, or another interface holds it",
    "no-service": "no Service serves it yet",
    "vanishing": "what spoke for its Service is gone, and its name is to go with it",
    "registry": "its traffic is sent to the registry",
    "no-port": "its Service does not have the providers' port",
    "ports": "its Service's addresses provide it by different ports or protocols",
    "other-protocol": "no direct URL is written for its protocols",
    "no-protocol": "nobody says its protocol",
    "split": "its groups and versions are served by several Services",
    "tri": "its callers look the name up once, and follow no move (--with-tri)",
    "applications": "its providers are on record by application alone, so what they want is not known",
    "rules": "routers or configurators govern its calls, or can not be read",
    "tags": "its providers are tagged",
    "tls": "its providers want TLS",
    "token": "its providers want a token",
    "serialization": "its providers do not understand hessian2",
    "paths": "its providers have different paths",
    "several": "its callers want more than one provider",
    "any": "an application that calls it asks for a group, version or protocol that no direct URL gives",
    "generic": "some of its providers take generic calls alone",
    "settings": "its providers say more than can be carried",
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
    asking: Sequence[tuple[str, str]] = ()
    """Applications that ask for what no direct URL gives, and what: ``version=*``, ``cluster=broadcast`` ..."""
    tokens: frozenset[str] | None = None
    """Those of its providers, where somebody asked for secrets and they could be read."""
    mapped: bool = False
    """Whether applications are on record as its providers."""
    missed: Mapping[ServedPort, int] = field(default_factory=dict)
    """How many addresses of its Service provide it, but not by that protocol where that port leads to."""
    tri: bool = False
    """Whether somebody takes it that callers by ``tri`` follow no move."""


@dataclass(slots=True)
class Said:
    """What is said of a subject so far."""

    why: list[Why] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def no(self, reason: str, text: str) -> None:
        """It is not safe; ``reason`` is a key of ``REASONS``."""
        self.why.append(Why(reason, text))


def judge(subject: Subject, protocol: str, speaking: Sequence[Provider], said: Said) -> None:
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
        text = f"its groups and versions are served by {listed(subject.split)}, and one line leads all to one"
        said.no("split", text)
    if subject.mapped and not subject.providers:
        unknown = "nothing is known of their timeout, serialization, token or TLS"
        said.no("applications", f"its providers are on record by application alone: {unknown}")
    for rule in subject.rules:
        said.no("rules", f"it has {rule}")
    for application, rule in subject.callers_rules:
        said.no("rules", f"{application}, which calls it, has {rule}")
    for application, asked in subject.asking:
        if not granted(asked, {protocol}):
            _judge_caller(f"{application}, which" if application else "somebody who", asked, protocol, said)
    if tags := sorted({value for p in subject.providers for key, value in p.settings if key == "dubbo.tag"}):
        said.no("tags", f"its providers are tagged ({', '.join(tags)}): a name leads to all of them")
    if any(p.tls for p in subject.providers):
        said.no("tls", "its providers want TLS, of which a direct URL says nothing")
    if any(p.token for p in subject.providers):
        _judge_tokens(subject.tokens, said)
    odd = sorted({p.serialization[0] for p in speaking if p.serialization and DEFAULT not in p.serialization})
    if odd:
        text = f"its providers want {listed(odd)}, and not {DEFAULT}, which a direct URL falls back to"
        said.no("serialization", text)
    if protocol == TRI and not subject.tri:
        said.no("tri", _once(subject))


def granted(asked: str, protocols: Iterable[str]) -> bool:
    """Whether an application that asks for this (``Reading.asking``) gets it by a URL of one of these protocols."""
    key, _, value = asked.partition("=")
    return key == "protocol" and not set(protocols).isdisjoint(word.strip() for word in value.split(","))


def _judge_caller(who: str, asked: str, protocol: str, said: Said) -> None:
    if asked.startswith(("group=", "version=")):
        said.no("any", f"{who} calls it, asks for {asked}, and by a direct URL its calls are refused")
    elif asked.startswith("protocol="):
        said.no("any", f"{who} calls it, asks for {asked}, and its URL is one of {protocol or 'no protocol'}")
    else:
        said.no("several", f"{who} calls it, has {asked}, and a name leads to one provider")


def _judge_tokens(tokens: frozenset[str] | None, said: Said) -> None:
    if tokens is None:
        said.no("token", "its providers want a token (--with-secrets writes it)")
    elif not tokens:
        said.no("token", "its providers want a token, which could not be read")
    elif not all(fits(token, DUBBO) for token in tokens):
        said.no("token", "its providers want a token that can not be written in a direct URL")
    elif len(tokens) > 1:
        said.no("token", "its providers want different tokens, and a name leads to any of them")


def _once(subject: Subject) -> str:
    """Why tri is a reason, and what its providers offer beside it."""
    text = (
        "callers by tri look its name up once per process, and follow no move until they restart (--with-tri)"
    )
    ports = sorted({p.port for p in subject.providers if p.protocol == "dubbo"})
    if not ports:
        return text
    return f"{text}; its providers speak dubbo, too, but its Service has no port {listed(ports, 'or')}"


_SEPARATORS = {DUBBO: "&;#", SOFA: "&;,="}
"""Characters that end a value, or the whole URL, for the parsers of the frameworks, which decode nothing."""


def fits(value: str, family: str) -> bool:
    """Whether a direct URL of the family can hold this value."""
    return value.isprintable() and not any(char in value for char in _SEPARATORS[family])


def listed(words: Iterable[object], last: str = "and") -> str:
    """``a, b and c``."""
    texts = [str(word) for word in words]
    return f" {last} ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
