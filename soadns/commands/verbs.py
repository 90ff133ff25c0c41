"""What the verbs of the command line do, all but ``serve``. Those that look at a running soadns ask its HTTP API.

Modules are imported by the verb that needs them: ``lookup`` should not wait for a Kubernetes client to load.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from soadns import __version__
from soadns.addresses import on_this_host, parse_address
from soadns.commands import boardingverbs
from soadns.commands.client import ClientError
from soadns.commands.console import (
    NO,
    OK,
    UNREACHABLE,
    USAGE,
    UsageError,
    api,
    configuration_path,
    fail,
    optional_config,
    print_json,
    show,
    width,
)
from soadns.settings.configfile import ConfigError, effective, load, reference_page
from soadns.text import narrate, render

if TYPE_CHECKING:
    from soadns.settings.config import Config

_NO_API = """
If none runs: soadns serve --config FILE
If it was started a moment ago: ask again
If it listens elsewhere: --url http://ADDRESS:PORT, SOADNS_URL, or --config FILE with its http.listen"""
_NO_NAME_SERVER = """
Does soadns run, and is it ready? soadns list --sources
If it listens elsewhere: --server ADDRESS:PORT, or --config FILE with its nameserver.listen"""


def run(options: argparse.Namespace) -> int:
    """Run the verb that was asked for; returns the exit status."""
    try:
        return _VERBS[options.verb](options)
    except (ConfigError, UsageError) as error:
        return fail(USAGE, str(error))
    except ClientError as error:
        if error.unreachable:
            return fail(UNREACHABLE, f"{error}{_NO_API}")
        return fail(USAGE if error.usage else NO, str(error))


def _demo(options: argparse.Namespace) -> int:
    from soadns.commands.demo import DemoError, demo

    try:
        return demo(listen=options.listen, http=options.http, files=options.files, once=options.once)
    except DemoError as error:
        return fail(USAGE if error.usage else NO, str(error))


# --------------------------------------------------------------------------- names


def _lookup(options: argparse.Namespace) -> int:
    from soadns.commands.lookup import TYPES, BadNameError, NoAnswerError, ask

    config = optional_config(options)
    server = parse_address(options.server or config.nameserver.listen[0])
    if server is None:
        return fail(USAGE, f"--server {options.server}: expected ADDRESS:PORT, e.g. 127.0.0.1:5353")
    server = (on_this_host(server[0]), server[1])
    kinds = [kind.strip().upper() for kind in options.type.split(",")] if options.type else ["A", "AAAA"]
    if wrong := [kind for kind in kinds if kind not in TYPES]:
        return fail(USAGE, f"--type {wrong[0]}: known are {', '.join(TYPES)}")
    name = _whole_name(options.name, options.zone, config)
    try:
        replies = [ask(server, name, kind, tcp=options.tcp) for kind in kinds]
    except BadNameError as error:
        return fail(USAGE, str(error))
    except NoAnswerError as error:
        return fail(UNREACHABLE, f"{error}{_NO_NAME_SERVER}")
    data = {"replies": [reply.plain() for reply in replies]}
    show(options, data, lambda d: render.replies(d["replies"], options.name))
    return OK if any(reply.answer for reply in replies) else NO


def _whole_name(text: str, zone: str, config: Config) -> str:
    """The owner name to ask for: an interface as typed, completed with its zone unless that is there."""
    from soadns import naming

    zones = [zone] if zone else [each.name for each in config.zones]
    bare = text.removesuffix(".")
    if text.endswith(".") or any(bare.lower().endswith("." + z.removesuffix(".").lower()) for z in zones):
        return f"{bare}."
    owner = naming.owner_name(naming.parse_interface(bare)) if "/" in bare or ":" in bare else bare
    return f"{owner}.{zones[0].removesuffix('.')}."


def _explain(options: argparse.Namespace) -> int:
    from urllib.parse import quote

    if options.manifest:
        from soadns.commands.rehearsalverb import rehearse

        return rehearse(options)
    query = {"zone": options.zone, "raw": "1" if options.raw else ""}
    data = api(options).get(f"/v1/explain/{quote(options.name, safe='/:$')}", query)
    show(options, data, narrate.explanation)
    return OK if data["known"] else NO


def _list(options: argparse.Namespace) -> int:
    client = api(options)
    if options.sources:
        data = client.get("/v1/sources")
        show(options, data, lambda d: render.source_list(d["sources"]))
        return OK
    query = {"flag": options.flag, "match": options.match, "zone": options.zone}
    data = client.interfaces(query)
    narrowed = any(query.values())
    show(options, data, lambda d: render.interface_list(d, width=width(), narrowed=narrowed))
    return OK if data["items"] else NO


# --------------------------------------------------------------------------- configuration and operation


