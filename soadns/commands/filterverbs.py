"""The verb of the command line that exports Envoy filters for Istio.

Modules are imported when they are needed, as in ``soadns.cli``.
"""

from __future__ import annotations

import argparse
import json
import sys
from difflib import unified_diff
from typing import Any

from soadns.commands.client import Client
from soadns.commands.console import NO, OK, api, fail, print_json

Data = dict[str, Any]


def export_filters(options: argparse.Namespace) -> int:
    """EnvoyFilters, and ConfigMaps with files of rules, as YAML; above each why it is there, and why others are not."""
    from soadns.text import renderfilters
    from soadns.yamlfile import dump_all

    client, query = api(options), {"zone": options.zone, "service": options.service}
    if options.diff:
        return _differences(options, client.envoy_filters({**query, "standing": "1"}))
    data = client.envoy_filters({**query, "maps": "1"})
    maps = {key: data.pop(key, None) for key in ("configMaps", "leftOut", "outdated")}
    if maps["configMaps"] is None:  # nobody keeps them
        maps = _config_maps(client, options, data)
    for item in data["items"]:
        _withhold(item, maps, data["files"])
    if options.output == "json":
        print_json({**data, **maps})
    else:
        for item in data["items"]:
            print("\n".join(renderfilters.comments(item)))
            if not item["problems"]:
                print(dump_all(item["filters"]), end="")
        print(dump_all(maps["configMaps"]), end="")
        for line in renderfilters.beside(data, maps):
            print(f"soadns: {line}", file=sys.stderr)
    return OK if data["items"] else NO


def _config_maps(client: Client, options: argparse.Namespace, data: Data) -> Data:
    """The ConfigMaps with the files of all Services, also where one alone is asked for: each is applied as a whole."""
    from soadns.sidecar.drdsfiles import DrdsFile, config_maps, shared_out
    from soadns.sidecar.envoyfilters import MANAGED_BY, OURS

    namespaces = data["files"]["namespaces"]
    every = data["items"]
    if options.service and namespaces:
        every = client.envoy_filters({"zone": options.zone})["items"]
    files = [
        DrdsFile(file["name"], file["text"])
        for item in every
        if not item["problems"]
        for file in item["files"]
    ]
    shared = shared_out(files, data["files"]["shards"])
    maps = [each for ns in namespaces for each in config_maps(shared.data, ns, {MANAGED_BY: OURS})]
    return {"configMaps": maps, "leftOut": list(shared.left_out), "outdated": []}


def _withhold(item: Data, maps: Data, files: Data) -> None:
    """Take the filters out of a Service that name a file which does not come to stand, and say so."""
    from soadns.sidecar.drdsfiles import files_of, without_room

    def lacks(document: Data) -> list[str]:
        named, namespace = files_of(document), document["metadata"]["namespace"]
        if reasons := without_room(maps["leftOut"], named, files["shards"]):
            return reasons
        held = {
            key
            for each in maps["configMaps"]
            if each["metadata"]["namespace"] == namespace
            for key in each["data"]
        }
        return [f"its file {key} is not decided yet: ask again" for key in sorted(named - held)]

    lacking = [(each, [] if item["problems"] else lacks(each)) for each in item["filters"]]
    item["filters"] = [each for each, reasons in lacking if not reasons]
    item["withheld"] = [
        f"EnvoyFilter {each['metadata']['namespace']}/{each['metadata']['name']}: {'; '.join(reasons)}"
        for each, reasons in lacking
        if reasons
    ]


def _differences(options: argparse.Namespace, data: Data) -> int:
    """What is to be written, as ``kubectl diff`` shows it; the exit status says whether anything is."""
    changes: list[Data] | None = data.get("changes")
    if changes is None:
        known = data.get("standing") is not None
        why = "filters are written of another zone" if known else "sidecar.istio.mode; soadns mesh status"
        return fail(NO, f"what stands in the cluster, and what is to be written, is not known ({why})")
    if options.output == "json":
        print_json({"changes": changes})
        return NO if changes else OK
    for each in changes:
        where = f"{each['namespace']}/{each['name']}"
        before, after = (_lines(each[key]) for key in ("before", "after"))
        for line in unified_diff(
            before, after, f"{where} in the cluster", f"{where} as it should be", lineterm=""
        ):
            print(line)
        if each["waitsFor"]:
            print(f"soadns: {where} waits: {each['waitsFor']}", file=sys.stderr)
    return NO if changes else OK


def _lines(found: Data | None) -> list[str]:
    """An object as lines, of a ConfigMap with the rules that its files hold."""
    from soadns.yamlfile import dump

    if found is None:
        return []
    if found["kind"] == "ConfigMap":
        found = {**found, "data": {key: _read(text) for key, text in found["data"].items()}}
    return dump(_sorted(found)).splitlines()


def _read(text: str) -> object:
    """What a file holds; as it is where somebody has made something else of it."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _sorted(value: Any) -> Any:
    """With the keys of all mappings in order: an API server gives them back in one of its own."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value
