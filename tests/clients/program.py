"""What the two Python programs share with the Java ones: arguments, the services, and a consumer that does what each
line of its input says. Standard library only; started as scripts, so they find this module beside themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

LONGER_THAN_ANY_TIMEOUT_S = 60.0
GRACE_S = 5.0
Call = Callable[[str, Any], Any]
"""A method's name and its argument; the answer, or an exception."""


class Desk:
    """The services of one provider: method names are those of ``com.example.shop.Desk``."""

    def __init__(self, name: str, interfaces: list[str]) -> None:
        self._name = name
        self._interfaces = interfaces
        self._counts: Counter[str] = Counter()
        self._lock = threading.Condition()
        self._busy = 0

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Around one call, its answer included."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1
                self._lock.notify_all()

    def finish(self) -> None:
        """Wait for the calls that are under way, but not for those that hang."""
        with self._lock:
            self._lock.wait_for(lambda: self._busy == 0, timeout=GRACE_S)

    def answer(self, interface: str, method: str, argument: Any) -> Any:
        """Raises LookupError for what is not served here."""
        if interface not in self._interfaces or method not in {"whoami", "slow", "attempts"}:
            raise LookupError(f"no {interface}.{method} here")
        return getattr(self, f"_{method}")(argument)

    def _whoami(self, _: Any) -> str:
        return self._name

    def _slow(self, millis: int) -> str:
        time.sleep(millis / 1000)
        return self._name

    def _attempts(self, argument: tuple[str, int]) -> int:
        key, fail_first = argument
        with self._lock:
            self._counts[key] += 1
            number = self._counts[key]
        if number <= fail_first:
            time.sleep(LONGER_THAN_ANY_TIMEOUT_S)
        return number


class Steady:
    """Calls that go on in the background, and what became of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self._last_answer = 0.0
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._calls = self._failed = 0
        self._slowest = self._gap = 0.0
        self._errors: Counter[str] = Counter()
        self._by: Counter[str] = Counter()

    def start(self, call: Callable[[], Any], every_ms: int, threads: int) -> None:
        if not self._threads:
            self._ending.clear()
            self._last_answer = time.monotonic()
        fresh = [
            threading.Thread(target=self._loop, args=(call, every_ms / 1000), daemon=True)
            for _ in range(threads)
        ]
        self._threads += fresh
        for thread in fresh:
            thread.start()

    def _loop(self, call: Callable[[], Any], every: float) -> None:
        due = time.monotonic()
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                self._note(began, answer=str(call()))
            except Exception as error:
                self._note(began, error=described(error))
            due = max(due + every, time.monotonic())
            self._ending.wait(due - time.monotonic())

    def _note(self, began: float, *, answer: str = "", error: str = "") -> None:
        with self._lock:
            now = time.monotonic()
            self._calls += 1
            self._slowest = max(self._slowest, now - began)
            if error:
                self._failed += 1
                self._errors[error] += 1
            else:
                self._by[answer] += 1
                self._gap = max(self._gap, now - self._last_answer)
                self._last_answer = now

    def tally(self) -> dict[str, Any]:
        with self._lock:
            if self._threads:
                self._gap = max(self._gap, time.monotonic() - self._last_answer)
            found = {
                "calls": self._calls, "failed": self._failed, "errors": dict(self._errors), "by": dict(self._by),
                "slowest_ms": int(self._slowest * 1000), "longest_gap_ms": int(self._gap * 1000),
            }  # fmt: skip
            self._begin_anew()
            return found

    def stop(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()


class Consumer:
    """Answers lines; a reference is what ``connect`` makes of an interface, a URL and a timeout in seconds."""

    def __init__(self, connect: Callable[[str, str, float], Call]) -> None:
        self._connect = connect
        self._references: dict[str, Call] = {}
        self._steady: dict[str, Steady] = defaultdict(Steady)

    def run(self) -> None:
        for line in sys.stdin:
            print(json.dumps(self._answer(json.loads(line))), flush=True)

    def _answer(self, said: dict[str, Any]) -> dict[str, Any]:
        began = time.monotonic()
        try:
            answer = self._act(said) | {"ok": True}
        except Exception as error:
            answer = {"ok": False, "error": described(error)}
        return answer | {"ms": round((time.monotonic() - began) * 1000, 1)}

    def _act(self, said: dict[str, Any]) -> dict[str, Any]:
        match said["do"]:
            case "refer":
                options = dict(said.get("options") or {})
                url, timeout = options.pop("url"), options.pop("timeout", 1000)
                if options:
                    raise ValueError(f"no such options here: {sorted(options)}")
                self._references[said["interface"]] = self._connect(said["interface"], url, timeout / 1000)
                return {}
            case "call" | "generic":
                return {"answer": self._call(said)()}
            case "steady":
                steady = self._steady[said.get("as", "")]
                steady.start(self._call(said), said["every_ms"], said["threads"])
                return {}
            case "tally":
                return self._steady[said.get("as", "")].tally()
            case "stop":
                for steady in self._steady.values():
                    steady.stop()
                return {}
            case other:
                raise ValueError(f"can not do {other}")

    def _call(self, said: dict[str, Any]) -> Callable[[], Any]:
        call = self._references[said["interface"]]
        method, argument = said.get("method", "whoami"), said.get("argument", "hello")
        return lambda: call(method, argument)


def described(error: BaseException) -> str:
    """Class and message, one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def main(
    serve: Callable[[Desk, str, int], Callable[[], None]],
    connect: Callable[[str, str, float], Call],
) -> None:
    """Be what the command line says. ``serve`` starts a server of a desk at an address and returns what ends it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["provider", "consumer"])
    for name in ("app", "registry", "protocol", "id", "bind", "interfaces", "timeout", "retries"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    if given.registry not in {"", "none"}:
        parser.error("this protocol has no registry: --registry none")
    if given.role == "consumer":
        Consumer(connect).run()
        return
    # Blocked in every thread, so that it waits for whoever takes it: to interrupt who reads is left to chance.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    desk = Desk(given.id, given.interfaces.split(","))
    end = serve(desk, given.bind, given.port)
    alone = threading.Event()
    threading.Thread(target=_until_input_ends, args=(alone,), daemon=True).start()
    print("ready", flush=True)
    signal.sigwait({signal.SIGTERM})
    ending = threading.Thread(target=end, daemon=True)
    ending.start()
    ending.join(GRACE_S)
    desk.finish()
    sys.stdout.flush()
    os._exit(0 if alone.is_set() else 128 + signal.SIGTERM)  # whatever a thread still waits for


def _until_input_ends(alone: threading.Event) -> None:
    """The end of the input ends the program as the signal does."""
    while os.read(sys.stdin.fileno(), 65_536):
        pass
    alone.set()
    os.kill(os.getpid(), signal.SIGTERM)
