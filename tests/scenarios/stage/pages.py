"""What the documentation says that soadns may do where it writes: tests run with exactly these rights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).resolve().parents[3] / "docs"
Rules = list[dict[str, Any]]


def block(page: str, language: str) -> str:
    """The one block of a page with this after its fence."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S)
    return str(text)


def sharing_rules() -> Rules:
    """In soadns's own namespace."""
    return list(yaml.safe_load(block("sidecar.md", "yaml rbac"))["rules"])


def istio_rules() -> dict[str, Rules]:
    """``ClusterRole``; ``Role``, in the root namespace; ``files``, in those of callers whose pods mount files; and
    ``events``, where Services are."""
    roles = yaml.safe_load_all(block("istio.md", "yaml rbac-istio"))
    more = {name: yaml.safe_load(block("istio.md", f"yaml rbac-{name}")) for name in ("files", "events")}
    return {role["kind"]: role["rules"] for role in roles} | more
