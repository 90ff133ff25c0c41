"""The verbs of the command line and their options, as a table. What a verb does is in ``soadns.cli``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from soadns import __version__
from soadns.commands.exportoptions import EXPORT
from soadns.commands.options import (
    ANY_CONFIG,
    CONFIG,
    ONE_ZONE,
    OUTPUT,
    RUNNING,
    WITH_TRI,
    Option,
    Verb,
    flag,
    option,
    switch,
)

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


VERBS = (
    Verb("serve", "run the name server", ("soadns serve --config /etc/soadns/soadns.yaml",), (CONFIG,)),
    Verb(
        "demo",
        "run on example files: no ZooKeeper, no cluster, no root",
        ("soadns demo --once", "soadns demo --listen 127.0.0.1:5454 --http 127.0.0.1:8054"),
        (
            switch("--once", help="show the answers and end"),
            option("--listen", metavar="ADDRESS:PORT", default="127.0.0.1:5353", help="DNS (%(default)s)"),
            option("--http", metavar="ADDRESS:PORT", default="127.0.0.1:8053", help="HTTP (%(default)s)"),
            option("--files", metavar="FOLDER", type=Path, help="other files than examples/dubbo-demo/files"),
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
            option("name", help="an interface ([group/]name[:version]) or a whole owner name"),
            option("--type", help="A, AAAA, SRV, TXT, SOA, NS, ANY (A and AAAA)"),
            switch("--tcp", help="ask by TCP"),
            option("--server", metavar="ADDRESS:PORT", help="the name server (nameserver.listen)"),
            option("--zone", help="zone to complete the name with (the first one)"),
            ANY_CONFIG,
            OUTPUT,
        ),
    ),
    Verb(
        "explain",
        "from znode and Service to answer, and why",
        (
            "soadns explain com.alipay.user.UserService",
            "soadns explain --raw com.alipay.user.UserService -o json",
            "soadns explain --manifest user.yaml",
        ),
        (
            option("--cluster", metavar="NAME", help="to which cluster it would be (the first zone's)"),
            ONE_ZONE,
            switch("--raw", help="also the paths of its znodes, read now"),
            *RUNNING,
        ),
        exclusive=(
            option("name", help="an interface or an owner name", nargs="?"),
            Option(
                ("--manifest",),
                {
                    "metavar": "FILE",
                    "action": "append",
                    "help": "what would change if it were applied (any number of them; - for stdin)",
                },
            ),
        ),
        one_of=True,
    ),
    Verb(
        "list",
        "interfaces and what they answer",
        ("soadns list --match pay", "soadns list --unbound -o json", "soadns list --conflicts"),
        (
            option("--match", metavar="TEXT", help="those whose name contains TEXT"),
            ONE_ZONE,
            *RUNNING,
        ),
        exclusive=(
            switch("--sources", help="list the sources instead"),
            flag("--unbound", "unbound", "without an answer"),
            flag("--conflicts", "conflict", "that several Services want"),
            flag("--stale", "stale", "whose evidence is gone or whose sources are out of sync"),
            flag("--held", "held", "whose removal the guard holds"),
            flag("--half-boarded", "half-boarded", "served by a Service and by the old world"),
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
            switch("--all", help="every name, not the first ten of each kind"),
            WITH_TRI,
            *RUNNING,
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
            option("file", help="what soadns export resolve wrote, in any format"),
            option("--application", metavar="NAME", help="the application that has it"),
            ONE_ZONE,
            *RUNNING,
        ),
    ),
    EXPORT,
    Verb(
        "check",
        "try every source and permission once",
        ("soadns check --config soadns.yaml",),
        (CONFIG, OUTPUT),
    ),
    Verb(
        "config",
        "the configuration in effect, or the documentation of every key",
        (
            "soadns config --config soadns.yaml",
            "soadns config --reference",
            "soadns config --schema",
        ),
        (
            switch("--reference", help="print the documentation of every key"),
            switch("--schema", help="print what every key may be, as a JSON schema for editors"),
            CONFIG,
            OUTPUT,
        ),
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
            option("place", metavar="ADDRESS:PORT", help="the ClusterIP and Service port that is called"),
            option("interface", metavar="INTERFACE", help="[group/]name[:version]"),
            switch("--path", help="INTERFACE is the path of a provider's URL: it is not taken apart"),
            option("--group", help="the group, where INTERFACE does not say it"),
            option("--version", dest="of_version", metavar="VERSION", help="the version, likewise"),
            option("--zone", help="the zone (the only one)"),
            *RUNNING,
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
            switch("--ruled", help="only those with more than the rule for everything else"),
            option("--zone", help="the zone (the only one)"),
            *RUNNING,
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
            option("--node", metavar="NAME", help="verify: the node's name"),
            option("--namespaces", metavar="A,B", help="verify: as its file was exported (all)"),
            option("--zone", help="the zone (the only one)"),
            *RUNNING,
        ),
    ),
    Verb(
        "reload",
        "have the running soadns read its configuration again",
        ("soadns reload", "soadns reload --accept-removals"),
        (switch("--accept-removals", help="even if many names go with it"), *RUNNING),
    ),
    Verb(
        "release",
        "let the held removals of a source happen",
        ("soadns release zookeeper/main/dubbo",),
        (option("source", help="a source id (soadns list --sources)"), *RUNNING),
    ),
    Verb("version", "print the version", ("soadns version -o json",), (OUTPUT,)),
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
            group = one.add_mutually_exclusive_group(required=verb.one_of)
            for option in verb.exclusive:
                group.add_argument(*option.names, **option.settings)
        for option in verb.options:
            one.add_argument(*option.names, **option.settings)
    return whole
