"""The chart of ``deploy/helm``, as real Helm renders it, and what of it goes into a cluster."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.scenarios.stage.process import printed

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy" / "helm" / "soadns"
VALUES = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").iterdir())}
"""Files of values that the chart is tried with, by what they are for."""
RELEASE = "soadns"
Document = dict[str, Any]


def helm(*arguments: str | Path) -> str:
    """What one command of Helm prints; it must succeed."""
    done = printed("helm", *arguments)
    assert done.returncode == 0, f"helm {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}"
    return done.stdout


@cache
def rendered(values: str, *, release: str = RELEASE) -> str:
    """The objects that a release with one of the files has, as text, those of ``helm test`` as well."""
    return helm("template", release, CHART, "--namespace", release, "--values", VALUES[values])


def documents(values: str, *, release: str = RELEASE) -> list[Document]:
    """The same as data."""
    return [each for each in yaml.safe_load_all(rendered(values, release=release)) if each]


def of_kind(found: list[Document], *kinds: str) -> list[Document]:
    """Those of some kinds."""
    return [each for each in found if each["kind"] in kinds]
