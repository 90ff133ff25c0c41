"""What registries hold beside providers: who calls an interface, and what governs those calls. Pure.

Nothing of it is kept: it is read when somebody asks (``soadns.sources.zkreading``). Consumers register themselves in
both dialects. Rules exist in Dubbo's alone: ``routers`` and ``configurators`` of an interface hold those of Dubbo 2.6
and of whoever still writes them; from 2.7 on they are nodes of the configuration centre, named after the interface
with its version and group, or after an application. SOFARPC's configurations and overrides are read by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import NamedTuple

from soadns.model import Caller
from soadns.sources import FormatError, dubbo, providerurl, sofa
from soadns.sources.dialects import Dialect
from soadns.sources.providerurl import flag

CONSUMERS = "consumers"
PROVIDERS = "providers"
RULES = ("routers", "configurators")
"""Categories below a Dubbo interface whose leaves are rules."""

CENTRE = ("config", "dubbo")
"""Where the rules of 2.7 and later are, below the root."""

OLD_CENTRE = "config"
"""Where 2.7.0 and 2.7.1 looked for them, below the root: ``config/<subject>/condition-router``."""

MAPPINGS = (("mapping",), ("config", "mapping"))
"""Where the service name mapping is, below the root: a child for each interface (3.x and 2.7.9 on; 2.7.5 on)."""

NO_SUBJECTS = frozenset({"dubbo", "mapping"})
"""Children of ``OLD_CENTRE`` that are something else."""

_KINDS = {
    ".condition-router": "a condition router",
    ".tag-router": "a tag router",
    ".script-router": "a script router",
    ".affinity-router": "an affinity router",
    ".configurators": "a configurator",
    ".MESHAPPRULE": "rules of a mesh",  # VirtualService and DestinationRule, obeyed by 3.x
}
_ROUTERS = {"condition": "a condition router", "tag": "a tag router", "script": "a script router"}


class Consumer(NamedTuple):
    """A leaf of ``consumers``."""

    caller: Caller
    asks: str
    """What it asks for and no direct URL gives it; else ``''``.

    For more than one group or version (``group=*``, ``version=*``, ``group=a,b``), for one that its release forgets
    then (``group=a with Dubbo 2.7.0``), or for more than one provider (``cluster=broadcast``). And for the only
    protocols that it speaks (``protocol=tri``), which the URL may have.
    """


class Rule(NamedTuple):
    """A rule of the configuration centre."""

    subject: str
    """The interface or the application that it is for."""
    text: str


def has_rules(dialect: Dialect) -> bool:
    """Whether anybody obeys rules in trees of this dialect."""
    return dialect is dubbo


def consumer_of(dialect: Dialect, leaf: str) -> Consumer | None:
    """Who registered this leaf of ``consumers``; None for what is no consumer."""
    try:
        url = providerurl.split(leaf, fragments=dialect is dubbo)
        host = _consumers_host(url.authority)
        query = providerurl.decode(url.query) if url.encoded else url.query
    except FormatError:
        return None
    if dialect is sofa:
        return Consumer(Caller(host, _plain(sofa.parameters_of(query).get("appName", ""))), "")
    parameters = dubbo.parameters_of(query)
    if url.scheme in ("empty", "override") or parameters.get("category", CONSUMERS) != CONSUMERS:
        return None
    return Consumer(Caller(host, _plain(parameters.get("application", ""))), _asks(parameters))


def _consumers_host(authority: str) -> str:
    """The host of a consumer, which has no port: 2.7 and SOFARPC write IPv6 without brackets. Raises FormatError."""
    bare = authority.partition("%")[0]
    return providerurl.address(f"[{bare}]" if bare.count(":") > 1 and _is_ipv6(bare) else authority)[0]


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


_OF_SEVERAL = {
    "cluster": frozenset({"broadcast", "forking", "mergeable"}),
    "loadbalance": frozenset({"consistenthash"}),
}
"""What a reference or one of its methods may say, for which there have to be several providers."""

_FORGETS = {"2.7.0": ("group",), "2.7.3": ("group", "version")}
"""Releases whose references lose these with a direct URL (apache/dubbo 3555 and 4784, ``ClusterUtils.mergeUrl``)."""


def _asks(parameters: Mapping[str, str]) -> str:
    """What a provider alone refuses, or does not do. Groups and versions are compared by ``UrlUtils.isMatch``."""
    group, version, release = (parameters.get(key, "") for key in ("group", "version", "release"))
    if group == "*" or "," in group:
        return f"group={_plain(group) or '...'}"
    if version == "*":
        return "version=*"
    for key in _FORGETS.get(release, ()):
        if said := parameters.get(key):
            return f"{key}={_plain(said) or '...'} with Dubbo {release}"
    for key, said in sorted(parameters.items()):
        if said in _OF_SEVERAL.get(key.rpartition(".")[2], ()):
            return f"{_plain(key.removeprefix(dubbo.DEFAULT)) or '...'}={said}"
    protocol = parameters.get("protocol", "")
    return f"protocol={_plain(protocol) or '...'}" if protocol not in ("", "consumer") else ""


def _plain(name: str) -> str:
    """The name of an application or a group as providers may have it, else none."""
    try:
        return providerurl.plain(name, "name")
    except FormatError:
        return ""


def rule_of(category: str, leaf: str) -> str:
    """What a leaf of a category of ``RULES`` is, in words; ``''`` for what is no rule or is switched off."""
    try:
        url = providerurl.split(leaf, fragments=True)
        query = providerurl.decode(url.query) if url.encoded else url.query
    except FormatError:
        return f"a rule in {category} that can not be read" if providerurl.is_url(leaf) else ""
    if url.scheme in ("empty", "consumer") or not flag(
        dubbo.parameters_of(query).get("enabled"), default=True
    ):
        return ""
    if category == "configurators":
        return f"a configurator ({url.scheme}://)"
    return f"{_ROUTERS.get(url.scheme, 'a router')} ({url.scheme}://)"


def central_rule_of(node: str) -> Rule | None:
    """The rule that a node of the configuration centre holds, by its name alone.

    Names are ``interface:version:group`` or an application, and a kind; up to 2.7.4 ``/`` of a name was ``*``.
    """
    for ending, kind in _KINDS.items():
        if node.endswith(ending):
            subject = node.removesuffix(ending).partition(":")[0].rpartition("*")[2]
            return Rule(subject, f"{kind} ({node} in the configuration centre)") if subject else None
    return None


def old_central_rule_of(subject: str, node: str) -> Rule | None:
    """The rule that a child of ``OLD_CENTRE`` has a node for."""
    kind = _KINDS.get(f".{node}")
    return Rule(subject, f"{kind} ({subject}/{node} in the configuration centre)") if kind else None


def token_of(dialect: Dialect, leaf: str) -> str:
    """The token that calls to this provider want; ``''`` for none. It is a secret."""
    if dialect is not dubbo:
        return ""
    try:
        url = providerurl.split(leaf, fragments=True)
        query = providerurl.decode(url.query) if url.encoded else url.query
    except FormatError:
        return ""
    token = dubbo.parameters_of(query).get("token", "")
    return token if dubbo.is_token(token) else ""
