"""The command line. Verbs that look at a running soadns ask its HTTP API; ``serve`` and ``demo`` are the daemon.

Exit codes: 0 as asked; 1 the answer is "no" (unknown name, nothing found, something is missing, refused);
2 wrong usage or configuration; 3 no soadns answers. Modules are imported by the verb that needs them: ``lookup``
should not wait for a Kubernetes client to load.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from soadns import __version__, naming, render
from soadns.addresses import on_this_host, parse_address, print_address
from soadns.client import Client, ClientError
from soadns.config import DEFAULT_PATH, Config, ConfigError, effective, load, reference_page

OK, NO, USAGE, UNREACHABLE = 0, 1, 2, 3

EXAMPLES = """\
examples:
  soadns serve --config /etc/soadns/soadns.yaml
  soadns lookup com.alipay.user.UserService          what DNS answers, over the wire
  soadns explain com.alipay.user.UserService         why it answers that
  soadns list --conflicts                            names that several Services want
  soadns check --config soadns.yaml                  try every source and permission
  soadns release zookeeper/main/dubbo                let removals go that the guard holds

exit codes: 0 done, 1 "no" is the answer, 2 wrong usage or configuration, 3 no soadns answers
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    options = _parser().parse_args(arguments)
    verb: Callable[[argparse.Namespace], int] = options.verb
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what the terminal can not spell
    try:
        status = verb(options)
        sys.stdout.flush()
        return status
    except ConfigError as error:
        return _fail(USAGE, str(error))
    except ClientError as error:
        return _fail(UNREACHABLE if error.unreachable else USAGE if error.usage else NO, str(error))
    except BrokenPipeError:
        # The reader (head, less) has seen enough; do not complain again while flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130


