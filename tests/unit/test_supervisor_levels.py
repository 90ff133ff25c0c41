"""What the supervisor says of its processes is to be found in a log that leaves out what is usual."""

from __future__ import annotations

import pytest

from soadns import logs
from soadns.serving import _supervisor_log

SAID = """
event=started process=worker-0 pid=7                    | info
event=ended process=worker-0 pid=7 status=0             | info
event=ended process=control pid=7 status=75             | info
event=ended process=worker-0 pid=7 status=-9            | warning
event=ended process=control pid=7 status=1              | warning
event=stuck process=worker-0 pid=7 silent_s=0.5         | warning
event=killed process=worker-0 reason=did-not-stop       | warning
event=small-receive-buffer octets=212992 wanted=4194304 | warning
event=not-started process=worker-0 reason=Out-of-memory | error
event=renewing                                          | info
"""
CASES = [tuple(part.strip() for part in line.split("|")) for line in SAID.strip().splitlines()]


@pytest.mark.parametrize(("line", "level"), CASES)
def test_what_went_wrong_is_no_mere_information(
    line: str, level: str, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", "keyvalue")
    _supervisor_log(line)
    assert f"level={level} {line}\n" in capfd.readouterr().err
