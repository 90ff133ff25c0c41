#!/usr/bin/env python3
"""Write what of ``deploy`` follows from other files (``make chart``), so that nobody has to keep it in step by hand.

- ``deploy/helm/soadns/values.schema.json``: its ``config`` is what soadns's own configuration may be.
- ``deploy/kubernetes/soadns.yaml`` and ``rbac.yaml``: the chart, rendered with the values that stand beside them.

It wants soadns importable, and the Helm of ``make parts``. Tests hold the files to be as this writes them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from soadns.settings.config import Config
from soadns.settings.jsonschema import json_schema

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "soadns"
SCHEMA = CHART / "values.schema.json"
MANIFESTS = ROOT / "deploy" / "kubernetes"
VALUES = MANIFESTS / "values.yaml"
RELEASE = "soadns"
"""Name and namespace of the plain manifests."""
_WITHOUT = ("# Source:", "    helm.sh/chart:", "    app.kubernetes.io/managed-by:")
"""How lines begin that say that Helm has made it."""
_RIGHTS = re.compile(r"^kind: (ServiceAccount|(Cluster)?Role(Binding)?)$", re.M)
_HEADS = {
    "rbac.yaml": "# What soadns may do in its home cluster: read what it binds to, and nothing else "
    "(soadns check prints the same rules).\n",
    "soadns.yaml": "# Two replicas that read the registries of zookeeper:2181 in namespace zookeeper. What they may do "
    "is in rbac.yaml.\n",
}


def schema() -> str:
    """The chart's schema, with the configuration of now."""
    found = json.loads(SCHEMA.read_text(encoding="utf-8"))
    said = found["properties"]["config"]["description"]
    found["properties"]["config"] = {"description": said, **json_schema(Config)}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def helm() -> list[str]:
    """The command of the pinned Helm."""
    store = Path(os.environ.get("SOADNS_PARTS") or Path.home() / ".cache" / "soadns")
    return list(json.loads((store / "parts.json").read_text(encoding="utf-8"))["helm"]["command"])


def manifests() -> dict[str, str]:
    """The texts of the plain manifests, by file."""
    command = [*helm(), "template", RELEASE, str(CHART), "--namespace", RELEASE, "--values", str(VALUES)]
    done = subprocess.run([*command, "--skip-tests"], check=True, capture_output=True, text=True)
    found: dict[str, list[str]] = {name: [] for name in _HEADS}
    for document in done.stdout.removeprefix("---\n").split("\n---\n"):
        kept = [line for line in document.splitlines() if not line.startswith(_WITHOUT)]
        text = "\n".join(kept).strip() + "\n"
        found["rbac.yaml" if _RIGHTS.search(text) else "soadns.yaml"].append(text)
    return {name: _HEADS[name] + "---\n".join(texts) for name, texts in found.items()}


def main() -> None:
    """Write them."""
    SCHEMA.write_text(schema(), encoding="utf-8")
    for name, text in manifests().items():
        (MANIFESTS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
