"""``python -m soadns``: the command line, and the entry of the control process."""

from __future__ import annotations

import sys


def main() -> int:
    """Run; returns the exit status."""
    if sys.argv[1:2] == ["_control"]:
        from soadns.app import control_main

        return control_main(sys.argv[2:])
    from soadns.cli import main as command_line

    return command_line(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
