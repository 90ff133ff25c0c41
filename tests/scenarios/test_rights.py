"""What ``docs/install.md`` says that soadns may and may not do, asked of a real API server by those who run it.

ServiceAccounts, roles and bindings are the chart's, tokens come from the API server, and each account asks for itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.stage.helm import CHART, helm
from tests.scenarios.stage.kubernetes import ADMIN, ApiServer
from tests.scenarios.stage.process import printed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "install.md"
SHARED = ["--set", "config.sidecar.share.moves=true"]
EVERYTHING = [*SHARED, "--set", "config.sidecar.share.events=true,config.sidecar.istio.mode=write"]
EVERYTHING += ["--set", "config.sidecar.istio.files.namespaces={web}"]
ALONE = [*EVERYTHING, "--set", "config.kubernetes[0].name=home,config.kubernetes[0].namespaces={shop}"]
INSTALLED = {"as installed": [], "shared": SHARED, "everything": EVERYTHING, "in shop alone": ALONE}
"""Columns of the table, and the values that they stand for."""
TEMPLATES = ("--show-only", "templates/serviceaccount.yaml", "--show-only", "templates/rbac.yaml")


def table() -> list[dict[str, str]]:
    """The rows of the page, by column."""
    [text] = re.findall(r"^\| verb \|.*?(?=\n\n)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return [dict(zip(heads, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def tokens(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The token of an account by what it is installed with."""
    api_server.start()
    for name in ("soadns", "shop", "web", "istio-system"):
        api_server.create_namespace(name)
    folder = tmp_path_factory.mktemp("rights")
    found = {}
    admin = f"--kubeconfig={api_server.kubeconfig(ADMIN)}"
    files = []
    try:
        for title, values in INSTALLED.items():
            release = f"rights-{title.replace(' ', '-')}"
            file = folder / f"{release}.yaml"
            file.write_text(
                helm("template", release, CHART, "--namespace", "soadns", *values, *TEMPLATES),
                encoding="utf-8",
            )
            files.append(file)
            done = printed("kubectl", admin, "apply", "-f", file)
            assert done.returncode == 0, done.stderr
            path = f"/api/v1/namespaces/soadns/serviceaccounts/{release}-soadns/token"
            request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
            found[title] = str(api_server.request("POST", path, request)["status"]["token"])
        yield found
    finally:
        for file in files:
            printed("kubectl", admin, "delete", "-f", file)


@pytest.mark.parametrize("title", INSTALLED)
def test_the_table_is_what_the_api_server_says(
    api_server: ApiServer, tokens: dict[str, str], title: str
) -> None:
    said = {}
    for row in table():
        kind, _, group = row["resource"].partition(".")
        resource, _, part = kind.partition("/")
        attributes = {
            "verb": row["verb"], "group": group, "resource": resource, "subresource": part, "name": row["name"],
            "namespace": "" if row["namespace"] == "all" else row["namespace"],
        }  # fmt: skip
        review = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }  # fmt: skip
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = api_server.request("POST", path, review, token=tokens[title])["status"]["allowed"]
        said[" ".join([row["verb"], row["resource"], row["name"], row["namespace"]])] = (
            "yes" if answer else "no"
        )
    expected = {
        " ".join([row["verb"], row["resource"], row["name"], row["namespace"]]): row[title] for row in table()
    }
    assert said == expected
    assert len(said) == len(table())
