#!/usr/bin/env python3
"""Follow the routes of a soadns and keep them, as a sidecar would: python3 follow-routes.py [http://127.0.0.1:8053]

The table is whole at every moment, and is kept while nobody answers. SOADNS_TOKEN is sent as bearer token. Standard
library only; what the stream says is in docs/sidecar.md.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

Place = tuple[str, int]
table: dict[Place, list[dict]] = {}
"""ClusterIP and port → rules; the first that matches counts."""


def route(address: str, port: int, interface: str, group: str = "", version: str = "") -> dict | None:
    """Where a call goes: the cluster and more; None: it is refused, or the place is not soadns's."""
    for rule in table.get((address, port), ()):
        wanted = (rule["interface"], rule["group"], rule["version"])
        said = (interface, group, "" if version == "0.0.0" else version)
        if wanted[0] in ("*", said[0]) and wanted[1] in (None, said[1]) and wanted[2] in (None, said[2]):
            return rule["to"]
    return None


def take(event: str, data: dict) -> None:
    """Bring the table up to date."""
    if event == "state":
        table.clear()
    for vip in data.get("vips", ()):
        table[vip["address"], vip["port"]] = vip["routes"]
    for gone in data.get("gone", ()):
        table.pop((gone["address"], gone["port"]), None)
    print(f"{event} {data.get('generation', '')}: {len(table)} places", data.get("error", ""), flush=True)


def follow(url: str, last: str) -> str:
    """Read the stream until it ends; returns the id of the last event that was taken."""
    request = urllib.request.Request(f"{url}/v1/routes?watch=1", headers={"Last-Event-ID": last})
    if token := os.environ.get("SOADNS_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=60) as stream:  # a comment comes every 15 s
        fields: dict[str, str] = {}
        for line in stream:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                take(fields["event"], json.loads(fields["data"]))
                last, fields = fields.get("id", last), {}
    return last


if __name__ == "__main__":
    known = ""
    while True:
        try:
            known = follow(sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8053", known)
        except (urllib.error.URLError, OSError, json.JSONDecodeError) as error:
            print(f"not now: {error}", file=sys.stderr)
        time.sleep(1)
