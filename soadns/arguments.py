"""The verbs of the command line and their options, as a table. What a verb does is in ``soadns.cli``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from soadns import __version__
from soadns.configfile import DEFAULT_PATH

EXAMPLES = """\
examples:
  soadns serve --config /etc/soadns/soadns.yaml
  soadns lookup com.alipay.user.UserService          what DNS answers, over the wire
  soadns explain com.alipay.user.UserService         why it answers that
  soadns list --conflicts                            names that several Services want
  soadns resolve 10.96.1.7:20880 com.x.UserService   where a sidecar sends such a call
  soadns survey                                      what can call by name now, and what can not
  soadns boarded shop.properties --application shop  how an application does that calls by name
  soadns check --config soadns.yaml                  try every source and permission
  soadns release zookeeper/main/dubbo                let removals go that the guard holds

exit codes: 0 done, 1 "no" is the answer, 2 wrong usage or configuration, 3 no soadns answers
"""


@dataclass(frozen=True, slots=True)
class Option:
    """An argument in argparse's words: names, and what ``add_argument`` takes."""

    names: tuple[str, ...]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb; ``exclusive`` are options of which at most one is given."""

    name: str
    does: str
    examples: tuple[str, ...]
    options: tuple[Option, ...] = ()
    exclusive: tuple[Option, ...] = ()


def _text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def _option(*names: str, help: str, metavar: str = "", **settings: Any) -> Option:  # noqa: A002 - argparse's
    """An option with a text, or a positional argument that is not empty."""
    if not names[0].startswith("-"):
        settings["type"] = _text
    elif "type" not in settings:
        settings.setdefault("default", "")
    return Option(names, {"help": help, "metavar": metavar or names[0].strip("-").upper(), **settings})


def _switch(*names: str, help: str) -> Option:  # noqa: A002 - argparse's
    return Option(names, {"help": help, "action": "store_true"})


def _flag(name: str, flag: str, what: str) -> Option:
    """One of the ways to narrow a list down."""
    settings = {
        "dest": "flag",
        "action": "store_const",
        "const": flag,
        "default": "",
        "help": f"those {what}",
    }
    return Option((name,), settings)


_CONFIG = _option("--config", metavar="FILE", default=DEFAULT_PATH, help="configuration (%(default)s)")
_ANY_CONFIG = _option("--config", metavar="FILE", help=f"configuration ({DEFAULT_PATH}, if any)")
_OUTPUT = Option(
    ("-o", "--output"), {"choices": ("text", "json"), "default": "text", "help": "(%(default)s)"}
)
_API = (
    _option("--url", help="HTTP API (SOADNS_URL, http.listen)"),
    _option("--token-file", metavar="FILE", help="bearer token (SOADNS_TOKEN_FILE, http.tokenFile)"),
    _ANY_CONFIG,
)
"""How to reach a running soadns."""
_RUNNING = (*_API, _OUTPUT)
_ONE_ZONE = _option("--zone", help="only in this zone")
_WITH_TRI = _switch(
    "--with-tri", help="tri is safe enough: callers look a name up once, and are restarted after a move"
)

VERBS = (
    Verb("serve", "run the name server", ("soadns serve --config /etc/soadns/soadns.yaml",), (_CONFIG,)),
    Verb(
        "demo",
        "run on example files: no ZooKeeper, no cluster, no root",
        ("soadns demo --once", "soadns demo --listen 127.0.0.1:5454 --http 127.0.0.1:8054"),
        (
            _switch("--once", help="show the answers and end"),
            _option("--listen", metavar="ADDRESS:PORT", default="127.0.0.1:5353", help="DNS (%(default)s)"),
            _option("--http", metavar="ADDRESS:PORT", default="127.0.0.1:8053", help="HTTP (%(default)s)"),
            _option(
                "--files", metavar="FOLDER", type=Path, help="other files than examples/dubbo-demo/files"
            ),
        ),
    ),
    Verb(
        "lookup",
        "ask DNS for a name, over the wire",
        (
            "soadns lookup com.alipay.user.UserService",
            "soadns lookup blue/com.x.Pay:1.0.0 --tcp",
            "soadns lookup _dubbo._tcp.com.alipay.user.UserService --type SRV",
        ),
        (
            _option("name", help="an interface ([group/]name[:version]) or a whole owner name"),
            _option("--type", help="A, AAAA, SRV, TXT, SOA, NS, ANY (A and AAAA)"),
            _switch("--tcp", help="ask by TCP"),
            _option("--server", metavar="ADDRESS:PORT", help="the name server (nameserver.listen)"),
            _option("--zone", help="zone to complete the name with (the first one)"),
            _ANY_CONFIG,
            _OUTPUT,
        ),
    ),
    Verb(
        "explain",
        "from znode and Service to answer, and why",
        (
            "soadns explain com.alipay.user.UserService",
            "soadns explain --raw com.alipay.user.UserService -o json",
        ),
        (
            _option("name", help="an interface or an owner name"),
            _ONE_ZONE,
            _switch("--raw", help="also the paths of its znodes, read now"),
            *_RUNNING,
        ),
    ),
    Verb(
        "list",
        "interfaces and what they answer",
        ("soadns list --match pay", "soadns list --unbound -o json", "soadns list --conflicts"),
        (
            _option("--match", metavar="TEXT", help="those whose name contains TEXT"),
            _ONE_ZONE,
            *_RUNNING,
        ),
        exclusive=(
            _switch("--sources", help="list the sources instead"),
            _flag("--unbound", "unbound", "without an answer"),
            _flag("--conflicts", "conflict", "that several Services want"),
            _flag("--stale", "stale", "whose evidence is gone or whose sources are out of sync"),
            _flag("--held", "held", "whose removal the guard holds"),
            _flag("--half-boarded", "half-boarded", "served by a Service and by the old world"),
        ),
    ),
    Verb(
        "survey",
        "the whole estate: what can board now, what can not and why, who calls whom",
        (
            "soadns survey",
            "soadns survey --all",
            "soadns survey rpc.cluster.local -o json",
        ),
        (
            Option(
                ("zone",),
                {"metavar": "ZONE", "nargs": "?", "default": "", "help": "the zone (the only one)"},
            ),
            _switch("--all", help="every name, not the first ten of each kind"),
            _WITH_TRI,
            *_RUNNING,
        ),
    ),
    Verb(
        "boarded",
        "how a file of direct URLs does that an application has: what is behind its names, who still asks the registry",
        (
            "soadns boarded shop.properties --application shop",
            "soadns boarded shop.properties -o json",
        ),
        (
            _option("file", help="what soadns export resolve wrote, in any format"),
            _option("--application", metavar="NAME", help="the application that has it"),
            _ONE_ZONE,
            *_RUNNING,
        ),
    ),
    Verb(
        "export",
        "a zone in a form that other name servers, Dubbo and SOFARPC applications, or Istio read",
        (
            "soadns export zonefile",
            "soadns export zonefile rpc.cluster.local",
            "soadns export resolve --application shop",
            "soadns export resolve --application shop --previous shop.properties",
            "soadns export resolve --everyone --format config-center",
            "soadns export resolve --interface com.alipay.user.UserService -o json",
            "soadns export envoyfilters",
            "soadns export envoyfilters --service shop/user",
            "soadns export envoyfilters --diff",
            "soadns export mosn --node web-1.shop --ads soadns-ads.soadns:15010",
            "soadns export envoy /var/lib/soadns/envoy --follow",
            "soadns export envoy /var/lib/soadns/envoy --ads soadns-ads.soadns:15010 --node web-1.shop",
        ),
        (
            Option(
                ("what",),
                {
                    "choices": ("zonefile", "resolve", "envoyfilters", "mosn", "envoy"),
                    "help": "zonefile: a master file (RFC 1035); resolve: direct URLs for applications; "
                    "envoyfilters: objects for Istio, and why there are none; mosn: the file with which a MOSN starts; "
                    "envoy: a folder of files for Envoys without Istio",
                },
            ),
            Option(
                ("zone",),
                {
                    "metavar": "ZONE|FOLDER",
                    "nargs": "?",
                    "default": "",
                    "help": "the zone (the only one); of envoy: the folder",
                },
            ),
            _option("--zone", dest="of_zone", metavar="ZONE", help="envoy: the zone (the only one)"),
            _switch("--follow", help="envoy: keep the folder up to date, until this is ended"),
            _switch("--accept-removals", help="envoy: even if many listeners go with what is written"),
            _option("--envoy", metavar="FILE", help="envoy: have this Envoy check what is written"),
            _option(
                "--seen-as", metavar="FOLDER", help="envoy: where Envoy sees the folder, if that is elsewhere"
            ),
            Option(
                ("--unmatched",),
                {
                    "choices": ("reset", "pass"),
                    "default": "reset",
                    "help": "envoy: what becomes of connections to ClusterIPs without interfaces (%(default)s)",
                },
            ),
            _option(
                "--interface",
                help="this interface, even where it is not safe to board (any number of them)",
                metavar="NAME",
                action="append",
                default=[],
                type=_text,
            ),
            Option(
                ("--format",),
                {
                    "choices": ("resolve", "config-center", "sofa"),
                    "default": "resolve",
                    "help": "dubbo-resolve.properties, the text of Dubbo's configuration centre, or SOFARPC's direct "
                    "URLs (%(default)s)",
                },
            ),
            _option(
                "--previous",
                metavar="FILE",
                help="also the interfaces of this file: who calls by name is no longer registered as a caller",
            ),
            _switch("--with-secrets", help="write tokens, too"),
            _WITH_TRI,
            _option("--service", metavar="NAMESPACE/NAME", help="envoyfilters of this Service alone"),
            _switch("--diff", help="envoyfilters: what would change in the cluster, as a diff"),
            _option("--node", metavar="NAME", help="mosn, envoy: the node's name, e.g. pod.namespace"),
            _option("--namespace", metavar="NAME", help="mosn, envoy: the node's namespace"),
            _option(
                "--namespaces", metavar="A,B", help="mosn: only ClusterIPs of the Services of these (all)"
            ),
            _option(
                "--ads",
                metavar="HOST:PORT,...",
                help="mosn: where soadns serves ADS; none: the file alone counts; envoy: the start of an Envoy that is "
                "told all by ADS",
            ),
            _option(
                "--ads-tls", metavar="CA,CERT,KEY", help="mosn, envoy: paths of the PEM files in the pod"
            ),
            _option(
                "--listen",
                metavar="ADDRESS:PORT",
                help="mosn: where connections are redirected to (127.0.0.1:15001)",
            ),
            _option("--admin", metavar="ADDRESS:PORT", help="mosn: its admin port (127.0.0.1:34901)"),
            _option("--log", metavar="FILE", help="mosn: its log (/dev/stdout)"),
            _option("--log-level", metavar="LEVEL", help="mosn: TRACE to ERROR (WARN)"),
            *_RUNNING,
        ),
        exclusive=(
            _option("--application", metavar="NAME", help="the interfaces that this application calls"),
            _switch("--everyone", help="all interfaces"),
        ),
    ),
    Verb(
        "check",
        "try every source and permission once",
        ("soadns check --config soadns.yaml",),
        (_CONFIG, _OUTPUT),
    ),
    Verb(
        "config",
        "the configuration in effect, or the documentation of every key",
        ("soadns config --config soadns.yaml", "soadns config --reference"),
        (_switch("--reference", help="print the documentation of every key"), _CONFIG, _OUTPUT),
    ),
    Verb(
        "resolve",
        "where a sidecar sends a call, by what the wire says: ClusterIP and port, interface, group, version",
        (
            "soadns resolve 10.96.1.7:20880 com.x.UserService",
            "soadns resolve 10.96.1.7:20880 blue/com.x.UserService:1.0.0",
            "soadns resolve 10.96.1.7:20880 api/com.x.UserService --path",
        ),
        (
            _option("place", metavar="ADDRESS:PORT", help="the ClusterIP and Service port that is called"),
            _option("interface", metavar="INTERFACE", help="[group/]name[:version]"),
            _switch("--path", help="INTERFACE is the path of a provider's URL: it is not taken apart"),
            _option("--group", help="the group, where INTERFACE does not say it"),
            _option("--version", dest="of_version", metavar="VERSION", help="the version, likewise"),
            _option("--zone", help="the zone (the only one)"),
            *_RUNNING,
        ),
    ),
    Verb(
        "routes",
        "what sidecars are told of ClusterIPs: rules in order, the last one for everything else",
        ("soadns routes shop/user", "soadns routes 10.96.1.7", "soadns routes --ruled -o json"),
        (
            Option(
                ("of",),
                {
                    "metavar": "OF",
                    "nargs": "?",
                    "default": "",
                    "help": "a Service (namespace/name) or a ClusterIP",
                },
            ),
            _switch("--ruled", help="only those with more than the rule for everything else"),
            _option("--zone", help="the zone (the only one)"),
            *_RUNNING,
        ),
    ),
    Verb(
        "mesh",
        "sidecars: who is connected, whether a MOSN has what it was told, interfaces that moved, what is written",
        (
            "soadns mesh status",
            "soadns mesh nodes",
            "soadns mesh verify 127.0.0.1:34901 --node web-1.shop",
            "soadns mesh moves",
            "soadns mesh forget shop/user com.x.UserService",
            "soadns mesh forget shop/user",
        ),
        (
            Option(
                ("what",),
                {
                    "choices": ("moves", "forget", "status", "nodes", "verify"),
                    "help": "moves lists what moved, and forget forgets it; status: what is written to the cluster; "
                    "nodes: who has an ADS stream; verify: what a MOSN has, by its admin port",
                },
            ),
            Option(
                ("service",),
                {
                    "metavar": "SERVICE",
                    "nargs": "?",
                    "default": "",
                    "help": "whose callers (namespace/name); of verify, the admin port (ADDRESS:PORT)",
                },
            ),
            Option(
                ("interface",),
                {"metavar": "INTERFACE", "nargs": "?", "default": "", "help": "[group/]name[:version] (all)"},
            ),
            _option("--node", metavar="NAME", help="verify: the node's name"),
            _option("--namespaces", metavar="A,B", help="verify: as its file was exported (all)"),
            _option("--zone", help="the zone (the only one)"),
            *_RUNNING,
        ),
    ),
    Verb(
        "reload",
        "have the running soadns read its configuration again",
        ("soadns reload", "soadns reload --accept-removals"),
        (_switch("--accept-removals", help="even if many names go with it"), *_RUNNING),
    ),
    Verb(
        "release",
        "let the held removals of a source happen",
        ("soadns release zookeeper/main/dubbo",),
        (_option("source", help="a source id (soadns list --sources)"), *_RUNNING),
    ),
    Verb("version", "print the version", ("soadns version -o json",), (_OUTPUT,)),
)


class _Parser(argparse.ArgumentParser):
    """Says of a wrong usage where the right one is shown."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}\nWith examples: {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The parser; what it returns has the verb's name as ``verb``."""
    whole = _Parser(
        prog="soadns",
        description="Dubbo, SOFARPC and HSF interfaces as DNS names of the Kubernetes Services that run them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"soadns {__version__}")
    parsers = whole.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        one = parsers.add_parser(
            verb.name,
            help=verb.does,
            description=f"{verb.does[0].upper()}{verb.does[1:]}.",
            epilog="examples:\n" + "\n".join(f"  {line}" for line in verb.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.set_defaults(verb=verb.name)
        if verb.exclusive:
            group = one.add_mutually_exclusive_group()
            for option in verb.exclusive:
                group.add_argument(*option.names, **option.settings)
        for option in verb.options:
            one.add_argument(*option.names, **option.settings)
    return whole
