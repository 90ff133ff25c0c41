"""What ``make demo-real`` says: a step that fails is told as such, and lines of consumers are read as what they are."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import pytest

from tests.demo.callers import CALL, Calls
from tests.demo.screen import Screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(screen: Screen) -> None:
    with screen.step("One", "Because."):
        screen.typed("true", "")
        screen.until("it is so", lambda: True, within=1.0)
        screen.measured("it took no time")
    with pytest.raises(AssertionError, match="it is never so"), screen.step("Two", "Because."):
        screen.until("it is never so", lambda: False, within=0.0)
    screen.summary(3)


def test_a_step_that_does_not_hold_is_told_and_so_is_one_that_was_not_reached() -> None:
    out = io.StringIO()
    told(Screen(out))
    summary = out.getvalue().partition("Summary\n=======\n")[2].splitlines()
    assert [line.partition(" (")[0] for line in summary[:3]] == [
        "held   1. One",
        "          it took no time",
        "FAILED 2. Two",
    ]
    assert summary[3].startswith("1 of 3 steps held, ")


def test_lines_are_written_over_on_a_terminal_alone() -> None:
    file, terminal = io.StringIO(), Terminal()
    for out in (file, terminal):
        told(Screen(out))
    assert not {"\r", "\x1b"} & set(file.getvalue())
    assert re.search(r"\r\x1b\[K  \.\. it is so: \d+\.\d s\n", terminal.getvalue())


@pytest.mark.parametrize(
    ("line", "pod", "failed"),
    [
        ("17:45:35.493 INFO  Greeter: Hello shop, this is user-1", "user-1", False),
        ("17:51:27.876 Paid 1999 cents, this is pay-4", "pay-4", False),
        (
            "17:51:35.635 ERROR Greeter: org.apache.dubbo.rpc.RpcException: No provider available ...",
            None,
            True,
        ),
        ("17:51:35.635 com.alipay.sofa.rpc.core.exception.SofaTimeOutException: ...", None, True),
    ],
)
def test_a_consumer_says_who_answered_or_what_failed(line: str, pod: str | None, failed: bool) -> None:
    found = CALL.match(line)
    assert found is not None
    assert (found["pod"], bool(found["error"])) == (pod, failed)


@pytest.mark.parametrize(
    "line",
    [
        "17:51:24.987 INFO  Shop: Started Shop in 1.984 seconds (process running for 2.38)",
        " :: Dubbo (v3.3.5)",
        "",
    ],
)
def test_what_else_a_consumer_logs_is_no_call(line: str) -> None:
    assert CALL.match(line) is None


@pytest.mark.parametrize(
    ("times", "seconds"),
    [([], 0.0), (["17:51:35.635"], 0.0), (["17:51:35.5", "17:51:35.75", "17:51:38.0"], 2.5),
     (["23:59:59.500", "00:00:01.000"], 1.5)],
)  # fmt: skip
def test_for_how_long_calls_failed(times: list[str], seconds: float) -> None:
    failed = [f"{at} ERROR Greeter: org.apache.dubbo.rpc.RpcException: ..." for at in times]
    lines = ["17:45:35.493 INFO  Greeter: Hello shop, this is user-1", *failed, "17:59:35.1 this is user-2"]
    calls = Calls(Logged(lines))  # type: ignore[arg-type]
    assert calls.failing_s == seconds
    assert len(calls.failed) == len(times)
    assert sorted(calls.by) == ["user-1", "user-2"]


@dataclass
class Logged:
    """What a pod has logged."""

    said: list[str]

    def lines(self) -> list[str]:
        return self.said