# --------------------------------------------------------------------------- arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="soadns",
        description="Dubbo, SOFARPC and HSF interfaces as DNS names of the Kubernetes Services that run them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"soadns {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    serve = _verb(
        verbs, "serve", _serve, "run the name server", "soadns serve --config /etc/soadns/soadns.yaml"
    )
    _config_option(serve, required=True)

    demo = _verb(
        verbs, "demo", _demo, "run on example files: no ZooKeeper, no cluster, no root",
        "soadns demo --once\nsoadns demo --listen 127.0.0.1:5454 --http 127.0.0.1:8054",
    )  # fmt: skip
    demo.add_argument("--once", action="store_true", help="show the answers and end")
    demo.add_argument("--listen", default="127.0.0.1:5353", metavar="ADDRESS:PORT", help="DNS (%(default)s)")
    demo.add_argument("--http", default="127.0.0.1:8053", metavar="ADDRESS:PORT", help="HTTP (%(default)s)")
    demo.add_argument("--files", type=Path, metavar="FOLDER", help="other files than examples/dubbo-demo")

    lookup = _verb(
        verbs, "lookup", _lookup, "ask DNS for a name, over the wire",
        "soadns lookup com.alipay.user.UserService\nsoadns lookup blue/com.x.Pay:1.0.0 --tcp\n"
        "soadns lookup _dubbo._tcp.com.alipay.user.UserService --type SRV",
    )  # fmt: skip
    lookup.add_argument(
        "name", metavar="NAME", help="an interface ([group/]name[:version]) or a whole owner name"
    )
    lookup.add_argument("--type", default="", metavar="TYPE", help="A, AAAA, SRV, TXT, SOA, NS (A and AAAA)")
    lookup.add_argument("--tcp", action="store_true", help="ask by TCP")
    lookup.add_argument(
        "--server", default="", metavar="ADDRESS:PORT", help="the name server (nameserver.listen)"
    )
    lookup.add_argument("--zone", default="", help="zone to complete the name with (the first one)")
    _config_option(lookup)
    _output_option(lookup)

    explain = _verb(
        verbs, "explain", _explain, "from znode and Service to answer, and why",
        "soadns explain com.alipay.user.UserService\nsoadns explain --raw com.alipay.user.UserService -o json",
    )  # fmt: skip
    explain.add_argument("name", metavar="NAME", help="an interface or an owner name")
    explain.add_argument("--zone", default="", help="only in this zone")
    explain.add_argument("--raw", action="store_true", help="also the paths of its znodes, read now")
    _running_options(explain)

    listing = _verb(
        verbs, "list", _list, "interfaces and what they answer",
        "soadns list --match pay\nsoadns list --unbound -o json\nsoadns list --conflicts",
    )  # fmt: skip
    flags = listing.add_mutually_exclusive_group()
    for option, flag, text in (
        ("--unbound", "unbound", "without an answer"),
        ("--conflicts", "conflict", "that several Services want"),
        ("--stale", "stale", "whose evidence is gone or whose sources are out of sync"),
        ("--held", "held", "whose removal the guard holds"),
        ("--half-boarded", "half-boarded", "served by a Service and by the old world"),
    ):
        flags.add_argument(
            option, dest="flag", action="store_const", const=flag, default="", help=f"those {text}"
        )
    listing.add_argument("--match", default="", metavar="TEXT", help="those whose name contains TEXT")
    listing.add_argument("--zone", default="", help="only in this zone")
    listing.add_argument("--sources", action="store_true", help="list the sources instead")
    _running_options(listing)

    check = _verb(
        verbs, "check", _check, "try every source and permission once", "soadns check --config soadns.yaml"
    )
    _config_option(check, required=True)
    _output_option(check)

    config = _verb(
        verbs, "config", _config, "the configuration in effect, or the documentation of every key",
        "soadns config --config soadns.yaml\nsoadns config --reference",
    )  # fmt: skip
    config.add_argument("--reference", action="store_true", help="print the documentation of every key")
    _config_option(config)
    _output_option(config)

    reload = _verb(
        verbs, "reload", _reload, "have the running soadns read its configuration again",
        "soadns reload\nsoadns reload --accept-removals",
    )  # fmt: skip
    reload.add_argument("--accept-removals", action="store_true", help="even if many names go with it")
    _running_options(reload)

    release = _verb(
        verbs,
        "release",
        _release,
        "let the held removals of a source happen",
        "soadns release zookeeper/main/dubbo",
    )
    release.add_argument("source", metavar="SOURCE", help="a source id (soadns list --sources)")
    _running_options(release)

    version = _verb(verbs, "version", _version, "print the version", "soadns version -o json")
    _output_option(version)
    return parser


def _verb(verbs: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, examples: str) -> Any:
    shown = "examples:\n" + "\n".join(f"  {line}" for line in examples.splitlines())
    parser = verbs.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", epilog=shown,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(verb=run)
    return parser


def _config_option(parser: Any, *, required: bool = False) -> None:
    if required:
        parser.add_argument(
            "--config", default=DEFAULT_PATH, metavar="FILE", help="configuration (%(default)s)"
        )
    else:
        parser.add_argument(
            "--config", default="", metavar="FILE", help=f"configuration ({DEFAULT_PATH}, if any)"
        )


def _output_option(parser: Any) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(%(default)s)")


def _running_options(parser: Any) -> None:
    parser.add_argument(
        "--url", default=os.environ.get("SOADNS_URL", ""), help="HTTP API (SOADNS_URL, http.listen)"
    )
    parser.add_argument(
        "--token-file", default=os.environ.get("SOADNS_TOKEN_FILE", ""), metavar="FILE",
        help="bearer token (SOADNS_TOKEN_FILE, http.tokenFile)",
    )  # fmt: skip
    _config_option(parser)
    _output_option(parser)


# --------------------------------------------------------------------------- verbs


def _serve(options: argparse.Namespace) -> int:
    from soadns.app import ListenError, serve

    try:
        return serve(options.config)
    except ListenError as error:
        return _fail(NO, str(error))


def _demo(options: argparse.Namespace) -> int:
    from soadns.demo import DemoError, demo

    try:
        return demo(listen=options.listen, http=options.http, files=options.files, once=options.once)
    except DemoError as error:
        return _fail(USAGE if error.usage else NO, str(error))


def _lookup(options: argparse.Namespace) -> int:
    from soadns.lookup import TYPES, BadNameError, NoAnswerError, ask

    config = _optional_config(options)
    server = parse_address(options.server or config.nameserver.listen[0])
    if server is None:
        return _fail(USAGE, f"--server {options.server}: expected ADDRESS:PORT, e.g. 127.0.0.1:5353")
    server = (on_this_host(server[0]), server[1])
    kinds = [kind.strip().upper() for kind in options.type.split(",")] if options.type else ["A", "AAAA"]
    if wrong := [kind for kind in kinds if kind not in TYPES]:
        return _fail(USAGE, f"--type {wrong[0]}: known are {', '.join(TYPES)}")
    name = _whole_name(options.name, options.zone, config)
    try:
        replies = [ask(server, name, kind, tcp=options.tcp) for kind in kinds]
    except BadNameError as error:
        return _fail(USAGE, str(error))
    except NoAnswerError as error:
        return _fail(UNREACHABLE, str(error))
    if options.output == "json":
        _print_json({"replies": [reply.plain() for reply in replies]})
    else:
        for reply in replies:
            print(f";; {reply.question} {reply.type}: {reply.status} from {reply.server} ({reply.transport})")
            for row in (*reply.answer, *reply.authority):
                print(row)
    return OK if any(reply.answer for reply in replies) else NO


def _whole_name(text: str, zone: str, config: Config) -> str:
    """The owner name to ask for: an interface as typed, completed with its zone unless that is there."""
    zones = [zone] if zone else [each.name for each in config.zones]
    bare = text.removesuffix(".")
    if text.endswith(".") or any(bare.lower().endswith("." + z.removesuffix(".").lower()) for z in zones):
        return f"{bare}."
    owner = naming.owner_name(naming.parse_interface(bare)) if "/" in bare or ":" in bare else bare
    return f"{owner}.{zones[0].removesuffix('.')}."


def _explain(options: argparse.Namespace) -> int:
    client = _client(options)
    query = {"zone": options.zone, "raw": "1" if options.raw else ""}
    data = client.get(f"/v1/explain/{_quoted(options.name)}", query)
    _print(options, data, render.explanation)
    return OK if data["known"] else NO


def _list(options: argparse.Namespace) -> int:
    client = _client(options)
    if options.sources:
        data = client.get("/v1/sources")
        _print(options, data, lambda d: render.source_list(d["sources"]))
        return OK
    items = list(client.interfaces({"flag": options.flag, "match": options.match, "zone": options.zone}))
    _print(options, {"items": items}, lambda d: render.interface_list(d["items"]))
    return OK if items else NO


def _check(options: argparse.Namespace) -> int:
    from soadns.checks import check

    config = load(options.config)
    found = asyncio.run(check(config))
    bad = [finding for finding in found if finding.problem]
    if options.output == "json":
        rows = [{"source": f.source, "what": f.what, "ok": not f.problem, "problem": f.problem or None,
                 "cure": f.cure or None} for f in found]  # fmt: skip
        _print_json({"ok": not bad, "findings": rows})
        return NO if bad else OK
    for finding in found:
        print(f"{'FAIL' if finding.problem else 'ok  '} {finding.source}: {finding.what}"
              + (f": {finding.problem}" if finding.problem else ""))  # fmt: skip
    for cure in dict.fromkeys(finding.cure for finding in bad if finding.cure):
        print(f"\nmissing permissions; apply this and bind it to soadns's ServiceAccount:\n{cure}", end="")
    return NO if bad else OK


def _config(options: argparse.Namespace) -> int:
    if options.reference:
        print(reference_page(), end="")
        return OK
    config = load(options.config or DEFAULT_PATH)
    if options.output == "json":
        _print_json(effective(config))
    else:
        from soadns.yamlfile import dump

        print(dump(effective(config)), end="")
    return OK


def _reload(options: argparse.Namespace) -> int:
    data = _client(options).post("/v1/reload", {"acceptRemovals": options.accept_removals})

    def lines(data: dict[str, Any]) -> list[str]:
        said = ["the configuration is being read again"]
        said += [f"removed: {text}" for text in data["removed"]]
        if data["needsRestart"]:
            said.append(f"these hold from the next start only: {data['needsRestart']}")
        return said

    _print(options, data, lines)
    return OK


def _release(options: argparse.Namespace) -> int:
    data = _client(options).post("/v1/release", {"source": options.source})
    _print(options, data, lambda d: [f"{d['source']}: {d['names']} pending removals may happen now"])
    return OK


def _version(options: argparse.Namespace) -> int:
    python = ".".join(map(str, sys.version_info[:3]))
    _print(
        options,
        {"soadns": __version__, "python": python},
        lambda d: [f"soadns {d['soadns']} (Python {python})"],
    )
    return OK


# --------------------------------------------------------------------------- the running soadns


def _optional_config(options: argparse.Namespace) -> Config:
    """The named configuration; without one that of the default path, else the defaults."""
    if options.config:
        return load(options.config)
    if Path(DEFAULT_PATH).exists():
        return load(DEFAULT_PATH)
    return Config()


def _client(options: argparse.Namespace) -> Client:
    if options.url:
        return Client(options.url.rstrip("/"), options.token_file)
    config = _optional_config(options)
    where = parse_address(config.http.listen)
    if where is None:
        raise ClientError("http.listen is not set: there is no API to ask. Name one with --url")
    shown = print_address(on_this_host(where[0]), where[1])
    return Client(f"http://{shown}", options.token_file or config.http.token_file)


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="/:$")


def _print(
    options: argparse.Namespace, data: dict[str, Any], lines: Callable[[dict[str, Any]], list[str]]
) -> None:
    if options.output == "json":
        _print_json(data)
    else:
        print("\n".join(lines(data)))


def _print_json(data: object) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=2))


def _fail(status: int, message: str) -> int:
    print(f"soadns: {message}", file=sys.stderr)
    return status
