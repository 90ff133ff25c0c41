"""The verb of the command line that exports Envoy filters for Istio.

Modules are imported when they are needed, as in ``soadns.cli``.
"""

from __future__ import annotations

import argparse
import sys
from difflib import unified_diff
from typing import Any

from soadns.console import NO, OK, UsageError, api, fail, print_json

_OTHERS = ("application", "everyone", "interface", "previous", "with_secrets", "with_tri")
"""Options of other exports."""


def export_filters(options: argparse.Namespace) -> int:
    """EnvoyFilters, and ConfigMaps with files of rules, as YAML; above each why it is there, and why others are not."""
    from soadns import renderfilters
    from soadns.sidecar.drdsfiles import DrdsFile, config_maps, shared_out
    from soadns.sidecar.envoyfilters import MANAGED_BY, OURS
    from soadns.yamlfile import dump_all

    if any(getattr(options, name) for name in _OTHERS):
        raise UsageError(
            "export envoyfilters takes a zone and --service, and none of the options of export resolve"
        )
    query = {"zone": options.zone, "service": options.service}
    if options.diff:
        return _differences(api(options).envoy_filters({**query, "standing": "1"}))
    data = api(options).envoy_filters(query)
    whole = [item for item in data["items"] if not item["problems"]]
    files = [DrdsFile(file["name"], file["text"]) for item in whole for file in item["files"]]
    shares, left_out = shared_out(files, data["files"]["shards"])
    labels = {MANAGED_BY: OURS}
    maps = [
        each for namespace in data["files"]["namespaces"] for each in config_maps(shares, namespace, labels)
    ]
    if options.output == "json":
        print_json({**data, "configMaps": maps, "leftOut": left_out})
    else:
        for item in data["items"]:
            print("\n".join(renderfilters.comments(item)))
            if not item["problems"]:
                print(dump_all(item["filters"]), end="")
        print(dump_all(maps), end="")
    for line in renderfilters.beside(data, left_out) if options.output == "text" else ():
        print(f"soadns: {line}", file=sys.stderr)
    return OK if data["items"] else NO


def _differences(data: dict[str, Any]) -> int:
    """What would change in the cluster, as ``kubectl diff`` shows it; the exit status says whether anything would."""
    from soadns.yamlfile import dump

    if data["standing"] is None:
        return fail(NO, "what stands in the cluster is not known (sidecar.istio.mode; soadns mesh status)")
    wanted = {_name(each): each for item in data["items"] if not item["problems"] for each in item["filters"]}
    held = {_name(each): each for each in data["standing"]}
    different = False
    for name in sorted(wanted.keys() | held.keys()):
        before, after = (dump(found[name]).splitlines() if name in found else [] for found in (held, wanted))
        where = "/".join(name)
        for line in unified_diff(
            before, after, f"{where} in the cluster", f"{where} as it should be", lineterm=""
        ):
            different = True
            print(line)
    return NO if different else OK


def _name(document: dict[str, Any]) -> tuple[str, str]:
    return (document["metadata"]["namespace"], document["metadata"]["name"])
