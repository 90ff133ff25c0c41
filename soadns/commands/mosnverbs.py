"""The verbs of the command line about MOSN: the file with which one starts, and what it has made of it."""

from __future__ import annotations

import argparse

from soadns.addresses import parse_address
from soadns.commands.client import Client
from soadns.commands.console import NO, OK, UsageError, api, fail, print_json, show


def export_mosn(options: argparse.Namespace) -> int:
    """The file with which a MOSN starts."""
    if not options.node:
        raise UsageError("whose file? --node NAME, e.g. --node web-1.shop")
    query = {
        "zone": options.zone,
        "node": options.node,
        "namespace": options.namespace,
        "namespaces": options.namespaces,
        "ads": options.ads,
        "adsTls": options.ads_tls,
        "listen": options.listen,
        "admin": options.admin,
        "log": options.log,
        "logLevel": options.log_level,
    }
    data = api(options).get("/v1/mosn", query)
    if "error" in data:
        return fail(NO, data["error"])
    print_json(data)
    return OK


def verify_mosn(options: argparse.Namespace) -> int:
    """Whether a MOSN has what it would be given now; it is asked by its admin port."""
    from soadns.commands.mosncheck import differences
    from soadns.text import renderroutes

    if parse_address(options.service) is None:
        raise UsageError("whose admin port? soadns mesh verify 127.0.0.1:34901")
    query = {"zone": options.zone, "node": options.node or "any", "namespaces": options.namespaces}
    told = api(options).get("/v1/mosn", query)
    if "error" in told:
        return fail(NO, told["error"])
    mosn = Client(f"http://{options.service}")
    found = differences(told, mosn.get("/api/v1/config_dump"))
    data = {"same": not found, "differences": [each._asdict() for each in found]}
    show(options, data, renderroutes.verified)
    return OK if not found else NO
