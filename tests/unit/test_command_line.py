"""What the verbs say to arguments that can not work, and how scripts learn of it: one line, and the exit status."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from soadns.cli import main
from soadns.commands import console

NOBODY = "http://127.0.0.1:1"

REFUSED = f"""
lookup a..b                             | 2 | a..b.rpc.cluster.local.: an empty label
lookup {"a" * 64}.b                     | 2 | a label of 64 octets; at most 63 can be asked for
lookup {".".join(["abcdefgh"] * 30)}    | 2 | a name of 289 octets; at most 255 can be asked for
lookup x --type MX                      | 2 | --type MX: known are A, AAAA, SRV, TXT, SOA, NS, ANY
lookup x --server localhost:53          | 2 | --server localhost:53: expected ADDRESS:PORT
lookup x --server 127.0.0.1:1 --tcp     | 3 | no name server answers at 127.0.0.1:1 by TCP: Connection refused
explain x --url nonsense                | 2 | nonsense: expected http://ADDRESS:PORT (--url, SOADNS_URL)
list --url ftp://127.0.0.1              | 2 | ftp://127.0.0.1: expected http://ADDRESS:PORT
list --url http://[::1                  | 2 | http://[::1: expected http://ADDRESS:PORT
list --url {NOBODY}                     | 3 | no soadns answers at {NOBODY}: Connection refused
list --url {NOBODY}                     | 3 | soadns serve --config FILE
list --url {NOBODY} --token-file /none  | 2 | the token file /none can not be read: No such file or directory
explain x --url http://127.0.0.1:1/x    | 3 | started a moment ago: ask again
config --config /none                   | 2 | can not be read: No such file or directory
serve --config /none                    | 2 | can not be read: No such file or directory
demo --listen 127.0.0.1:0               | 2 | --listen 127.0.0.1:0: expected ADDRESS:PORT
demo --http nonsense                    | 2 | --http nonsense: expected ADDRESS:PORT
demo --files /none                      | 2 | --files /none: no such folder
"""


@pytest.mark.parametrize("row", REFUSED.strip().splitlines())
def test_arguments_that_can_not_work_are_named(row: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, status, expected = (cell.strip() for cell in row.split(" | "))
    assert main(arguments.split()) == int(status)
    printed = capsys.readouterr()
    assert expected in printed.err
    assert printed.err.startswith("soadns: ")
    assert not printed.out


def test_a_token_of_two_lines_is_named_and_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``openssl rand -base64 64`` breaks its line."""
    file = tmp_path / "token"
    file.write_text("open-sesame\nopen-sesame\n")
    assert main(["list", "--url", NOBODY, "--token-file", str(file)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"soadns: the token file {file} is more than one line, or has control characters")
    assert "sesame" not in said


USAGE = """
explain ""                | argument NAME: it is empty
explain                   | one of the arguments NAME --manifest is required
explain x --manifest f    | argument --manifest: not allowed with argument NAME
list --held --stale       | argument --stale: not allowed with argument --held
list --held --sources     | argument --sources: not allowed with argument --held
list -o yaml              | argument -o/--output: invalid choice: 'yaml'
lookup x --mx             | unrecognized arguments: --mx
"""


@pytest.mark.parametrize("row", USAGE.strip().splitlines())
def test_a_wrong_usage_says_where_the_right_one_is_shown(
    row: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, _, expected = row.partition("|")
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(arguments))
    assert ended.value.code == 2
    usage, *_, said, last = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: soadns")
    assert expected.strip() in said
    assert last.startswith("With examples: soadns")


NOWHERE = """
serve | there is no configuration at {path}
check | there is no configuration at {path}
config | soadns config --reference
check -o json | soadns demo
"""


@pytest.mark.parametrize("row", NOWHERE.strip().splitlines())
def test_without_any_configuration_the_next_step_is_told(
    row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, _, expected = row.partition(" | ")
    monkeypatch.setattr(console, "DEFAULT_PATH", str(tmp_path / "soadns.yaml"))
    assert main([*arguments.split(), "--config", console.DEFAULT_PATH]) == 2
    printed = capsys.readouterr()
    assert expected.format(path=console.DEFAULT_PATH) in printed.err
    assert not printed.out


def test_a_name_that_the_terminal_can_not_spell_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(octets, encoding="ascii"))
    assert main(["version", "-o", "json"]) == 0
    print("Ünï")
    sys.stdout.flush()
    assert octets.getvalue().endswith(b"\\xdcn\\xef\n")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as reader:
        reader.wait()
        command = [sys.executable, "-m", "soadns", "version"]
        done = subprocess.run(command, stdout=reader.stdin, stderr=subprocess.PIPE, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
