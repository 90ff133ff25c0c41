"""What a newcomer types: the demo from a fresh clone, editing its files, a port that is taken."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from soadns.commands.demo import TOUR
from tests.ports import free_port
from tests.scenarios.stage.dig import dig
from tests.scenarios.stage.process import Process, eventually, lives

NOBODY = 65534
ROOT = Path(__file__).resolve().parents[2]


def demo_command(*options: str) -> list[str]:
    return [sys.executable, "-m", "soadns", "demo", *options]


def ports() -> tuple[list[str], int, int]:
    dns, http = free_port(), free_port()
    return ["--listen", f"127.0.0.1:{dns}", "--http", f"127.0.0.1:{http}"], dns, http


def test_a_fresh_clone_shows_answers(tmp_path: Path) -> None:
    """``make demo`` with a home of its own: its virtual environment, installation and answers."""
    clone = tmp_path / "soadns"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True, capture_output=True)
    options, _, _ = ports()
    home = tmp_path / "home"
    home.mkdir()
    kept = {
        "PATH",
        "LANG",
        "PIP_CERT",
        "PIP_INDEX_URL",
        "PIP_FIND_LINKS",
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "PIP_CONFIG_FILE",
    }
    env = {
        name: value for name, value in os.environ.items() if name in kept or name.lower().endswith("_proxy")
    }
    done = subprocess.run(
        ["make", "demo", f"ARGS=--once {' '.join(options)}"],
        cwd=clone, env=env | {"HOME": str(home)}, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "com.alipay.user.UserService.rpc.cluster.local. 30 IN A 10.96.1.7" in done.stdout
    assert not list(home.glob(".cache/soadns"))  # no real servers were fetched for that


STUB = """\
#!/bin/sh
case "$*" in "-m venv "*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;; esac
"""


def test_what_is_made_under_sudo_belongs_to_who_asked_sudo() -> None:
    """``sudo make demo-real`` and ``sudo make test`` leave a virtual environment that its owner can remove."""
    with tempfile.TemporaryDirectory() as folder:  # of pytest's own nobody else may see anything
        clone, python = Path(folder), Path(folder) / "python"
        shutil.copy(ROOT / "Makefile", clone)
        (clone / "pyproject.toml").touch()
        python.write_text(STUB)
        python.chmod(0o755)
        (clone / ".venv").mkdir()
        (clone / ".venv" / "of-an-earlier-run").touch()
        os.chmod(clone, 0o755)
        os.chown(clone, NOBODY, NOBODY)
        done = subprocess.run(
            ["make", f"PYTHON={python}", ".venv/.installed"],
            cwd=clone, env=os.environ | {"SUDO_UID": str(NOBODY), "SUDO_GID": str(NOBODY)},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        made = [clone / ".venv", *(clone / ".venv").rglob("*")]
        assert {path.name for path in made} >= {"python", ".made", ".installed", "of-an-earlier-run"}
        assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(NOBODY, NOBODY)}


def test_the_demo_prints_what_came_over_the_wire() -> None:
    options, _, _ = ports()
    done = subprocess.run(
        demo_command("--once", *options), capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stderr
    for name, kind, text in TOUR:
        assert f"{name}.rpc.cluster.local {kind}" in done.stdout
        assert f"# {text}" in done.stdout
    for answer in (
        "UserService.rpc.cluster.local. 30 IN A 10.96.1.7",
        "SRV 0 100 20880 com.alipay.user.UserService.rpc.cluster.local.",
        "PayService.rpc.cluster.local. 30 IN AAAA fd00:10:96::20",
        "RiskService.rpc.cluster.local. 30 IN A 10.96.1.30",
        "LedgerService.rpc.cluster.local. 5 IN A 192.168.7.81",
        "StockService.rpc.cluster.local. 5 IN A 192.168.7.63",
        "TradeService--g-blue--v-2-0-0.rpc.cluster.local. 30 IN A 10.96.1.50",
        ";; NXDOMAIN",
        "com.alipay.order.OrderService  conflict",
        "com.alipay.stock.StockService  half-boarded",
    ):
        assert answer in done.stdout, done.stdout


def test_editing_the_example_files_while_it_runs_changes_the_answers(tmp_path: Path) -> None:
    files = tmp_path / "files"
    shutil.copytree(ROOT / "examples" / "dubbo-demo" / "files", files)
    options, dns, _ = ports()
    demo = Process("demo", demo_command("--files", str(files), *options), log=tmp_path / "log")
    demo.start()
    try:
        name = "com.alipay.user.UserService.rpc.cluster.local."
        demo.wait_until(lambda: "Ctrl-C ends the demo." in demo.tail(), within=180)
        assert dig(dns, name).data == ("10.96.1.7",)
        services = files / "services.yaml"
        services.write_text(services.read_text().replace("10.96.1.7", "10.96.1.77"))
        assert eventually(lambda: dig(dns, name).data, within=30, until=lambda d: d == ("10.96.1.77",)) == (
            "10.96.1.77",
        )
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        demo.signal(signal.SIGINT)
        assert demo.stop() == 130
        assert not any(map(lives, map(int, children)))
    finally:
        demo.kill()


def test_a_busy_port_is_reported_with_the_option_that_changes_it(tmp_path: Path) -> None:
    options, dns, http = ports()
    demo = Process("demo", demo_command(*options), log=tmp_path / "log")
    demo.start()
    try:
        demo.wait_until(lambda: "Ctrl-C ends the demo." in demo.tail(), within=180)
        for option, port in (("--listen", dns), ("--http", http)):
            other = ports()[0]
            other[other.index(option) + 1] = f"127.0.0.1:{port}"
            done = subprocess.run(
                demo_command("--once", *other), capture_output=True, text=True, check=False, timeout=180
            )
            assert done.returncode == 1
            assert f"127.0.0.1:{port}: Address already in use. Set {option} to another address" in done.stderr
            assert f"make demo ARGS='{option} 127.0.0.1:{port + 101}'" in done.stderr
    finally:
        demo.stop()


def test_a_folder_that_can_not_be_written_is_named_with_the_way_out() -> None:
    done = subprocess.run(
        ["make", "demo", "VENV=/dev/null/venv"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert done.stderr.startswith("/dev/null/venv can not be written: make VENV=/folder/of/your/own ...")
