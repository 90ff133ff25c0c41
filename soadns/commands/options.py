"""What verbs and their options are written with, in argparse's words, and the options that many verbs have."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

DEFAULT_PATH = "/etc/soadns/soadns.yaml"
"""Of the configuration."""


@dataclass(frozen=True, slots=True)
class Option:
    """An argument in argparse's words: names, and what ``add_argument`` takes."""

    names: tuple[str, ...]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb; ``exclusive`` are options of which at most one is given, or exactly one with ``one_of``."""

    name: str
    does: str
    examples: tuple[str, ...]
    options: tuple[Option, ...] = ()
    exclusive: tuple[Option, ...] = ()
    one_of: bool = False


def text(text: str) -> str:
    """A text that is not empty. Raises argparse's error."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def option(*names: str, help: str, metavar: str = "", **settings: Any) -> Option:  # noqa: A002 - argparse's
    """An option with a text, or a positional argument that is not empty."""
    if not names[0].startswith("-"):
        settings["type"] = text
    elif "type" not in settings:
        settings.setdefault("default", "")
    return Option(names, {"help": help, "metavar": metavar or names[0].strip("-").upper(), **settings})


def switch(*names: str, help: str) -> Option:  # noqa: A002 - argparse's
    """An option that is given or not."""
    return Option(names, {"help": help, "action": "store_true"})


def flag(name: str, flag: str, what: str) -> Option:
    """One of the ways to narrow a list down."""
    settings = {
        "dest": "flag",
        "action": "store_const",
        "const": flag,
        "default": "",
        "help": f"those {what}",
    }
    return Option((name,), settings)


CONFIG = option("--config", metavar="FILE", default=DEFAULT_PATH, help="configuration (%(default)s)")
ANY_CONFIG = option("--config", metavar="FILE", help=f"configuration ({DEFAULT_PATH}, if any)")
OUTPUT = Option(("-o", "--output"), {"choices": ("text", "json"), "default": "text", "help": "(%(default)s)"})
API = (
    option("--url", help="HTTP API (SOADNS_URL, http.listen)"),
    option("--token-file", metavar="FILE", help="bearer token (SOADNS_TOKEN_FILE, http.tokenFile)"),
    ANY_CONFIG,
)
"""How to reach a running soadns."""
RUNNING = (*API, OUTPUT)
ONE_ZONE = option("--zone", help="only in this zone")
WITH_TRI = switch(
    "--with-tri", help="tri is safe enough: callers look a name up once, and are restarted after a move"
)
