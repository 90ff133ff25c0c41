"""``make demo-real`` holds, prints what the page of ``examples/dubbo-demo`` shows, and leaves nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from soadns.settings.configfile import parse
from tests.demo.__main__ import STEPS
from tests.demo.moving import BASKETS
from tests.demo.workloads import MANIFESTS, documents
from tests.scenarios.stage.corefiles import FOLDER
from tests.scenarios.stage.kubernetes import ApiServer, collection
from tests.scenarios.stage.process import eventually, parts
from tests.scenarios.stage.terminal import Typed, missing, steps
from tests.scenarios.test_stage_ends import here, remains

ROOT = Path(__file__).resolve().parents[2]
PAGE = MANIFESTS.parent / "README.md"
RBAC = ROOT / "deploy" / "kubernetes" / "rbac.yaml"
COMMAND = [sys.executable, "-m", "tests.demo"]


def typed(output: str) -> list[Typed]:
    """Each command that the demo shows, with what it printed: all until a remark, a heading, or the next one."""
    found = []
    for piece in output.split("\n$ ")[1:]:
        command, *lines = piece.splitlines()
        ends = (
            number for number, line in enumerate(lines) if re.match(r"  \.\. |  -- |\d\. |Summary$", line)
        )
        found.append(Typed(command, tuple(lines[: next(ends, len(lines))])))
    return found


def no_more(folder: Path) -> Path:
    """The real servers that ``make demo-real`` gets, and none besides."""
    ours = (
        "import pathlib, sys, parts; store = pathlib.Path(sys.argv[1]); "
        "there = [part for part in parts.PARTS if part.name in parts.FOR_DEMO]; "
        "print(*(name for part in there for name in part.programs(part.folder(store))))"
    )
    store = os.environ.get("SOADNS_PARTS") or Path.home() / ".cache" / "soadns"
    said = subprocess.run(
        [sys.executable, "-B", "-c", ours, store],
        cwd=ROOT / "tools",
        capture_output=True,
        text=True,
        check=True,
    )
    index = folder / "parts" / "parts.json"
    index.parent.mkdir()
    index.write_text(json.dumps({name: parts()[name] for name in said.stdout.split()}), encoding="utf-8")
    return index.parent


def test_every_step_holds_and_the_page_shows_what_is_printed(tmp_path: Path) -> None:
    before = here()
    logs = tmp_path / "logs"
    done = subprocess.run(
        [*COMMAND, "--logs", str(logs)], cwd=ROOT, env=os.environ | {"SOADNS_PARTS": str(no_more(tmp_path))},
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert done.stderr == ""
    assert f"{STEPS} of {STEPS} steps held" in done.stdout
    assert re.search(
        r"from the order to end the old pods on: \d+ calls answered \(.*by account-", done.stdout
    )
    # One process of a consumer by name: what failed before there was one, and nothing since.
    assert re.search(r"^ {10}guest-\d+: the first [1-9]\d* calls failed, and none since$", done.stdout, re.M)
    for told in (
        r"guest-\d+, from its first answered call on: \d+ calls answered \(.*by account-\d+, .*by user-\d+\)",
        r"till-\d+, while PayService moved: \d+ calls answered \(\d+ by pay-\d+, \d+ by wallet-\d+\)",
        r"till-\d+, while PayService moved back: \d+ calls answered \(\d+ by pay-\d+, \d+ by wallet-\d+\)",
    ):
        assert re.search(rf"^ {{10}}{told}, \d+ failed$", done.stdout, re.M), (
            told
        )  # the step held: of one moment
    for basket in BASKETS:  # at the move and on the way back
        by = r"\d+ by price-\d+, \d+ by stock-\d+"
        told = rf"{basket}-\d+, over one connection: \d+ calls answered \({by}\), 0 failed"
        assert len(re.findall(rf"^ {{10}}{told}$", done.stdout, re.M)) == 2
    shown = iter(typed(done.stdout))
    for step in steps(PAGE):
        assert isinstance(step, Typed)
        pattern = re.escape(step.command).replace("…", ".*")
        ran = next((each for each in shown if re.fullmatch(pattern, each.command)), None)
        assert ran is not None, f"the demo does not type (in this order): {step.command}"
        text = "\n".join(ran.lines)
        assert not missing(step, text), f"$ {step.command}\n{missing(step, text)!r} is not in:\n{text}"
    # Whose first process is gone are ended by the kernel, in their own time.
    assert eventually(lambda: remains(set(), logs), within=30.0, until=lambda left: not left) == []
    assert here() == before


def test_nothing_is_left_of_a_demo_that_is_stopped(tmp_path: Path) -> None:
    before = here()
    logs = tmp_path / "logs"
    demo = subprocess.Popen(
        [*COMMAND, "--logs", str(logs)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    with demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        for line in demo.stdout:
            if line.startswith("deployment.apps/guest created"):
                break
        assert len(remains(set(), logs)) > 5  # it is looked for in the right places
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does it
        assert demo.stderr.read() == "\nstopped; everything that was started has ended\n"
        assert demo.wait(timeout=60) == 130
    assert eventually(lambda: remains(set(), logs), within=30.0, until=lambda left: not left) == []
    assert here() == before


def test_who_is_not_root_is_told_so() -> None:
    done = subprocess.run(
        ["unshare", "--user", *COMMAND], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == ("make demo-real makes network namespaces, which takes root: sudo make demo-real\n")


def every_document() -> list[tuple[str, dict[str, Any]]]:
    ours = [(RBAC.name, each) for each in yaml.safe_load_all(RBAC.read_text(encoding="utf-8"))]
    return ours + [(path.name, each) for path in sorted(MANIFESTS.iterdir()) for each in documents(path.name)]


def test_the_api_server_takes_every_manifest(api_server: ApiServer) -> None:
    """By server-side apply as a dry run, with unknown fields and such that are there twice refused."""
    found = every_document()
    for namespace in {each["metadata"].get("namespace") for _, each in found} - {None}:
        api_server.create_namespace(namespace)
    for _, document in found:
        path = f"{collection(document)}/{document['metadata']['name']}"
        how = "fieldManager=kubectl&force=true&dryRun=All&fieldValidation=Strict"
        taken = api_server.request("PATCH", f"{path}?{how}", document, kind="application/apply-patch+yaml")
        assert taken["metadata"]["name"] == document["metadata"]["name"]
    assert len(found) > 15


def test_soadns_takes_the_configuration_of_its_manifest() -> None:
    [config] = [
        each for _, each in every_document() if each["kind"] == "ConfigMap" and "soadns.yaml" in each["data"]
    ]
    parsed = parse(config["data"]["soadns.yaml"], where="soadns.yaml")
    assert [zone.name for zone in parsed.zones] == ["rpc.cluster.local"]
    assert "zookeeper.shop:2181" in parsed.zookeeper[0].hosts


def test_the_page_has_the_block_of_the_stub_zone() -> None:
    [block] = re.findall(r"^```corefile\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert block == (FOLDER / "stub.Corefile").read_text(encoding="utf-8")


def test_the_projects_have_the_versions_that_the_page_names() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for tree, title in (("dubbo", "Dubbo"), ("sofarpc", "SOFARPC")):
        pom = (MANIFESTS.parent / tree / "pom.xml").read_text(encoding="utf-8")
        [version] = re.findall(rf"<{tree}\.version>(.*)</", pom)
        assert f"{title} {version}" in page
