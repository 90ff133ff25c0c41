"""The cache of real servers: what is there is verified, what is damaged is made again, what failed leaves nothing."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tools.gather import cache, debian, golang, maven, running
from tools.gather.cache import Part
from tools.gather.running import PartError

ROOT = Path(__file__).resolve().parents[2]


def recipe(made: list[str], text: str = "server 1.2") -> Part:
    """A part of a program, a file and a link; notes each time it is made."""

    def make(folder: Path) -> str:
        made.append(text)
        (folder / "bin").mkdir()
        (folder / "bin" / "server").write_text("program\n")
        (folder / "data").write_text("data\n")
        (folder / "bin" / "alias").symlink_to("server")
        return "1.2-3"

    return Part("server", "1.2", text, make, lambda folder: [str(folder / "bin" / "server")])


def names(store: Path) -> list[str]:
    return sorted(path.name for path in store.iterdir())


def overwrite(folder: Path) -> None:
    (folder / "bin" / "server").write_text("Program\n")


def truncate(folder: Path) -> None:
    os.truncate(folder / "data", 0)


def remove(folder: Path) -> None:
    (folder / "data").unlink()


def add(folder: Path) -> None:
    (folder / "bin" / "more").write_text("")


def redirect(folder: Path) -> None:
    (folder / "bin" / "alias").unlink()
    (folder / "bin" / "alias").symlink_to("../data")


def forget_the_sums(folder: Path) -> None:
    (folder / cache.SUMS).unlink()


def say_another_version(folder: Path) -> None:
    (folder / cache.VERSION).write_text("9\n")


def wait_for(condition: Callable[[], bool], within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def running_still(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_part_is_made_once_and_found_afterwards(tmp_path: Path) -> None:
    made: list[str] = []
    part = recipe(made)
    first = cache.get(part, tmp_path)
    assert cache.get(part, tmp_path) == first == ("1.2-3", part.folder(tmp_path))
    assert made == ["server 1.2"]
    assert names(tmp_path) == [part.folder(tmp_path).name]


@pytest.mark.parametrize(
    "damage", [overwrite, truncate, remove, add, redirect, forget_the_sums, say_another_version]
)
def test_a_damaged_part_is_made_again(
    damage: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []
    part = recipe(made)
    _, folder = cache.get(part, tmp_path)
    damage(folder)
    assert not cache.intact(folder)
    assert cache.get(part, tmp_path) == ("1.2-3", folder)
    assert cache.intact(folder)
    assert len(made) == 2
    assert f"{folder} is damaged, making it again" in capsys.readouterr().out


def test_another_recipe_is_another_folder_and_leaves_the_first_alone(tmp_path: Path) -> None:
    made: list[str] = []
    one, two = recipe(made), recipe(made, "server 1.2, patched")
    cache.get(one, tmp_path)
    cache.get(two, tmp_path)
    cache.get(one, tmp_path)
    assert made == ["server 1.2", "server 1.2, patched"]
    assert one.folder(tmp_path) != two.folder(tmp_path)


@pytest.mark.parametrize("ending", [PartError("refused"), KeyboardInterrupt(), SystemExit(143)])
def test_a_part_that_is_not_finished_leaves_nothing(ending: BaseException, tmp_path: Path) -> None:
    def make(folder: Path) -> str:
        (folder / "half").write_text("half")
        raise ending

    part = Part("server", "1.2", "server", make, lambda folder: [str(folder)])
    with pytest.raises(type(ending)):
        cache.get(part, tmp_path)
    assert names(tmp_path) == []


def test_an_error_names_the_part_that_can_not_be_had(tmp_path: Path) -> None:
    def make(folder: Path) -> str:
        raise PartError("there are no package lists; once, as root: apt-get update")

    part = Part("dig", "9.18", "dig", make, lambda folder: [str(folder)])
    with pytest.raises(
        PartError, match=r"^dig 9\.18: there are no package lists; once, as root: apt-get update$"
    ):
        cache.get(part, tmp_path)


def test_what_a_killed_run_left_goes_with_the_next_one(tmp_path: Path) -> None:
    (tmp_path / f"{cache.UNFINISHED}x" / "bin").mkdir(parents=True)
    with cache.sole(tmp_path):
        assert names(tmp_path) == [".lock"]


def test_two_runs_never_fill_the_folder_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []

    def second() -> None:
        with cache.sole(tmp_path):
            order.append("second")

    run = threading.Thread(target=second)
    with cache.sole(tmp_path):
        run.start()
        run.join(timeout=0.2)
        order.append("first")
    run.join(timeout=5.0)
    assert order == ["first", "second"]
    assert f"waiting for another run that fills {tmp_path}" in capsys.readouterr().out


def test_a_lock_ends_with_its_run(tmp_path: Path) -> None:
    with cache.sole(tmp_path):
        pass
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_part_may_hold_several_programs(tmp_path: Path) -> None:
    part = Part(
        "server", "1.2", "server", lambda _: "1.2-3", lambda folder: [str(folder / "server"), "-d"],
        also=(("checker", "bin/checker"),),
    )  # fmt: skip
    assert part.programs(tmp_path) == {
        "server": [f"{tmp_path}/server", "-d"],
        "checker": [f"{tmp_path}/bin/checker"],
    }


def test_what_no_test_starts_is_made_when_asked_for_and_named_for_as_long_as_it_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    parts = importlib.import_module("parts")
    made: list[str] = []
    monkeypatch.setattr(parts, "PARTS", (recipe(made),))
    monkeypatch.setattr(parts, "FOR_BENCHES", (replace(recipe(made, "rival 2"), name="rival"),))

    def filled(*, benches: bool) -> list[str]:
        parts.fill(tmp_path, benches=benches)
        return list(json.loads((tmp_path / "parts.json").read_text()))

    assert filled(benches=False) == ["server"]
    assert filled(benches=True) == ["server", "rival"]
    assert filled(benches=False) == ["server", "rival"]
    assert made == ["server 1.2", "rival 2"]


def test_the_demo_gets_what_it_starts_and_all_else_that_is_here_stays_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    parts = importlib.import_module("parts")
    assert {part.name for part in parts.PARTS} >= parts.FOR_DEMO
    made: list[str] = []
    here, wanted, other = (replace(recipe(made, text), name=text) for text in ("here", "etcd", "other"))
    monkeypatch.setattr(parts, "PARTS", (here, wanted, other))
    monkeypatch.setattr(parts, "FOR_BENCHES", ())
    cache.get(here, tmp_path)
    capsys.readouterr()
    parts.fill(tmp_path, demo=True)
    assert list(json.loads((tmp_path / "parts.json").read_text())) == ["here", "etcd"]
    assert made == ["here", "etcd"]
    foretold = f"parts: to get, into {tmp_path}: {wanted.title} (fetching)\n"
    assert capsys.readouterr().out.startswith(foretold)
    parts.fill(tmp_path, demo=True)
    assert "to get" not in capsys.readouterr().out


def test_a_project_is_made_of_its_poms_and_sources_and_not_of_what_was_built_beside_them(
    tmp_path: Path,
) -> None:
    files = {
        "pom.xml": "<project/>",
        "shop/pom.xml": "<project/>",
        "shop/src/main/resources/application.yml": "a: 1",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    recipes = {maven.project_recipe(tmp_path)}
    (tmp_path / "shop/target").mkdir()
    (tmp_path / "shop/target/shop.jar").write_text("built")
    assert maven.project_recipe(tmp_path) in recipes
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
        recipes.add(maven.project_recipe(tmp_path))
    assert len(recipes) == 1 + len(files)


def test_a_program_of_our_own_is_part_of_what_is_built(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module x\n")
    (tmp_path / "go.sum").write_text("")
    (tmp_path / "main.go").write_text("package main // one\n")
    one = golang.recipe(tmp_path, {})
    (tmp_path / "main.go").write_text("package main // two\n")
    assert golang.recipe(tmp_path, {}) != one


def test_a_java_program_is_made_of_its_tree_of_what_trees_share_and_of_versions(tmp_path: Path) -> None:
    tree, shared = tmp_path / "dubbo", tmp_path / maven.SHARED
    (tree / maven.OWN).mkdir(parents=True)
    shared.mkdir()
    (tree / "pom.xml").write_text("<project/>")
    (shared / "Desk.java").write_text("interface Desk {}")
    (shared / "notes.txt").write_text("one")
    one = maven.recipe(tree, {"dubbo.version": "3.3.5"})
    assert maven.recipe(tree, {"dubbo.version": "3.2.16"}) != one
    (shared / "notes.txt").write_text("two")
    assert maven.recipe(tree, {"dubbo.version": "3.3.5"}) == one
    (shared / "Desk.java").write_text("interface Desk { int size(); }")
    assert maven.recipe(tree, {"dubbo.version": "3.3.5"}) != one


def test_trusted_certificates_are_there_in_the_form_that_java_reads() -> None:
    certificates = [b"one certificate", b"another"]
    store = maven.keystore(certificates)
    assert store.startswith(bytes.fromhex("feedfeed 00000002 00000002"))
    assert all(len(each).to_bytes(4, "big") + each in store for each in certificates)
    assert len(store) == 12 + sum(4 + 3 + 8 + 7 + 4 + len(each) for each in certificates) + 20


def test_a_version_that_the_name_says_is_said_once(tmp_path: Path) -> None:
    assert replace(recipe([]), name="dubbo-1.2").folder(tmp_path).name.startswith("dubbo-1.2-")
    assert replace(recipe([]), name="dubbo-1.2").title == "dubbo-1.2"
    assert recipe([]).title == "server 1.2"


def test_too_little_room_is_said_before_anything_is_made(tmp_path: Path) -> None:
    made: list[str] = []
    large = Part("server", "1.2", "server", recipe(made).make, lambda folder: [str(folder)], room=10**9)
    with pytest.raises(PartError, match=r"server 1\.2 takes about 1000000000 GB .* set SOADNS_PARTS"):
        cache.get(large, tmp_path)
    assert made == []
    assert names(tmp_path) == []


def test_a_failed_program_shows_its_last_words_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PartError) as error:
        running.run(["sh", "-c", "seq 20; exit 3"], "counting", cwd=tmp_path, advice="as root: count")
    assert str(error.value).splitlines() == [
        "counting failed with status 3; as root: count",
        *(f"    {number}" for number in range(9, 21)),
    ]


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(PartError, match=r"^counting: there is no no-such-program here; install it$"):
        running.run(["no-such-program"], "counting", advice="install it")


def test_what_a_program_started_ends_with_a_stopped_run(tmp_path: Path) -> None:
    text = (
        "import signal, sys; from tools.gather.running import run\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "run(['sh', '-c', 'sleep 60 & echo $! > compiler; mv compiler started; wait'], 'building')\n"
    )
    stopped = subprocess.Popen(
        [sys.executable, "-c", text], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    compiler = tmp_path / "started"
    wait_for(compiler.exists)
    child = int(compiler.read_text())
    stopped.terminate()
    assert stopped.wait(timeout=5.0) == 143
    wait_for(lambda: not running_still(child))


def test_links_of_an_unpacked_package_stay_inside_its_tree(tmp_path: Path) -> None:
    (tmp_path / "etc" / "java").mkdir(parents=True)
    (tmp_path / "etc" / "java" / "security").write_text("from the package\n")
    (tmp_path / "usr" / "lib").mkdir(parents=True)
    (tmp_path / "usr" / "lib" / "security").symlink_to("/etc/java/security")
    (tmp_path / "usr" / "lib" / "beside").symlink_to("security")
    debian._relink(tmp_path)
    assert os.readlink(tmp_path / "usr" / "lib" / "security") == "../../etc/java/security"
    assert (tmp_path / "usr" / "lib" / "beside").read_text() == "from the package\n"


def test_the_pinned_api_server_is_the_one_that_go_mod_requires(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(
        "module x\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v1.37.2\n\nrequire (\n\tk8s.io/api v0.37.2\n)\n"
    )
    assert golang.required(tmp_path, "k8s.io/kubernetes") == "1.37.2"
    assert golang.required(tmp_path, "k8s.io/api") == "0.37.2"
    with pytest.raises(ValueError, match="does not require example"):
        golang.required(tmp_path, "example")


def test_the_list_names_each_part_and_says_that_nothing_is_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-B", str(ROOT / "tools" / "parts.py"), "--list"],
        env={"SOADNS_PARTS": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.split()[:3] for line in done.stdout.splitlines()]
    assert lines == [
        ["zookeeper", "3.8.0", "missing"],
        ["dig", "9.18", "missing"],
        ["etcd", "3.4.23", "missing"],
        ["etcdctl", "3.4.23", "missing"],
        ["openssl", "3.0", "missing"],
        ["kube-apiserver", "1.37.2", "missing"],
        ["knotd", "3.2.6", "missing"],
        ["named", "9.18", "missing"],
        ["nsd", "4.6.1", "missing"],
        ["dnsmasq", "2.90", "missing"],
        ["unbound", "1.17.1", "missing"],
        ["systemd-resolved", "252", "missing"],
        ["coredns", "1.15.0", "missing"],
        ["coredns-1.11", "1.11.3", "missing"],
        ["kube-proxy", "1.37.2", "missing"],
        ["kubectl", "1.37.2", "missing"],
        ["helm", "4.3.2", "missing"],
        ["prometheus-kinds", "0.85.0", "missing"],
        ["envoy", "1.40.0", "missing"],
        ["mosn", "1.2.0", "missing"],
        ["istiod", "1.32-20260827", "missing"],
        ["nft", "1.0.6", "missing"],
        ["ip", "6.1.0", "missing"],
        ["prometheus", "2.42.0", "missing"],
        ["musl-lookup", "1.2.3", "missing"],
        ["dubbo-2.6.12", "2.6.12", "missing"],
        ["dubbo-2.7.23", "2.7.23", "missing"],
        ["dubbo-3.0.15", "3.0.15", "missing"],
        ["dubbo-3.2.16", "3.2.16", "missing"],
        ["dubbo-3.3.5", "3.3.5", "missing"],
        ["sofarpc-5.6.0", "5.6.0", "missing"],
        ["sofarpc-5.12.0", "5.12.0", "missing"],
        ["sofa-rpc-node-2.10.0", "2.10.0", "missing"],
        ["user-provider", "3.3.5", "missing"],
        ["pay-provider", "5.12.0", "missing"],
        ["dnsperf", "2.10.0", "missing"],
    ]
    assert names(tmp_path) == []
