"""A supervisor over real workers and ``small_control``, as a process of its own: DNS port, /livez port, workers,
seconds that control may take to start, and another control process's command."""

from __future__ import annotations

import sys
from pathlib import Path

from soadns.supervisor import SupervisorSettings, supervise


def main(port: str, livez: str, workers: str, starting: str, *control: str) -> int:
    settings = SupervisorSettings(
        listen=(("127.0.0.1", int(port)),),
        control=control or (sys.executable, str(Path(__file__).with_name("small_control.py"))),
        workers=int(workers),
        livez=("127.0.0.1", int(livez)),
        stuck_s=1.0,
        hung_s=1.0,
        starting_s=float(starting),
        stop_s=1.0,
    )
    return supervise(settings, log=lambda line: print(line, flush=True))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
