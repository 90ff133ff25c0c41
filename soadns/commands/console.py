"""What all verbs of the command line share: the running soadns, the terminal, exit codes."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soadns.addresses import on_this_host, parse_address, print_address
from soadns.commands.options import DEFAULT_PATH

if TYPE_CHECKING:
    from soadns.commands.client import Client
    from soadns.settings.config import Config

OK, NO, USAGE, UNREACHABLE = 0, 1, 2, 3
"""Exit codes, as ``soadns.cli`` tells them."""

_NO_CONFIGURATION = """
Name one with --config FILE; the keys are explained by: soadns config --reference
To try soadns without any: soadns demo"""


class UsageError(Exception):
    """A verb that can not begin; the message says what to type instead."""


def configuration_path(options: argparse.Namespace) -> str:
    """The path of the configuration of a verb that needs one."""
    if options.config == DEFAULT_PATH and not Path(DEFAULT_PATH).exists():
        raise UsageError(f"there is no configuration at {options.config}{_NO_CONFIGURATION}")
    return str(options.config)


def optional_config(options: argparse.Namespace) -> Config:
    """The named configuration; without one that of the default path, else the defaults."""
    from soadns.settings.config import Config
    from soadns.settings.configfile import load

    if options.config:
        return load(options.config)
    if Path(DEFAULT_PATH).exists():
        return load(DEFAULT_PATH)
    return Config()


def api(options: argparse.Namespace) -> Client:
    """Who asks the running soadns. Raises UsageError where it is not known how it is reached."""
    from soadns.commands.client import Client

    url = options.url or os.environ.get("SOADNS_URL", "")
    token_file = options.token_file or os.environ.get("SOADNS_TOKEN_FILE", "")
    if url:
        return Client(url.rstrip("/"), token_file)
    config = optional_config(options)
    where = parse_address(config.http.listen)
    if where is None:
        raise UsageError("http.listen is not set, so there is no API to ask. Name one with --url")
    shown = print_address(on_this_host(where[0]), where[1])
    return Client(f"http://{shown}", token_file or config.http.token_file)


def width() -> int:
    """Columns of the terminal; 0, without limit, where nobody looks (a pipe)."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def show(
    options: argparse.Namespace, data: dict[str, Any], lines: Callable[[dict[str, Any]], list[str]]
) -> None:
    """Print an outcome as the user wants it: JSON, or lines for people."""
    if options.output == "json":
        print_json(data)
    else:
        print("\n".join(lines(data)))


def print_json(data: object) -> None:
    """Print data as JSON."""
    print(json.dumps(data, ensure_ascii=False, indent=2))


def fail(status: int, message: str) -> int:
    """Say on stderr what went wrong; returns the status."""
    print(f"soadns: {message}", file=sys.stderr)
    return status
