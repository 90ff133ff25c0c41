"""``soadns demo``: the real server over example files, and what it answers, asked over the wire.

Starts ``soadns serve`` as a process of its own with a configuration made for the occasion, waits until it is
ready, asks it like any client would, and stays until Ctrl-C. No ZooKeeper, no cluster, no root.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soadns.addresses import parse_address, print_address
from soadns.commands.client import Client, ClientError
from soadns.commands.lookup import NoAnswerError, Reply, ask
from soadns.processes.listening import ListenError, check_free
from soadns.text.render import table

READY_S = 30.0
STOP_S = 15.0
ZONE = "rpc.cluster.local"
TOUR = (
    ("com.alipay.user.UserService", "A", "run by Service user/user"),
    ("_dubbo._tcp.com.alipay.user.UserService", "SRV", "the port callers dial"),
    ("com.alipay.pay.PayService", "A", "dual stack: the IPv4 address ..."),
    ("com.alipay.pay.PayService", "AAAA", "... and the IPv6 one"),
    ("com.alipay.risk.RiskService", "A", "declared by annotation, no registry at all"),
    ("com.alipay.ledger.LedgerService", "A", "no Service yet: its providers' own addresses"),
    ("com.alipay.stock.StockService", "A", "half-boarded: 1 pod against 3 machines, which keep it"),
    ("com.alipay.trade.TradeService--g-blue--v-2-0-0", "A", "one group and version by its own name"),
    ("com.alipay.nobody.NoSuchService", "A", "unknown: NXDOMAIN, with the zone's SOA"),
)
"""(owner name, type, what it shows): asked when the demo starts, in this order."""


class DemoError(Exception):
    """The demo can not run; the message says what to change. ``usage``: an option that can not work."""

    def __init__(self, message: str, *, usage: bool = False) -> None:
        super().__init__(message)
        self.usage = usage


def example_files() -> Path:
    """The example folder of the checkout, or the copy inside an installed package."""
    here = Path(__file__).resolve().parents[1]
    for folder in (here.parent / "examples" / "dubbo-demo" / "files", here / "_examples"):
        if folder.is_dir():
            return folder
    raise DemoError("the example files are not installed; give a folder with --files FOLDER")


def demo(*, listen: str, http: str, files: Path | None, once: bool) -> int:
    """Run the demo; returns the exit status. Raises DemoError."""
    folder = files if files is not None else example_files()
    if not folder.is_dir():
        raise DemoError(f"--files {folder}: no such folder", usage=True)
    dns = _free(listen, "--listen")
    _free(http, "--http", tcp_only=True)
    with tempfile.TemporaryDirectory(prefix="soadns-demo-") as scratch:
        config = Path(scratch) / "soadns.yaml"
        config.write_text(json.dumps(_configuration(folder, listen, http)), encoding="utf-8")
        with _server(config) as process:
            client = Client(f"http://{http}")
            _wait_ready(process, client)
            _show(dns, http, folder, client, staying=not once)
            if once:
                return 0
            return process.wait()


def _configuration(folder: Path, listen: str, http: str) -> dict[str, Any]:
    return {
        "zones": [{"name": ZONE}],
        "static": [{"name": "demo", "paths": [str(folder)]}],
        "nameserver": {"listen": [listen]},
        "http": {"listen": http},
        "log": {"level": "info"},
    }


def _free(address: str, option: str, *, tcp_only: bool = False) -> tuple[str, int]:
    where = parse_address(address)
    if where is None or not where[1]:
        raise DemoError(f"{option} {address}: expected ADDRESS:PORT, e.g. 127.0.0.1:5454", usage=True)
    try:
        check_free(*where, setting=option, tcp_only=tcp_only)
    except ListenError as error:
        host, port = where
        other = print_address(host, port + 101 if port + 101 < 65_536 else port - 101)
        raise DemoError(f"{error}\nFor example: make demo ARGS='{option} {other}'") from None
    return where


@contextlib.contextmanager
def _server(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``soadns serve``, ended with us. Its log goes where ours goes."""
    command = [sys.executable, "-m", "soadns", "serve", "--config", str(config)]
    # A session of its own: Ctrl-C reaches us alone, and we end it in order.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _wait_ready(process: subprocess.Popen[bytes], client: Client) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoError(f"soadns ended with status {process.returncode}; its last lines above say why")
        with contextlib.suppress(ClientError):
            sources = client.get("/v1/sources")["sources"]
            if sources and all(source["state"] == "in sync" for source in sources):
                return
        time.sleep(0.1)
    raise DemoError(f"not ready after {READY_S:g} s; see the log lines above")


def _show(dns: tuple[str, int], http: str, folder: Path, client: Client, *, staying: bool) -> None:
    items = client.interfaces({})["items"]
    bound = sum(item["state"] != "unbound" for item in items)
    print(f"\nsoadns serves {bound} of {len(items)} interfaces of {folder} in {ZONE}")
    print(f"  DNS  {dns[0]}:{dns[1]} (UDP and TCP)\n  HTTP http://{http}/")
    for name, kind, text in TOUR:
        print(f"\n# {text}\n$ {_command(dns, name, kind)}")
        print("\n".join(_answer(_ask(dns, f"{name}.{ZONE}.", kind))))
    print("\nworth a look:")
    flagged = [item for item in items if item["flags"]]
    rows = [[item["interface"], ", ".join(item["flags"]), item.get("service") or "-"] for item in flagged]
    print("\n".join(table(rows, indent="  ")))
    if staying:
        print(_next(http, folder), flush=True)


def _command(dns: tuple[str, int], name: str, kind: str) -> str:
    return f"dig @{dns[0]} -p {dns[1]} +noall +answer {name}.{ZONE} {kind}"


def _ask(dns: tuple[str, int], name: str, kind: str) -> Reply:
    """Names follow readiness within a moment: the workers are being loaded."""
    deadline = time.monotonic() + 5.0
    while True:
        try:
            reply = ask(dns, name, kind)
            if reply.status != "SERVFAIL" or time.monotonic() > deadline:
                return reply
        except NoAnswerError as error:
            if time.monotonic() > deadline:
                raise DemoError(str(error)) from None
        time.sleep(0.1)


def _answer(reply: Reply) -> list[str]:
    if reply.answer:
        return [str(row) for row in reply.answer]
    return [f";; {reply.status}", *(str(row) for row in reply.authority)]


def _next(http: str, folder: Path) -> str:
    option = "" if http == "127.0.0.1:8053" else f" --url http://{http}"
    # As this one was started: `make demo` has it in an environment that is on nobody's path.
    soadns = sys.argv[0] if Path(sys.argv[0]).name == "soadns" else "soadns"
    return f"""
try next, in another terminal:
  {soadns} explain com.alipay.order.OrderService{option}    # two Services want it: who won, and why
  {soadns} list --half-boarded{option}
  curl http://{http}/v1/explain/com.alipay.stock.StockService
  edit {folder / "services.yaml"} and ask again: answers follow within a second
Ctrl-C ends the demo."""
