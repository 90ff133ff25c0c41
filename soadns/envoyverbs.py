"""The verb of the command line about Envoys without Istio: a folder of files that they read."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from soadns import envoyexport
from soadns.console import NO, OK, UsageError, api, fail, show
from soadns.envoyfolder import Folder, FolderError
from soadns.sidecar.envoy import Setting
from soadns.sidecar.envoyfiles import Layout


def export_envoy(options: argparse.Namespace) -> int:
    """What Envoys without Istio are told, as files: once, or until this is ended."""
    if not options.zone:
        raise UsageError("into which folder? soadns export envoy FOLDER")
    client = api(options)
    path = Path(options.zone).absolute()
    layout = Layout(options.seen_as.rstrip("/") or str(path), Setting(unmatched=options.unmatched))
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
    show(options, done.plain(), lambda _: [done.told(path)])
    return NO if done.held else OK


def _say(text: str) -> None:
    """Tell people."""
    print(f"soadns: {text}", file=sys.stderr, flush=True)
