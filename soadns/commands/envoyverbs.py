"""The verb of the command line about Envoys without Istio: a folder of files that they read."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from soadns.commands import envoyexport
from soadns.commands.console import NO, OK, UsageError, api, fail, show
from soadns.commands.envoyfolder import Folder, FolderError
from soadns.numerals import port_number
from soadns.sidecar import envoy
from soadns.sidecar.envoy import Setting
from soadns.sidecar.envoyfiles import BOOTSTRAP_FILE, Layout


def export_envoy(options: argparse.Namespace) -> int:
    """What Envoys without Istio are told, as files: once, or until this is ended."""
    if not options.zone:
        raise UsageError("into which folder? soadns export envoy FOLDER")
    path, setting = Path(options.zone).absolute(), Setting(unmatched=options.unmatched)
    if options.ads:
        return _by_ads(options, path, setting)
    client = api(options)
    layout = Layout(options.seen_as.rstrip("/") or str(path), setting)
    if options.follow:
        signal.signal(
            signal.SIGTERM, lambda *_: sys.exit(OK)
        )  # the first process of a container has to say so
    try:
        export = envoyexport.Export(
            Folder(path), layout, accept_removals=options.accept_removals, envoy=options.envoy
        )
        for text in export.unread:
            _say(f"{text}: it is written anew")
        export.start_with(envoyexport.NODE)
        if options.follow:
            envoyexport.follow(client, options.of_zone, export, _say)
        done = envoyexport.once(client, options.of_zone, export)
    except (FolderError, envoyexport.ExportError) as error:
        return fail(NO, str(error))
    for text in done.news:
        _say(text)
    show(options, done.plain(), lambda _: [done.told(path)])
    return NO if done.held else OK


def _by_ads(options: argparse.Namespace, path: Path, setting: Setting) -> int:
    """What an Envoy is started with that is told the rest by ADS."""
    tls = options.ads_tls.split(",") if options.ads_tls else []
    if len(tls) not in (0, 3):
        raise UsageError("--ads-tls: expected the paths of the CA, the certificate and the key, by commas")
    servers = [_server(text) for text in options.ads.split(",")]
    said = {"SOADNS": "envoy", "ZONE": options.of_zone, "NAMESPACE": options.namespace}
    node = {
        "id": options.node or envoyexport.NODE,
        "metadata": {key: text for key, text in said.items() if text},
    }
    start = envoy.by_ads(servers, tls, setting, node=node, admin=envoyexport.ADMIN)
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = path / BOOTSTRAP_FILE
        file.write_text(json.dumps(start, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        return fail(NO, f"{path} can not be written to: {error.strerror}")
    show(options, {"file": str(file)}, lambda data: [f"{data['file']}: envoy -c {data['file']}"])
    return OK


def _server(text: str) -> tuple[str, int]:
    host, _, port = text.strip().rpartition(":")
    number = port_number(port)
    if not host or number is None:
        raise UsageError(f"--ads {text}: expected HOST:PORT, e.g. soadns-ads.soadns:15010")
    return host.strip("[]"), number


def _say(text: str) -> None:
    """Tell people."""
    print(f"soadns: {text}", file=sys.stderr, flush=True)
