"""The documentation is held to what the program does: commands, keys, verbs, paths, metrics, samples, links."""

from __future__ import annotations

import argparse
import asyncio
import re
import shlex
from pathlib import Path

import pytest
import yaml

from soadns.commands import arguments, console
from soadns.composition import kube_settings, zone_settings
from soadns.model import InterfaceId
from soadns.onboarding.survey import survey
from soadns.reports import filterviews, routeviews, views
from soadns.reports.explain import explain
from soadns.reports.routeviews import Part
from soadns.settings.config import HttpConfig, KubernetesConfig
from soadns.settings.configfile import parse, reference_page
from soadns.sources import annotations
from soadns.sources.kubeaccess import rbac
from soadns.sources.static import StaticSettings, StaticSource
from soadns.text import narrate
from soadns.web.api import Site
from soadns.web.metrics import Exporter
from tests.unit.demo_process import DemoProcess
from tests.unit.route_process import RouteProcess

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks whose info string is this."""
    fences = re.findall(r"^```(.*)\n((?s:.*?))^```$", page.read_text(encoding="utf-8"), re.M)
    return [text for info, text in fences if info == language]


# --------------------------------------------------------------------------- pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
        there = page.parent / target if target else page
        assert target.startswith("http") or there.exists(), f"{page.name}: {target}"
        assert not anchor or target.startswith("http") or anchor in anchors(there), f"{page.name}: #{anchor}"


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page in links."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_is_understood(page: Path) -> None:
    shown = re.findall(r"^(?:\$ )?soadns (.*)$", "\n".join(blocks(page, "sh")), re.M)
    for line in shown:
        words = shlex.split(re.split(r" +[>|#] | && |; ", line)[0])
        arguments.parser().parse_args(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_named_exists(page: Path) -> None:
    makefile = text_of("Makefile")
    named = re.findall(r"(?:^|`)make ([a-z][a-z-]+)", page.read_text(encoding="utf-8"), re.M)
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.M), f"{page.name}: make {target}"


def test_the_readme_leads_to_every_page() -> None:
    read_on = text_of("README.md").partition("## Read on")[2]
    pages = {page.name for page in PAGES if page.parent.name == "docs" and not page.match("*.zh-CN.md")}
    assert {name for name in pages if f"](docs/{name}) |" not in read_on} == set()


def test_the_page_names_the_coredns_that_tests_boot() -> None:
    [pinned], [older] = (
        re.findall(r"^require github.com/coredns/coredns v(\S+)$", text_of(f"tools/{part}/go.mod"), re.M)
        for part in ("coredns", "coredns-1.11")
    )
    page = text_of("docs/coredns.md")
    named = re.findall(r"(?:boots it with CoreDNS |^\(CoreDNS |\(in )(\d+\.\d+\.\d+)", page, re.M)
    assert named == [pinned] * 3
    assert f"The same tests do so with CoreDNS {older}," in page
    assert f"| {older}, or before | tested with that one |" in page
    assert page.lower().count("by hand") == page.count("what is edited by hand"), "nothing was tried by hand"


def test_the_ci_does_what_the_readme_says() -> None:
    assert "make test" in blocks(ROOT / "README.md", "sh")[0]
    assert re.search(r"^exec make test\b", text_of(".ci/run"), re.M)


def test_the_explanation_that_the_readme_shows_is_the_one_that_is_given() -> None:
    process = DemoProcess()
    [shown] = [block for block in blocks(ROOT / "README.md", "") if "soadns explain" in block]
    command, *lines = shown.splitlines()
    told = iter(narrate.explanation(explain(process.estate, command.split()[-1], process.now())))
    for line in lines:
        assert line.strip() == "..." or line in told, f"not there, or not in this order: {line}"


def test_the_answer_that_the_readme_begins_with_is_that_of_the_demo() -> None:
    process = DemoProcess()
    _, answer = blocks(ROOT / "README.md", "")[0].splitlines()
    owner, ttl, _, kind, address = answer.split()
    [found] = explain(process.estate, owner, process.now())["zones"]
    assert (kind, found["addresses"], str(found["ttl"])) == ("A", [address], ttl)


# --------------------------------------------------------------------------- configuration


def samples() -> list[tuple[str, str]]:
    found = [("README.md", block) for block in blocks(ROOT / "README.md", "yaml")]
    return found + [
        (page, block)
        for page in ("configuration.md", "scaling.md")
        for block in blocks(ROOT / "docs" / page, "yaml config")
    ]


@pytest.mark.parametrize(("page", "sample"), samples(), ids=[page for page, _ in samples()])
def test_sample_configurations_are_accepted(page: str, sample: str) -> None:
    config = parse(sample, where=page)
    assert zone_settings(config)


def test_the_page_documents_every_key() -> None:
    assert text_of("docs/configuration.md").endswith(reference_page())


def test_the_errors_that_the_page_shows_are_real() -> None:
    text = "zookeeper: [{host: zk1}]\nnameserver: {listen: ['localhost:53']}\n"
    with pytest.raises(Exception, match="problem") as caught:
        parse(text, where="soadns.yaml")
    shown = blocks(ROOT / "docs/configuration.md", "")[0]
    for line in shown.strip().splitlines():
        assert line in str(caught.value)


# --------------------------------------------------------------------------- command line


def verbs() -> dict[str, argparse.ArgumentParser]:
    parser = arguments.parser()
    [action] = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(action.choices)


def test_every_verb_and_its_options_are_documented() -> None:
    page = text_of("docs/cli.md")
    common = {"-h", "--help", "--config", "-o", "--output", "--url", "--token-file"}
    for verb, parser in verbs().items():
        rows = "\n".join(line for line in page.splitlines() if re.match(rf"\| `{verb}\b", line))
        assert rows, verb
        for action in parser._actions:
            for option in action.option_strings:
                assert option in common or f"`{option}`" in rows, f"{verb} {option}"


def test_every_verb_shows_examples_that_it_understands() -> None:
    for verb, parser in verbs().items():
        lines = re.findall(r"^  (soadns .*?)(?:  .*)?$", parser.format_help(), re.M)
        assert lines, verb
        for line in lines:
            options = arguments.parser().parse_args(line.split()[1:])
            assert options.verb == verb


def test_the_exit_codes_are_those_of_the_page() -> None:
    page = text_of("docs/cli.md")
    for code in (console.OK, console.NO, console.USAGE, console.UNREACHABLE):
        assert re.search(rf"^\| {code} \|", page, re.M)


# --------------------------------------------------------------------------- HTTP


def keys_in(data: object) -> set[str]:
    """Every key of a tree, but those that are names themselves (zones of a guard, scopes, reasons)."""
    if isinstance(data, dict):
        free = {"guard", "troubledScopes", "rejected"}
        inner = [
            keys_in(value) for key, value in data.items() if not (key in free and isinstance(value, dict))
        ]
        return set(data).union(*inner)
    if isinstance(data, list):
        return set().union(*map(keys_in, data))
    return set()


def test_every_key_of_the_api_is_documented() -> None:
    process = DemoProcess()
    page = text_of("docs/http.md")
    known = set(re.findall(r"`(\w+)`", page))
    answers: list[object] = [views.interfaces(process.estate), views.sources(process.estate, process.now())]
    names = [row["interface"] for row in views.interfaces(process.estate)["items"]] + ["com.x.Unknown"]
    answers += [explain(process.estate, name, process.now()) for name in names]
    zone = next(iter(process.estate.zones))
    answers.append(asyncio.run(process.direct_urls(zone, {"everyone": "1"}, limit=100)))
    named = {"names": "com.alipay.user.UserService"}
    answers.append(asyncio.run(process.direct_urls(zone, named, limit=100)))
    page_of_survey = asyncio.run(process.survey(zone, {}, limit=100))
    answers += [
        page_of_survey,
        survey(page_of_survey["items"], page_of_survey["outside"], page_of_survey["ruled"]).plain(),
    ]
    assert keys_in(answers) - known == set()


def test_every_key_in_the_tables_of_the_page_exists(tmp_path: Path) -> None:
    process = DemoProcess()
    providers = "com.x.Bad: ['dubbo://10.0.0.1:99999/com.x.Bad'], ns: ['dubbo://10.0.0.1:20880/ns']"
    (tmp_path / "bad.yaml").write_text(
        f"kind: Providers\nspec: {{dialect: dubbo, providers: {{{providers}}}}}\n"
    )
    process.estate.fold(StaticSource(StaticSettings("demo", (str(tmp_path),), "home")).poll(), process.now())
    process.estate.work(process.now())
    names = [
        "com.alipay.user.UserService",
        *(row["interface"] for row in views.interfaces(process.estate)["items"]),
    ]
    told = [explain(process.estate, name, process.now()) for name in names]
    shop, zone = RouteProcess(), "rpc.test"
    routes = [
        routeviews.delta(zone, shop.routing, 0, shop.routing.tables[zone].vips, Part()),
        routeviews.moves(zone, shop.routing),
        routeviews.resolved(zone, shop.routing, ("10.96.0.1", 20880), ("com.x.User", "", "")),
        routeviews.of_interface(zone, shop.routing, InterfaceId("com.x.User")),
        filterviews.of_place(
            shop.estate.zones[zone], shop.routing.tables[zone], ("10.96.0.1", 20880), shop.meshing
        ),
    ]
    keys = keys_in([*told, *routes, views.sources(process.estate, process.now())])
    keys |= {"znodes", "routes", "istio"}  # added by the API
    for row in re.findall(r"^\| (`.*?) \|", text_of("docs/http.md").partition("## A name")[2], re.M):
        assert set(re.findall(r"`(\w+)`", row)) <= keys


def test_every_clock_has_words_and_is_documented() -> None:
    page = text_of("docs/http.md")
    assert {name for name in narrate.CLOCKS if f"`{name}`" not in page} == set()


def test_every_cause_of_the_page_has_words() -> None:
    [table] = re.findall(r"^\| cause \| \|\n(.*?)\n\n", text_of("docs/binding.md"), re.M | re.S)
    causes = {
        word for line in table.splitlines()[1:] for word in re.findall(r"`(\w[\w ]*)`", line.split("|")[1])
    }
    without_winner = {"first seen", "providers", "traffic", "address", "foreign"}  # told by the history alone
    assert causes - without_winner == {cause for cause in narrate.CAUSES if cause}


def test_every_annotation_is_documented() -> None:
    page = text_of("docs/configuration.md").partition("## Annotations")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(soadns.io/\w+)`", page, re.M)) == set(annotations.KNOWN)
    words = {
        annotations.TRAFFIC: annotations.MODES,
        annotations.BALANCING: annotations.WAYS,
        annotations.MOVES: annotations.RULES,
    }
    for name, known in words.items():
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{name}`")]
        assert all(f"`{word}`" in row for word in known)


def test_every_path_of_the_api_is_documented() -> None:
    process = DemoProcess()
    page = text_of("docs/http.md")
    app = Site(process, process, HttpConfig()).application(probes_only=False)
    for route in app.router.routes():
        path = route.resource.canonical if route.resource is not None else ""
        if route.method != "HEAD" and path != "/":
            assert f"`{route.method} {path}`" in page


def test_every_metric_is_documented_and_exists() -> None:
    text = Exporter(DemoProcess()).text().decode()
    exported = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M):
        exported.add(name)
        assert kind in ("counter", "gauge", "histogram")
    documented = set(re.findall(r"`(soadns_\w+)`", text_of("docs/metrics.md")))
    assert documented == exported
    labels = {family.name: family._labelnames for family in Exporter(DemoProcess()).collect()}
    for names, shown in re.findall(r"^\| (`soadns_.*?) \| (.*?) \|", text_of("docs/metrics.md"), re.M):
        for name in re.findall(r"`(\w+)`", names):
            family = name if name in labels else name.removesuffix("_total")
            assert list(labels[family]) == re.findall(r"`(\w+)`", shown), name
    elsewhere = "".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "CHANGELOG.md")
    samples = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"`(soadns_\w+)", elsewhere)}
    assert samples - exported == set()
    for flag in ("bound", *views.FLAGS):
        assert f"`{flag}`" in text_of("docs/metrics.md")


# --------------------------------------------------------------------------- files and deployment


def test_the_sample_of_static_files_is_understood(tmp_path: Path) -> None:
    [sample] = blocks(ROOT / "docs/static.md", "yaml static")
    (tmp_path / "providers.yaml").write_text(sample)
    source = StaticSource(StaticSettings("files", (str(tmp_path),), "home"))
    kinds = [type(event).__name__ for event in source.poll()]
    assert kinds == ["Upsert", "Upsert", "Synced", "Synced"]


def test_the_deployed_rbac_is_what_check_prints() -> None:
    [printed] = yaml.safe_load_all(rbac(kube_settings(KubernetesConfig())))
    deployed = list(yaml.safe_load_all(text_of("deploy/kubernetes/rbac.yaml")))
    roles = [(each["kind"], each["rules"]) for each in deployed if "rules" in each]
    assert roles == [("ClusterRole", printed["rules"])]


@pytest.mark.parametrize(("info", "folder"), [("corefile", "coredns"), ("conf", "resolvers")])
def test_each_file_that_the_page_shows_is_the_one_that_is_deployed(info: str, folder: str) -> None:
    page = text_of("docs/coredns.md")
    shown = dict(re.findall(rf"^```{info} (\S+)\n((?s:.*?))^```$", page, re.M))
    assert shown == {path.name: path.read_text() for path in (ROOT / "deploy" / folder).iterdir()}


def test_architecture_names_modules_that_exist() -> None:
    page = text_of("docs/architecture.md")
    for name in re.findall(
        r"`((?:binding|sources|nameserver|web)\.[a-z_.]+)`", page.replace("`binding.md`", "")
    ):
        path = ROOT / "soadns" / Path(*name.split("."))
        assert path.with_suffix(".py").exists(), name
