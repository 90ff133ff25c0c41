"""What the verbs of the command line do. Those that look at a running soadns ask its HTTP API.

Exit codes: 0 as asked; 1 the answer is "no" (unknown name, nothing found, something is missing, refused);
2 wrong usage or configuration; 3 no soadns answers. Answers go to stdout; what went wrong, why and what to type next
to stderr. Modules are imported by the verb that needs them: ``lookup`` should not wait for a Kubernetes client to
load.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from soadns import __version__, arguments, naming, narrate, render
from soadns.addresses import on_this_host, parse_address, print_address
from soadns.client import Client, ClientError
from soadns.config import Config
from soadns.configfile import DEFAULT_PATH, ConfigError, effective, load, reference_page
from soadns.publishers.properties import Line

OK, NO, USAGE, UNREACHABLE = 0, 1, 2, 3

_NO_CONFIGURATION = """
Name one with --config FILE; the keys are explained by: soadns config --reference
To try soadns without any: soadns demo"""
_NO_API = """
If none runs: soadns serve --config FILE
If it was started a moment ago: ask again
If it listens elsewhere: --url http://ADDRESS:PORT, SOADNS_URL, or --config FILE with its http.listen"""
_NO_NAME_SERVER = """
Does soadns run, and is it ready? soadns list --sources
If it listens elsewhere: --server ADDRESS:PORT, or --config FILE with its nameserver.listen"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    options = arguments.parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what the terminal can not spell
    try:
        status = _VERBS[options.verb](options)
        sys.stdout.flush()
        return status
    except (ConfigError, _UsageError) as error:
        return _fail(USAGE, str(error))
    except ClientError as error:
        if error.unreachable:
            return _fail(UNREACHABLE, f"{error}{_NO_API}")
        return _fail(USAGE if error.usage else NO, str(error))
    except BrokenPipeError:
        # The reader (head, less) has seen enough; do not complain again while flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130


# --------------------------------------------------------------------------- the daemon


def _serve(options: argparse.Namespace) -> int:
    from soadns.app import ListenError, serve

    try:
        return serve(_configuration(options))
    except ListenError as error:
        return _fail(NO, str(error))


def _demo(options: argparse.Namespace) -> int:
    from soadns.demo import DemoError, demo

    try:
        return demo(listen=options.listen, http=options.http, files=options.files, once=options.once)
    except DemoError as error:
        return _fail(USAGE if error.usage else NO, str(error))


# --------------------------------------------------------------------------- names


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
        return _fail(UNREACHABLE, f"{error}{_NO_NAME_SERVER}")
    data = {"replies": [reply.plain() for reply in replies]}
    _print(options, data, lambda d: render.replies(d["replies"], options.name))
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
    from urllib.parse import quote

    query = {"zone": options.zone, "raw": "1" if options.raw else ""}
    data = _client(options).get(f"/v1/explain/{quote(options.name, safe='/:$')}", query)
    _print(options, data, narrate.explanation)
    return OK if data["known"] else NO


def _list(options: argparse.Namespace) -> int:
    client = _client(options)
    if options.sources:
        data = client.get("/v1/sources")
        _print(options, data, lambda d: render.source_list(d["sources"]))
        return OK
    query = {"flag": options.flag, "match": options.match, "zone": options.zone}
    data = client.interfaces(query)
    narrowed = any(query.values())
    _print(options, data, lambda d: render.interface_list(d, width=_width(), narrowed=narrowed))
    return OK if data["items"] else NO


# --------------------------------------------------------------------------- configuration and operation


def _export(options: argparse.Namespace) -> int:
    from soadns.publishers import properties

    asked = (options.application, options.everyone, options.interface, options.previous)
    if options.what == "zonefile":
        if any((*asked, options.with_secrets)) or options.output != "text":
            raise _UsageError("export zonefile takes a zone, and none of the options of export resolve")
        for piece in _client(options).stream("/v1/zonefile", {"zone": options.zone}):
            print(piece.decode("ascii"), end="")
        return OK
    if not any(asked):
        raise _UsageError(
            "whose interfaces? --application NAME, --interface NAME, --everyone, or those of --previous FILE"
        )
    before = _direct_urls_of(options.previous) if options.previous else []
    query = {
        "zone": options.zone,
        "family": properties.FORMATS[options.format],
        "application": options.application,
        "interface": ",".join(options.interface),
        "everyone": "1" if options.everyone else "",
        "secrets": "1" if options.with_secrets else "",
    }
    data = _client(options).direct_urls(query, [line.key for line in before])
    application = options.application
    _print(
        options, data, lambda d: list(properties.lines(d["items"], options.format, application=application))
    )
    told = properties.changes(before, data["items"], options.previous)
    for line in [*told, *render.beside_direct_urls(data)] if options.output == "text" else ():
        print(f"soadns: {line}", file=sys.stderr)
    return OK if any(row["exported"] for row in data["items"]) else NO


def _boarded(options: argparse.Namespace) -> int:
    from soadns.boarded import boarded, by_family, page
    from soadns.publishers.properties import token

    lines = _direct_urls_of(options.file)
    client = _client(options)
    secrets = any(token(line.url) for line in lines)  # compared, and not shown
    query = {
        "zone": options.zone,
        "application": options.application,
        "secrets": "1" if secrets else "",
    }
    pages = [
        each
        for family, names in by_family(lines).items()
        for each in client.standing({**query, "family": family}, names)
    ]
    found = boarded(lines, pages, options.application)
    unread = list(dict.fromkeys(text for each in pages for text in each["unread"]))
    read = all(each["callersRead"] for each in pages)
    well = not unread and not any(each.problems for each in found)
    data = {
        "application": options.application or None,
        "well": well,
        "items": [each.plain() for each in found],
        "callersRead": read,
        "unread": unread,
    }
    _print(options, data, lambda _: page(found, unread, callers_read=read))
    return OK if well else NO


def _direct_urls_of(path: str) -> list[Line]:
    """What a file of direct URLs holds."""
    from soadns.publishers import properties

    try:
        lines = properties.read(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise _UsageError(f"{path} can not be read: {reason}") from None
    if not any(line.url for line in lines):
        raise _UsageError(f"{path}: no direct URL is in it; soadns export resolve writes such files")
    return lines


def _survey(options: argparse.Namespace) -> int:
    from soadns import surveypage
    from soadns.progress import Progress
    from soadns.survey import survey

    progress = Progress(sys.stderr, "interfaces")
    try:
        data = _client(options).survey({"zone": options.zone}, progress)
    finally:
        progress.end()
    found = survey(data["items"], data["outside"])
    shown = surveypage.EVERY if options.all else surveypage.SHOWN
    whole = {"zone": data["zone"], **found.plain(), **data}
    _print(options, whole, lambda d: surveypage.lines(found, d, shown=shown))
    return OK if data["items"] else NO


def _check(options: argparse.Namespace) -> int:
    from soadns.checks import check
    from soadns.composition import check_secrets

    path = _configuration(options)
    config = load(path)
    check_secrets(config, where=path)
    found = asyncio.run(check(config))
    ok = not any(finding.problem for finding in found)
    rows = [
        {"source": f.source, "what": f.what, "ok": not f.problem, "problem": f.problem or None,
         "note": f.note or None, "cure": f.cure or None}
        for f in found
    ]  # fmt: skip
    _print(options, {"ok": ok, "findings": rows}, lambda d: render.findings(d["findings"]))
    return OK if ok else NO


def _config(options: argparse.Namespace) -> int:
    if options.reference:
        print(reference_page(), end="")
        return OK
    data = effective(load(_configuration(options)))
    if options.output == "json":
        _print_json(data)
    else:
        from soadns.yamlfile import dump

        print(dump(data), end="")
    return OK


def _resolve(options: argparse.Namespace) -> int:
    from soadns import renderroutes

    place = parse_address(options.place)
    if place is None:
        raise _UsageError(f"{options.place}: expected ADDRESS:PORT, e.g. 10.96.1.7:20880")
    asked = naming.parse_interface(options.interface)
    name = options.interface if options.path else asked.name
    query = {
        "address": place[0],
        "port": str(place[1]),
        "interface": name,
        "group": options.group or ("" if options.path else asked.group),
        "version": options.of_version or ("" if options.path else asked.version),
        "zone": options.zone,
    }
    data = _client(options).get("/v1/resolve", query)
    if "error" in data:
        return _fail(NO, data["error"])
    _print(options, data, renderroutes.resolved)
    return NO if data["refused"] else OK


def _routes(options: argparse.Namespace) -> int:
    from soadns import renderroutes

    word = "service" if "/" in options.of else "address"
    data = _client(options).get("/v1/routes", {word: options.of, "zone": options.zone})
    if "error" in data:
        return _fail(NO, data["error"])
    if options.ruled:
        data["vips"] = [vip for vip in data["vips"] if len(vip["routes"]) > 1]
    _print(options, data, renderroutes.routes)
    return OK if data["vips"] else NO


def _mesh(options: argparse.Namespace) -> int:
    from soadns import renderroutes

    client = _client(options)
    if options.what == "moves":
        data = client.get("/v1/moves", {"zone": options.zone})
        if "error" in data:
            return _fail(NO, data["error"])
        data["moves"] = [move for move in data["moves"] if move["service"].endswith(options.service)]
        _print(options, data, renderroutes.moves)
        return OK if data["moves"] else NO
    if not options.service:
        raise _UsageError(
            "forget what has left which Service? soadns mesh forget shop/user com.x.UserService"
        )
    body = {"zone": options.zone, "service": options.service, "interface": options.interface}
    data = client.post("/v1/forget", body)
    _print(options, data, renderroutes.forgotten)
    return OK


def _reload(options: argparse.Namespace) -> int:
    data = _client(options).reload(accept_removals=options.accept_removals)
    _print(options, data, render.reloaded)
    return OK


def _release(options: argparse.Namespace) -> int:
    data = _client(options).post("/v1/release", {"source": options.source})
    _print(options, data, render.released)
    return OK


def _version(options: argparse.Namespace) -> int:
    python = ".".join(map(str, sys.version_info[:3]))
    data = {"soadns": __version__, "python": python}
    _print(options, data, lambda d: [f"soadns {d['soadns']} (Python {d['python']})"])
    return OK


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "serve": _serve, "demo": _demo, "lookup": _lookup, "explain": _explain, "list": _list, "check": _check,
    "config": _config, "reload": _reload, "release": _release, "export": _export, "survey": _survey,
    "boarded": _boarded, "resolve": _resolve, "routes": _routes, "mesh": _mesh, "version": _version,
}  # fmt: skip


# --------------------------------------------------------------------------- the running soadns, and the terminal


class _UsageError(Exception):
    """A verb that can not begin; the message says what to type instead."""


def _configuration(options: argparse.Namespace) -> str:
    """The path of the configuration of a verb that needs one."""
    if options.config == DEFAULT_PATH and not Path(DEFAULT_PATH).exists():
        raise _UsageError(f"there is no configuration at {options.config}{_NO_CONFIGURATION}")
    return str(options.config)


def _optional_config(options: argparse.Namespace) -> Config:
    """The named configuration; without one that of the default path, else the defaults."""
    if options.config:
        return load(options.config)
    if Path(DEFAULT_PATH).exists():
        return load(DEFAULT_PATH)
    return Config()


def _client(options: argparse.Namespace) -> Client:
    url = options.url or os.environ.get("SOADNS_URL", "")
    token_file = options.token_file or os.environ.get("SOADNS_TOKEN_FILE", "")
    if url:
        return Client(url.rstrip("/"), token_file)
    config = _optional_config(options)
    where = parse_address(config.http.listen)
    if where is None:
        raise _UsageError("http.listen is not set, so there is no API to ask. Name one with --url")
    shown = print_address(on_this_host(where[0]), where[1])
    return Client(f"http://{shown}", token_file or config.http.token_file)


def _width() -> int:
    """Columns of the terminal; 0, without limit, where nobody looks (a pipe)."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


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
