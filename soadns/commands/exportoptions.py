"""What ``soadns export`` is told: of five forms, some for one of them alone."""

from __future__ import annotations

import argparse

from soadns.commands.options import RUNNING, WITH_TRI, Option, Verb, option, switch, text

EXPORT = Verb(
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
        option("--zone", dest="of_zone", metavar="ZONE", help="the zone (the only one)"),
        switch("--follow", help="envoy: keep the folder up to date, until this is ended"),
        switch("--accept-removals", help="envoy: even if many listeners go with what is written"),
        option("--envoy", metavar="FILE", help="envoy: have this Envoy check what is written"),
        option(
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
        option(
            "--interface",
            help="this interface, even where it is not safe to board (any number of them)",
            metavar="NAME",
            action="append",
            default=[],
            type=text,
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
        option(
            "--previous",
            metavar="FILE",
            help="also the interfaces of this file: who calls by name is no longer registered as a caller",
        ),
        switch("--with-secrets", help="write tokens, too"),
        WITH_TRI,
        option("--service", metavar="NAMESPACE/NAME", help="envoyfilters of this Service alone"),
        switch("--diff", help="envoyfilters: what would change in the cluster, as a diff"),
        option("--node", metavar="NAME", help="mosn, envoy: the node's name, e.g. pod.namespace"),
        option("--namespace", metavar="NAME", help="mosn, envoy: the node's namespace"),
        option("--namespaces", metavar="A,B", help="mosn: only ClusterIPs of the Services of these (all)"),
        option(
            "--ads",
            metavar="HOST:PORT,...",
            help="mosn: where soadns serves ADS; none: the file alone counts; envoy: the start of an Envoy that is "
            "told all by ADS",
        ),
        option("--ads-tls", metavar="CA,CERT,KEY", help="mosn, envoy: paths of the PEM files in the pod"),
        option(
            "--listen",
            metavar="ADDRESS:PORT",
            help="mosn: where connections are redirected to (127.0.0.1:15001)",
        ),
        option("--admin", metavar="ADDRESS:PORT", help="mosn: its admin port (127.0.0.1:34901)"),
        option("--log", metavar="FILE", help="mosn: its log (/dev/stdout)"),
        option("--log-level", metavar="LEVEL", help="mosn: TRACE to ERROR (WARN)"),
        *RUNNING,
    ),
    exclusive=(
        option("--application", metavar="NAME", help="the interfaces that this application calls"),
        switch("--everyone", help="all interfaces"),
    ),
)

_ONLY = {
    "envoy": ("follow", "accept_removals", "envoy", "seen_as", "unmatched"),
    "mosn": ("namespaces", "listen", "admin", "log", "log_level"),
    "mosn and envoy": ("node", "namespace", "ads", "ads_tls"),
    "envoyfilters": ("service", "diff"),
    "resolve": ("application", "everyone", "interface", "format", "previous", "with_secrets", "with_tri"),
}
"""Forms, and what is for these alone."""


def settle(options: argparse.Namespace) -> str:
    """Have ``zone`` be the zone, wherever it stands (of envoy: ``of_zone``, for ``zone`` is the folder).

    Returns what is wrong where two are named, or an option is another form's: nothing that is said is passed over.
    """
    usual = {
        name.lstrip("-").replace("-", "_"): each.settings.get("default")
        for each in (*EXPORT.options, *EXPORT.exclusive)
        for name in each.names
    }
    for forms, names in _ONLY.items():
        if options.what in forms.split(" and "):
            continue
        for name in names:
            if getattr(options, name) != (usual[name] if usual[name] is not None else False):
                flag = name.replace("_", "-")
                return f"--{flag} is for export {forms}; export {options.what} does not take it"
    if options.what == "envoy" or not options.of_zone:
        return ""
    if options.zone and options.zone != options.of_zone:
        return f"which zone, {options.zone} or {options.of_zone}?"
    options.zone = options.of_zone
    return ""
