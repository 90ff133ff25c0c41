"""What the API says of routes, as text. Pure: the shapes of ``docs/http.md`` in, lines out."""

from __future__ import annotations

from typing import Any

from soadns.addresses import print_address
from soadns.text import renderfilters
from soadns.text.render import table

Data = dict[str, Any]
WHY = {
    "own": "the Service itself",
    "moved": "it has moved",
    "variant": "this group or version lives there",
    "providers": "the registry's providers have it",
    "missing": "a group or version that nobody has",
}
"""Why there is a rule, in words; ``why`` has the rest."""


def why(rule: Data) -> str:
    """Why there is a rule, in words."""
    if rule["why"] != "portless":
        return WHY[rule["why"]]
    return f"it lives at {rule['lives'] or 'its providers'}, where no port speaks this"


def resolved(data: Data) -> list[str]:
    """The lines of ``soadns resolve``."""
    rule = data["rule"]
    asked = spelled({key: data[key] or None for key in ("interface", "group", "version")})
    facts = [
        ["call", f"{asked} at {print_address(data['address'], data['port'])} ({data['at']})"],
        ["rule", f"{spelled(rule)}: {why(rule)}"],
    ]
    if data["refused"]:
        closed = " (sidecar.missing: closed)" if rule["why"] == "missing" else ""
        facts.append(["goes", f"nowhere: it is refused{closed}"])
        return table([*facts, *_istio(data)])
    if data["unclear"]:
        facts.append(["unclear", f"it may mean {', '.join(data['unclear'])}, which live in several places"])
    facts.append(["goes", goes(rule["to"])])
    if data["cluster"]:
        facts.append(["cluster", data["cluster"]])
    if data["host"]:
        facts.append(["host", f"{data['host']} port {data['istioPort']}"])
    ends = data["endpoints"]
    facts.append(["endpoints", f"{_FROM[ends['from']]} of {ends['of']}"])
    return table([*facts, *_istio(data)])


def _istio(data: Data) -> list[list[str]]:
    """How far Istio's sidecars are told of the rules of the ClusterIP, and why."""
    found = data.get("istio")
    if found is None:
        return []
    said = [
        f"{renderfilters.tier(found)}: {found['why']}",
        *(found[key] for key in ("crowded", "full") if found[key]),
    ]
    return [["istio", text] for text in said]


_FROM = {"endpointslices": "EndpointSlices", "registry": "the registry's providers"}


def goes(to: Data | None) -> str:
    """Where a rule leads, in a word."""
    if to is None:
        return "refused"
    if to["service"] is None:
        return f"providers of {to['endpoints']['of']}, port {to['port']}"
    kind = "" if to["kind"] == "service" else f" ({to['kind']})"
    return f"{to['service']} port {to['port']}{kind}"


def spelled(rule: Data) -> str:
    """What a rule compares: ``[group/]interface[:version]``, where ``-`` is that none is given."""
    group, version = ("-" if rule[key] == "" else rule[key] for key in ("group", "version"))
    text = f"{group}/{rule['interface']}" if group is not None else rule["interface"]
    return f"{text}:{version}" if version is not None else text


def routes(data: Data) -> list[str]:
    """The lines of ``soadns routes``."""
    lines = []
    for vip in data["vips"]:
        lines.append(f"{print_address(vip['address'], vip['port'])}  {vip['service']}")
        rows = [[spelled(rule), goes(rule["to"]), why(rule)] for rule in vip["routes"]]
        lines += table(rows, indent="  ")
    return lines or ["no ClusterIP has such routes"]


def moves(data: Data) -> list[str]:
    """The lines of ``soadns mesh moves``."""
    if not data["moves"]:
        return ["nothing has moved, as far as is known"]
    head = ["LEFT", "INTERFACE", "SINCE", "IS AT"]
    rows = [[m["service"], m["interface"], m["since"] or "-", m["to"] or "no Service"] for m in data["moves"]]
    return table([head, *rows])


def forgotten(data: Data) -> list[str]:
    """The lines of ``soadns mesh forget``."""
    lines = [
        f"{move['interface']} is forgotten at {move['service']}: calls of it there are that Service's again"
        for move in data["forgotten"]
    ]
    if data.get("untold"):
        lines.append(f"other replicas can not know it yet, it is tried again: {data['untold']}")
    return lines


def explained(data: Data) -> list[str]:
    """What ``soadns explain`` says of the routes of one name; nothing, where they say nothing."""
    if data["unready"]:
        return [f"  routes are not told yet: {data['unready']}"]
    rows = [[rule["at"], spelled(rule), goes(rule["to"]), why(rule)] for rule in data["rules"]]
    lines = ["  sidecars are told", *table(rows, indent="    ")] if rows else []
    if any(rule["why"] == "missing" for rule in data["rules"]):
        what = "refused" if data["missing"] == "closed" else "sent where the plain name leads"
        lines.append(f"    other groups and versions are {what} (sidecar.missing: {data['missing']})")
    for each in data["unclear"]:
        others = ", ".join(each["others"])
        lines.append(
            f"  calls of {each['wire']} at {each['service']} may mean {others}: no rule for it is told there"
        )
    return lines + [
        f"  calls of {wire} are led nowhere else: no sidecar takes such a name for itself alone"
        for wire in data["untold"]
    ]


def nodes(data: Data) -> list[str]:
    """The lines of ``soadns mesh nodes``."""
    if not data["nodes"]:
        return ["no sidecar is connected"]
    head = ["NODE", "KIND", "ZONE", "NAMESPACE", "FROM", "ROUTES", "STATE"]
    rows = []
    for node in data["nodes"]:
        routes = node["versions"].get("routes") or {}
        version = (routes.get("acknowledged") or "-").rpartition(".")[2]
        refused = any(each["refused"] for each in node["versions"].values())
        state = "refused something" if refused else "behind" if node["behind"] else "has all"
        rows.append(
            [
                node["node"],
                node["kind"],
                node["zone"],
                node["namespace"] or "-",
                node["address"],
                version,
                state,
            ]
        )
    return table([head, *rows])


def verified(data: Data) -> list[str]:
    """The lines of ``soadns mesh verify``."""
    if data["same"]:
        return ["it has what it was told"]
    rows = [[each["kind"], each["name"], each["what"], each["cure"]] for each in data["differences"]]
    return table([["WHAT", "NAME", "IS", "CURE"], *rows])
