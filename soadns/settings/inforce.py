"""The configuration that is in force, kept as a copy beside the snapshot.

A control process that is started again must not fall for a file that is being edited, or was refused.
"""

from __future__ import annotations

import os
from pathlib import Path

from soadns.settings.config import Config
from soadns.settings.configfile import parse, read

_IN_FORCE = "configuration"
"""File in the state directory."""


def keep(state: Path, text: bytes) -> None:
    """Put the text of a configuration in force, for the next control process. Raises OSError."""
    fresh = state / f"{_IN_FORCE}.new"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(text)
    fresh.replace(state / _IN_FORCE)


def in_force(state: Path, path: str) -> Config:
    """The configuration that ``keep`` has put in force, from the file at ``path``. Raises ConfigError."""
    try:
        text = (state / _IN_FORCE).read_bytes()
    except OSError:  # somebody has cleaned up
        text = read(path)
    return parse(text, where=path)
