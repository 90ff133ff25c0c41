"""A supervisor over real workers and ``small_control``, as a process of its own: DNS port, /livez port, workers,
seconds that control may take to start and to stop, and another control process's command.

What it says has the monotonic clock's seconds before it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from soadns.processes.supervisor import SupervisorSettings, supervise

HUNG_S = 2.0
"""Not the thirty seconds that it is; longer than a machine with much to do keeps one process waiting."""


def main(port: str, livez: str, workers: str, starting: str, stopping: str, *control: str) -> int:
    settings = SupervisorSettings(
        listen=(("127.0.0.1", int(port)),),
        control=control or (sys.executable, str(Path(__file__).with_name("small_control.py"))),
        workers=int(workers),
        livez=("127.0.0.1", int(livez)),
        hung_s=HUNG_S,
        starting_s=float(starting),
        stop_s=float(stopping),
    )
    return supervise(settings, log=lambda line: print(time.monotonic(), line, flush=True))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
