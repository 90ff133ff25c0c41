"""What ``soadns mesh status`` prints. Pure: the shape of ``docs/http.md`` in, lines out."""

from __future__ import annotations

from typing import Any

from soadns.render import table
from soadns.renderfilters import tier

Data = dict[str, Any]
_SHARED = ("shared", "forgotten", "untold", "omitted")


def mesh(data: Data) -> list[str]:
    """All of it."""
    rows = _share(data["share"]) + _istio(data["istio"])
    if not rows:
        return ["nothing is written to the cluster (sidecar.share.moves: false, sidecar.istio.mode: none)"]
    lines = table(rows)
    services = data["istio"]["services"] if data["istio"] is not None else []
    for each in services:
        lines += ["", *_service(each)]
    return lines


def _share(share: Data | None) -> list[list[str]]:
    if share is None:
        return []
    lease, moves = share["lease"], share["moves"]
    who = "this replica" if lease["held"] else lease["holder"] or "nobody"
    counts = ", ".join(f"{moves[state]} {state}" for state in _SHARED)
    rows = [
        ["replica", share["replica"]],
        ["lease", f"{share['namespace']}/{lease['name']} is held by {who}"],
        ["moves", counts if moves["synced"] else "not read yet"],
    ]
    troubles = [(what, share[what]["trouble"]) for what in ("lease", "moves")]
    return rows + [[what, f"can not be read or written: {why}"] for what, why in troubles if why]


def _istio(istio: Data | None) -> list[list[str]]:
    if istio is None:
        return []
    what = "filters are written" if istio["mode"] == "write" else "read, and nothing is written"
    rows = [["istio", f"waits: {istio['waitsFor']}" if istio["waitsFor"] else what]]
    if istio["trouble"]:
        rows.append(["istio", f"can not be read or written: {istio['trouble']}"])
    guard, rejects = istio["guard"], istio["rejects"]
    if guard["held"]:
        rows.append(
            [
                "held",
                f"{guard['held']} changes of {guard['objects']} objects wait: soadns release mesh/filters",
            ]
        )
    if rejects["trouble"]:
        rows.append(["istiod", f"its metrics can not be read: {rejects['trouble']}"])
    elif rejects["known"]:
        since = (
            f", the last ones at {rejects['since']}"
            if rejects["since"]
            else ", none since this replica looks"
        )
        rows.append(["istiod", f"sidecars refused listeners {rejects['total']:g} times{since}"])
    return rows


def _service(each: Data) -> list[str]:
    lines = [f"{each['service']}"]
    for port in each["ports"]:
        lines.append(f"  port {port['port']}: {tier(port)}: {port['why']}")
        lines += [f"    not told: {text}" for text in port["untold"]]
        if port["harm"]:
            lines.append(f"    it should not be in force: {port['harm']}")
        if port["lost"]:
            lines.append(f"    lost by that: {', '.join(port['lost'])}")
    for found in each["objects"]:
        lines.append(f"  {found['namespace']}/{found['name']}: {found['state']}")
        lines += [f"    REFUSED: {found['refused']}"] if found["refused"] else []
        lines += [f"    waits: {found['waitsFor']}"] if found["waitsFor"] else []
    if each["foreign"]:
        lines.append(
            f"  on the same listener, where the younger of two does nothing: EnvoyFilter {', '.join(each['foreign'])}"
        )
    return lines
