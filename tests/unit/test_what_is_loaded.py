"""What a process loads: what its configuration asks for, before anything is served, and nothing else.

Every process here is a real one, for what one has loaded it keeps.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.long

CONTROL = """
import sys
import soadns.app
from soadns import composition
from soadns.binding.estate import Estate
from soadns.clock import Clock
from soadns.control import Control
from soadns.figures import Figures
from soadns.logs import log
from soadns.settings.configfile import parse
from tests.unit.journals import publisher

config = parse(sys.argv[1], where="test")
estate = Estate(composition.zone_settings(config))
figures = Figures()
sources = composition.sources(config, figures.credentials, log=log)
Control(config, estate, publisher(), sources, figures=figures, log=log, clock=Clock())
print(*sys.modules)
"""
"""The control process as far as it is put together; servers of sidecars, zones and etcd load what they need then."""

ZOOKEEPER = {"zookeeper": [{"hosts": "zk1"}]}
KUBERNETES = {"kubernetes": [{"name": "home", "kubeconfig": "/nonexistent"}]}
SHARED = KUBERNETES | {"sidecar": {"share": {"moves": True, "namespace": "soadns"}}}

ALWAYS = {"aiohttp", "soadns.web.api"}
ZK, KUBE, MESH = (
    {"kazoo", "soadns.sources.zookeeper"},
    {"kubernetes", "soadns.sources.kube"},
    {"soadns.mesh.mesh"},
)
OPTIONAL = ZK | KUBE | MESH
ELSEWHERE = {
    "dns", "dnslib", "envoy", "grpc",
    "soadns.ads.server", "soadns.cli", "soadns.skydns.publisher", "soadns.transfer.server",
}  # fmt: skip
"""What other settings ask for, and what is no part of this process at all."""


def loaded(script: str, *arguments: str) -> set[str]:
    """Modules of a new process that a script prints."""
    command = [sys.executable, "-c", script, *arguments]
    return set(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split())


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        (ZOOKEEPER, ZK),
        (KUBERNETES, KUBE),
        (ZOOKEEPER | SHARED, ZK | KUBE | MESH),
    ],
    ids=["zookeeper", "kubernetes", "mesh"],
)
def test_control_loads_what_is_configured(config: dict[str, object], wanted: set[str]) -> None:
    modules = loaded(CONTROL, json.dumps(config))
    assert modules & (ALWAYS | OPTIONAL | ELSEWHERE) == ALWAYS | wanted
    # Thousands of modules, of which raw use takes none.
    assert not [name for name in modules if ".client.models." in name or ".client.api." in name]


def test_the_supervisor_loads_what_reads_the_configuration() -> None:
    """It stays for as long as there is a soadns."""
    modules = loaded("import soadns.cli, soadns.serving, sys; print(*sys.modules)")
    packages = {name.partition(".")[0] for name in modules}
    assert not packages & {"aiohttp", "asyncio", "kazoo", "kubernetes", "msgspec", "prometheus_client"}
    areas = {
        ".".join(name.split(".")[:2])
        for name in modules
        if name.count(".") >= 1 and name.startswith("soadns.")
    }
    assert areas == {
        "soadns.addresses", "soadns.cli", "soadns.commands", "soadns.logs", "soadns.numerals", "soadns.pod",
        "soadns.processes", "soadns.selectors", "soadns.serving", "soadns.settings", "soadns.yamlfile",
    }  # fmt: skip


def test_a_worker_loads_the_standard_library_and_the_data_plane() -> None:
    modules = loaded("import soadns.nameserver.worker, sys; print(*sys.modules)")
    standard = {*sys.stdlib_module_names, "__main__", "soadns"}
    ours = {name for name in modules if name.partition(".")[0] == "soadns"}
    foreign = {name.partition(".")[0] for name in modules} - standard
    assert not {name for name in foreign if not name.startswith("_")}
    assert not {name for name in ours if name.startswith(("soadns.binding", "soadns.settings", "soadns.web"))}


def test_help_is_there_at_once() -> None:
    script = """
import sys
from soadns.cli import main
try:
    main(["--help"])
except SystemExit:
    print("\\n", *sys.modules)
"""
    modules = loaded(script)
    assert "soadns" in modules
    assert not modules & {"asyncio", "http.client", "ssl", "yaml", "soadns.model", "soadns.settings.config"}
