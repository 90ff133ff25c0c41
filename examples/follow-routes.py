#!/usr/bin/env python3
"""Follow the routes of a soadns and keep them, as a sidecar would: python3 follow-routes.py [http://127.0.0.1:8053]

The table is kept while nobody answers. SOADNS_TOKEN is sent as bearer token. The stream is told of in docs/sidecar.md.
"""

import json
import os
import sys
import time
import urllib.request

table: dict[tuple[str, int], list[dict]] = {}  # ClusterIP and port → rules; the first that matches counts


def route(address: str, port: int, interface: str, group: str = "", version: str = "") -> dict | None:
    """Where a call goes: the cluster and more; None: it is refused, or the place is not soadns's."""
    for rule in table.get((address, port), ()):
        named = rule["interface"] in ("*", interface) and rule["group"] in (None, group)
        if named and rule["version"] in (None, "" if version == "0.0.0" else version):
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
    token = os.environ.get("SOADNS_TOKEN", "")
    headers = {"Last-Event-ID": last} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(f"{url}/v1/routes?watch=1", headers=headers)
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
    known, url = "", sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8053"
    while True:
        try:
            known = follow(url, known)
        except (OSError, ValueError) as error:  # nobody answers, or not as it should be
            print(f"not now: {error}", file=sys.stderr)
        time.sleep(1)
