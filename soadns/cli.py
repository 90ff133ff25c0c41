"""The command line: what was typed is read here, and done by ``soadns.serving`` or ``soadns.commands.verbs``.

Exit codes: 0 as asked; 1 the answer is "no" (unknown name, nothing found, something is missing, refused);
2 wrong usage or configuration; 3 no soadns answers. Answers go to stdout; what went wrong, why and what to type next
to stderr. Neither ``--help`` nor the process that ``serve`` becomes waits for what verbs need to load.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from soadns.commands import arguments
from soadns.commands.console import NO, OK, USAGE, UsageError, configuration_path, fail


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    options = arguments.parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what the terminal can not spell
    try:
        status = _serve(options) if options.verb == "serve" else _run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader (head, less) has seen enough; do not complain again while flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130


def _serve(options: argparse.Namespace) -> int:
    from soadns.processes.listening import ListenError
    from soadns.serving import serve
    from soadns.settings.configfile import ConfigError

    try:
        return serve(configuration_path(options))
    except (ConfigError, UsageError) as error:
        return fail(USAGE, str(error))
    except ListenError as error:
        return fail(NO, str(error))


def _run(options: argparse.Namespace) -> int:
    from soadns.commands import verbs

    return verbs.run(options)
