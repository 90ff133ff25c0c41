"""What ``soadns serve`` does: it checks the configuration and becomes the supervisor.

This is the process that lives longest and does least, so that nothing is loaded here that only the control process
needs: no client of a source, no server, no third party but YAML. The supervisor starts ``soadns.app`` in a process of
its own.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from soadns import __version__, logs
from soadns.addresses import parse_address
from soadns.logs import log
from soadns.processes.children import AGAIN_STATUS
from soadns.processes.cores import cores
from soadns.processes.listening import ListenError
from soadns.processes.supervisor import SupervisorSettings, supervise
from soadns.settings import credentials
from soadns.settings.config import Config
from soadns.settings.configfile import parse, read
from soadns.settings.inforce import keep

SUPERVISOR_LEVELS = {
    "stuck": "warning", "killed": "warning", "small-receive-buffer": "warning", "not-started": "error",
}  # fmt: skip
"""Of what the supervisor says; all else is usual, but for a process that ended otherwise than it was meant to."""


def serve(config_path: str) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status. Raises ConfigError and ListenError."""
    text = read(config_path)
    config = parse(text, where=config_path)
    # Secrets that can not be read are known before anything starts.
    credentials.check(config, where=config_path)
    logs.configure(config.log.level, config.log.format)
    with _state_directory(config) as state:
        try:
            keep(state, text)
        except OSError as error:
            raise ListenError(f"{state} can not be written: {error.strerror}") from None
        control = [sys.executable, "-m", "soadns", "_control", "--config", config_path, "--state", str(state)]
        control += ["--lameduck", str(float(config.nameserver.lameduck))]
        return supervise(_supervisor_settings(config, tuple(control)), log=_supervisor_log)


def _supervisor_log(line: str) -> None:
    fields = dict(part.partition("=")[::2] for part in line.split())
    event = fields.pop("event", "supervisor")
    meant = fields.get("status", "0") in ("0", str(AGAIN_STATUS))
    log(event, level=SUPERVISOR_LEVELS.get(event, "info" if meant else "warning"), **fields)


def _supervisor_settings(config: Config, control: tuple[str, ...]) -> SupervisorSettings:
    nameserver = config.nameserver
    identity = nameserver.identity
    options = ["--version", f"soadns {__version__}", "--udp-size", str(nameserver.udp_size)]
    options += ["--lameduck", str(float(nameserver.lameduck)), f"--identity={identity}"]
    options += ["--log-format", config.log.format]
    if nameserver.tls.listen:
        options += [f"--tls-cert={nameserver.tls.cert}", f"--tls-key={nameserver.tls.key}"]
    served = {
        "http.listen": parse_address(config.http.listen),
        "http.probes": parse_address(config.http.probes),
        "state.peers.listen": parse_address(config.state.peers.listen),
    }
    return SupervisorSettings(
        listen=tuple(a for a in map(parse_address, nameserver.listen) if a is not None),
        tls_listen=tuple(a for a in map(parse_address, nameserver.tls.listen) if a is not None),
        control=control,
        control_listen=tuple((name, address) for name, address in served.items() if address is not None),
        workers=nameserver.workers or cores(),
        livez=parse_address(config.http.livez) if config.http.livez else None,
        worker_options=tuple(options),
        stop_s=10.0 + float(nameserver.lameduck),
    )


@contextlib.contextmanager
def _state_directory(config: Config) -> Iterator[Path]:
    """The folder of the snapshot; without one configured, one that lives as long as this process.

    A control process that is killed leaves its state to its successor in either case.
    """
    if config.state.directory:
        path = Path(config.state.directory)
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
        except OSError as error:
            raise ListenError(
                f"state.directory {path} can not be written: {error.strerror}. Create it, or set another one"
            ) from None
        yield path
        return
    path = Path(tempfile.mkdtemp(prefix="soadns-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
