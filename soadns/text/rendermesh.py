"""What ``soadns mesh status`` prints. Pure: the shape of ``docs/http.md`` in, lines out."""

from __future__ import annotations

from typing import Any

from soadns.text.render import printable, table
from soadns.text.renderfilters import about

Data = dict[str, Any]
_WITHOUT_ROOM = tuple(
    (key, f"{what}, for want of room: raise sidecar.istio.files.shards, the mounts first")
    for key, what in (("outdated", "its rules are outdated"), ("leftOut", "there is no such file"))
)
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
    return printable(lines)


def nothing(data: Data, service: str) -> str:
    """Why there is nothing to say of one Service; ``''``: there is."""
    istio = data["istio"]
    if istio is None:
        return (
            "nobody keeps filters (sidecar.istio.mode: none). What would be written: "
            f"soadns export envoyfilters --service {service}"
        )
    if istio["services"]:
        return ""
    if istio["waitsFor"]:
        return f"of {service} nothing is known yet: {istio['waitsFor']}"
    return f"{service}: no such Service, or it has no routes (soadns routes {service})"


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
    if events := share["events"]:
        rows.append(["events", f"{events['written']} written, {events['omitted']} omitted"])
    troubles = [(what, share[what]["trouble"]) for what in ("lease", "moves", "events") if share[what]]
    return rows + [[what, f"can not be read or written: {why}"] for what, why in troubles if why]


def _istio(istio: Data | None) -> list[list[str]]:
    if istio is None:
        return []
    what = "filters are written" if istio["mode"] == "write" else "read, and nothing is written"
    rows = [["istio", f"waits: {istio['waitsFor']}" if istio["waitsFor"] else what]]
    if istio["trouble"]:
        rows.append(["istio", f"can not be read or written: {istio['trouble']}"])
    if room := istio["room"]:
        crowded = f"; {room['wanting']} more would (sidecar.istio.most)" if room["wanting"] else ""
        rows.append(["filters", f"{room['ports']} of at most {room['most']} ports have filters{crowded}"])
    for files in istio["files"]:
        room = f"{files['ports']} of at most {files['most']} ports have rules from files"
        full = f"; tier 3 is full: {files['wanting']} more would (sidecar.istio.files.most)"
        rows.append(["files", f"{files['namespace']}: {room}{full if files['wanting'] else ''}"])
        for key, what in _WITHOUT_ROOM:
            rows += [["files", f"{files['namespace']}: {name}: {what}"] for name in files[key]]
    guard, rejects = istio["guard"], istio["rejects"]
    if guard["held"]:
        rows.append(
            [
                "held",
                f"{guard['held']} changes of {guard['objects']} objects wait: soadns release mesh/filters",
            ]
        )
    if halted := istio.get("halted"):
        said = f"sidecars refused something ({halted}): nothing is written until soadns release mesh/filters"
        rows.append(["halted", said])
    if rejects["trouble"]:
        rows.append(["istiod", f"its metrics can not be read: {rejects['trouble']}"])
    elif rejects["known"]:
        since = (
            f", the last ones at {rejects['since']}"
            if rejects["since"]
            else ", none since this replica looks"
        )
        rows.append(["istiod", f"sidecars refused listeners {rejects['total']:g} times{since}"])
        if rejects["errors"]:
            failed = f"it failed at {rejects['errors']:g} kinds of patches: its log says of whose filters"
            rows.append(["istiod", failed])
    return rows


def _service(each: Data) -> list[str]:
    lines = [f"{each['service']}"]
    lines += [f"  {line}" for port in each["ports"] for line in about(port, "port")]
    for found in each["objects"]:
        lines.append(f"  {found['namespace']}/{found['name']}: {found['state']}")
        if found["matched"] is not None:
            said = "has" if found["matched"] else "has not yet"
            lines.append(f"    istiod {said} found what to replace in a sidecar's listeners")
        lines += [f"    REFUSED: {found['refused']}"] if found["refused"] else []
        lines += [f"    waits: {found['waitsFor']}"] if found["waitsFor"] else []
    for hidden in each["hidden"]:
        lines.append(
            f"  hidden from {hidden['from']}: {hidden['host']}, where calls that go to it fail or miss the mesh"
        )
    if each["foreign"]:
        lines.append(
            f"  on the same listener, where the younger of two does nothing: EnvoyFilter {', '.join(each['foreign'])}"
        )
    return lines