def _check(options: argparse.Namespace) -> int:
    import asyncio

    from soadns.commands.checks import check
    from soadns.settings import credentials

    path = configuration_path(options)
    config = load(path)
    credentials.check(config, where=path)
    found = asyncio.run(check(config))
    ok = not any(finding.problem for finding in found)
    rows = [
        {"source": f.source, "what": f.what, "ok": not f.problem, "problem": f.problem or None,
         "note": f.note or None, "cure": f.cure or None}
        for f in found
    ]  # fmt: skip
    show(options, {"ok": ok, "findings": rows}, lambda d: render.findings(d["findings"]))
    return OK if ok else NO


def _config(options: argparse.Namespace) -> int:
    if options.reference:
        print(reference_page(), end="")
        return OK
    if options.schema:
        from soadns.settings.config import Config
        from soadns.settings.jsonschema import DRAFT, json_schema

        print_json({"$schema": DRAFT, **json_schema(Config)})
        return OK
    data = effective(load(configuration_path(options)))
    if options.output == "json":
        print_json(data)
    else:
        from soadns.yamlfile import dump

        print(dump(data), end="")
    return OK


def _resolve(options: argparse.Namespace) -> int:
    from soadns import naming
    from soadns.text import renderroutes

    place = parse_address(options.place)
    if place is None:
        raise UsageError(f"{options.place}: expected ADDRESS:PORT, e.g. 10.96.1.7:20880")
    asked = naming.parse_interface(options.interface)
    name = options.interface if options.path else asked.name
    query = {
        "address": place[0],
        "port": str(place[1]),
        "interface": name,
        "group": options.group or ("" if options.path else asked.group),
        "version": options.of_version or ("" if options.path else asked.version),
        "zone": options.zone,
        "istio": "1",
    }
    data = api(options).get("/v1/resolve", query)
    if "error" in data:
        return fail(NO, data["error"])
    show(options, data, renderroutes.resolved)
    return NO if data["refused"] else OK


def _routes(options: argparse.Namespace) -> int:
    from soadns.text import renderroutes

    word = "service" if "/" in options.of else "address"
    data = api(options).get("/v1/routes", {word: options.of, "zone": options.zone})
    if "error" in data:
        return fail(NO, data["error"])
    if options.ruled:
        data["vips"] = [vip for vip in data["vips"] if len(vip["routes"]) > 1]
    show(options, data, renderroutes.routes)
    return OK if data["vips"] else NO


def _mesh(options: argparse.Namespace) -> int:
    from soadns.text import renderroutes

    client = api(options)
    if options.what == "nodes":
        data = client.get("/v1/nodes")
        if "error" in data:
            return fail(NO, data["error"])
        show(options, data, renderroutes.nodes)
        return OK if data["nodes"] else NO
    if options.what == "verify":
        from soadns.commands.mosnverbs import verify_mosn

        return verify_mosn(options)
    if options.what == "status":
        from soadns.text import rendermesh

        _named(options.service, "soadns mesh status shop/user")
        data = client.get("/v1/mesh", {"service": options.service})
        if options.service and (problem := rendermesh.nothing(data, options.service)):
            return fail(NO, problem)
        show(options, data, rendermesh.mesh)
        return OK
    if options.what == "moves":
        _named(options.service, "soadns mesh moves shop/user")
        data = client.get("/v1/moves", {"zone": options.zone})
        if "error" in data:
            return fail(NO, data["error"])
        if options.service:
            data["moves"] = [m for m in data["moves"] if f"/{m['service']}".endswith(f"/{options.service}")]
        show(options, data, renderroutes.moves)
        return OK if data["moves"] else NO
    if not options.service:
        raise UsageError("forget what has left which Service? soadns mesh forget shop/user com.x.UserService")
    _named(options.service, "soadns mesh forget shop/user com.x.UserService")
    body = {"zone": options.zone, "service": options.service, "interface": options.interface}
    data = client.post("/v1/forget", body)
    show(options, data, renderroutes.forgotten)
    return OK


def _named(service: str, example: str) -> None:
    """Raises UsageError for what can be no Service's name."""
    if service and not (1 <= service.count("/") <= 2 and all(service.split("/"))):
        raise UsageError(f"{service}: expected NAMESPACE/NAME, e.g. {example}")


def _reload(options: argparse.Namespace) -> int:
    data = api(options).reload(accept_removals=options.accept_removals)
    show(options, data, render.reloaded)
    return OK


def _release(options: argparse.Namespace) -> int:
    data = api(options).post("/v1/release", {"source": options.source})
    show(options, data, render.released)
    return OK


def _version(options: argparse.Namespace) -> int:
    python = ".".join(map(str, sys.version_info[:3]))
    data = {"soadns": __version__, "python": python}
    show(options, data, lambda d: [f"soadns {d['soadns']} (Python {d['python']})"])
    return OK


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "demo": _demo, "lookup": _lookup, "explain": _explain, "list": _list, "check": _check,
    "config": _config, "reload": _reload, "release": _release, "export": boardingverbs.export_verb,
    "survey": boardingverbs.survey_verb,
    "boarded": boardingverbs.boarded_verb, "resolve": _resolve, "routes": _routes, "mesh": _mesh, "version": _version,
}  # fmt: skip
