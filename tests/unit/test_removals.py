"""What a new configuration takes away, and which names that concerns."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from soadns.removals import losses, names_concerned
from soadns.settings.config import Config
from soadns.settings.configfile import parse
from soadns.sources.static import StaticSettings, StaticSource
from tests.unit.notation import Notebook

ESTATE = """
zone with=second,east,files
Service shop/user 10.96.0.1 labels=team:shop,tier:a; pods shop/user 10.1.0.1; register User 10.1.0.1
Service pay/pay 10.96.0.2 interfaces=Pay labels=team:pay; pods pay/pay 10.1.0.2; register Pay 10.1.0.2
register Old 10.9.0.1; register Both 10.9.0.1; register Both,Second 10.9.0.1 registry=second
Service shop/node 10.96.0.3 port=30001 labels=team:shop; Service shop/node node-port=30001
pods shop/node 10.1.0.3; node n1 192.0.2.8; register Noded 192.0.2.8:30001
Service shop/far@east 10.96.9.9 load-balancer=192.0.2.5 labels=team:pay; pods shop/far@east 10.2.0.1
Service shop/flat@east 10.96.9.8 labels=team:pay; pods shop/flat@east 10.2.0.2
register Far 10.2.0.1; register Flat 10.2.0.2
"""
"""Answered: User by endpoint, Pay declared, Noded by nodePort, Far by the load balancer of another cluster; Old, Both
(in two registries), Second, Flat and the files' FileA and FileB by their providers."""

BASE = """
zones: [{name: rpc.test}]
zookeeper: [{name: main, hosts: 'zk1:2181,zk2:2181'}, {name: second, hosts: zk9}]
kubernetes: [{name: home}, {name: east}]
static: [{name: files, paths: [files/a.yaml, files/b]}]
"""

LOST = """
before                                        | after                                         | what is lost                               | names
zookeeper: [{name: second, hosts: zk9}]       | -                                             |                                            |
-                                             | zookeeper: [{name: second, hosts: zk9}]       | ensemble main                              | Far Flat Noded Old User
-                                             | zookeeper: [{name: main, hosts: zk1}]         | ensemble second                            | Second
-                                             | zookeeper: []                                 | ensemble main; ensemble second             | Both Far Flat Noded Old Second User
zookeeper: [{hosts: a, roots: [{path: /dubbo}, {path: /y}]}] | zookeeper: [{hosts: a}]        | root /y of main                            |
zookeeper: [{hosts: a, roots: [{path: /dubbo}, {path: /y}]}] | zookeeper: [{hosts: a, roots: [{path: /y}]}] | root /dubbo of main          | Far Flat Noded Old User
zookeeper: [{hosts: a}]                       | zookeeper: [{hosts: a, roots: [{path: /dubbo, dialect: sofa}]}] | root /dubbo of main as dubbo | Far Flat Noded Old User
zookeeper: [{hosts: 'zk1:2181,zk2:2181'}]     | zookeeper: [{hosts: 'zk2:2181,zk3:2181'}]     |                                            |
zookeeper: [{hosts: zk1}]                     | zookeeper: [{hosts: zk3}]                     | ensemble main at zk1 (zk3 is another)      | Far Flat Noded Old User
zookeeper: [{hosts: zk1}]                     | zookeeper: [{hosts: zk1/mesh}]                | ensemble main at zk1 (zk1/mesh is another) | Far Flat Noded Old User
zookeeper: [{hosts: zk1}]                     | zookeeper: [{hosts: zk1, networks: [10.2.0.0/16]}] | networks all others of main           | User
zookeeper: [{hosts: zk1, networks: [10.0.0.0/8]}] | zookeeper: [{hosts: zk1, networks: [10.0.0.0/9]}] | networks 10.0.0.0/8 of main         |
zookeeper: [{hosts: zk1, networks: [10.1.0.0/16, 10.2.0.0/16]}] | zookeeper: [{hosts: zk1, networks: [10.2.0.0/16, 'fd00::/8']}] | networks 10.1.0.0/16 of main | User
zookeeper: [{hosts: zk1, networks: [10.1.0.0/16]}] | zookeeper: [{hosts: zk1, networks: [10.0.0.0/8]}] |                                  |
zookeeper: [{hosts: zk1, networks: [10.1.0.0/16]}] | zookeeper: [{hosts: zk1}]                |                                            |
-                                             | kubernetes: [{name: home}]                    | cluster east                               | Far
-                                             | kubernetes: [{name: home, namespaces: [pay]}, {name: east}] | namespaces all others of cluster home | Noded User
kubernetes: [{namespaces: [pay, shop]}]       | kubernetes: [{namespaces: [shop]}]            | namespaces pay of cluster home             | Pay
kubernetes: [{namespaces: [pay]}]             | kubernetes: [{namespaces: [pay, shop]}]       |                                            |
kubernetes: [{}]                              | kubernetes: [{selector: team=pay}]            | Services without team=pay in cluster home  | Noded User
kubernetes: [{}]                              | kubernetes: [{selector: team!=pay}]           | Services without team!=pay in cluster home | Pay
kubernetes: [{}]                              | kubernetes: [{selector: 'team in (pay, shop), !tier'}] | Services without team in (pay, shop), !tier in cluster home | User
kubernetes: [{}]                              | kubernetes: [{selector: tier}]                | Services without tier in cluster home      | Noded Pay
kubernetes: [{selector: 'a=b,team'}]          | kubernetes: [{selector: team}]                |                                            |
kubernetes: [{kubeconfig: /a}]                | kubernetes: [{kubeconfig: /b, context: prod}] | cluster home (by /b prod it may be another) | Noded Pay User
kubernetes: [{kubeconfig: /a}]                | kubernetes: [{}]                              | cluster home (by the service account it may be another) | Noded Pay User
kubernetes: [{}]                              | kubernetes: [{networks: [10.1.0.2/32]}]       | networks all others of cluster home        | User
kubernetes: [{}]                              | kubernetes: [{nodes: never}]                  | Nodes of cluster home                      | Noded
kubernetes: [{name: home}, {name: east, flat: true}] | -                                      | pods of cluster east, not flat any more    | Far
kubernetes: [{name: home}, {name: east}]      | kubernetes: [{name: east}, {name: home}]      | home cluster home of zone rpc.test         | Noded Pay User
-                                             | static: []                                    | static source files                        | FileA FileB
-                                             | static: [{name: files, paths: [files/b]}]     | path files/a.yaml of files                 | FileA
-                                             | static: [{name: files, paths: [files/a.yaml]}] | path files/b of files                     | FileB
-                                             | static: [{name: files, paths: [files]}]       |                                            |
-                                             | static: [{name: files, paths: [files], cluster: east}] | static source files as cluster home | FileA FileB
zones: [{name: rpc.test}, {name: b.example}]  | -                                             | zone b.example                             |
-                                             | zones: [{name: b.example}]                    | zone rpc.test                              | Both Far FileA FileB Flat Noded Old Pay Second User
-                                             | zones: [{name: RPC.test.}]                    |                                            |
-                                             | zones: [{name: rpc.test, namespaces: [pay]}]  | namespaces all others of zone rpc.test     | Far Noded User
zones: [{name: rpc.test, namespaces: [pay, shop]}] | zones: [{name: rpc.test, namespaces: [shop]}] | namespaces pay of zone rpc.test       | Pay
-                                             | zones: [{name: rpc.test, selector: team=shop}] | Services without team=shop in zone rpc.test | Far Pay
-                                             | zones: [{name: rpc.test, unmapped: nxdomain}] | names without a Service in zone rpc.test   | Both FileA FileB Flat Old Second
zones: [{name: rpc.test, unmapped: nxdomain}] | -                                             |                                            |
-                                             | zones: [{name: rpc.test, registries: [main, files]}] | sources zookeeper/second/dubbo of zone rpc.test | Second
-                                             | zones: [{name: rpc.test, cluster: home}]      | sources kube/east of zone rpc.test         | Far
-                                             | zones: [{name: rpc.test, cluster: east, clusters: [home]}] | home cluster home of zone rpc.test | Noded Pay User
zones: [{name: rpc.test, claims: [{prefix: 'Pay*', namespace: pay}]}] | -                     |                                            |
"""  # noqa: E501 - one row, one line


def configured(text: str) -> Config:
    """The configuration above with some sections replaced."""
    sections: dict[str, Any] = yaml.safe_load(BASE) | (
        yaml.safe_load(text.replace("-", "", text == "-")) or {}
    )
    return parse(yaml.safe_dump(sections), where="soadns.yaml")


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Notebook:
    """The names above, and two of files."""
    folder = tmp_path_factory.mktemp("static")
    (folder / "files" / "b").mkdir(parents=True)
    for path, name in (("files/a.yaml", "FileA"), ("files/b/b.yaml", "FileB")):
        url = f"dubbo://10.9.0.7:20880/{name}?interface={name}"
        spec = {"providers": {name: [url]}}
        (folder / path).write_text(yaml.safe_dump({"kind": "Providers", "spec": spec}))
    notebook = Notebook()
    for line in ESTATE.strip().splitlines():
        for statement in line.split(";"):
            notebook.say(statement.strip())
        notebook.flush()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        source = StaticSource(StaticSettings("files", ("files/a.yaml", "files/b"), "home"))
        notebook.estate.fold(source.poll(), notebook.now)
    notebook.work()
    return notebook


@pytest.mark.parametrize("row", LOST.strip().splitlines()[1:])
def test_what_is_lost_and_whom_it_concerns(estate: Notebook, row: str) -> None:
    before, after, what, names = (cell.strip() for cell in row.split("|"))
    taken = losses(configured(before), configured(after))
    assert "; ".join(loss.what for loss in taken) == what
    assert " ".join(sorted(str(name) for _, name in names_concerned(estate.estate.zones, taken))) == names


def test_what_is_not_answered_is_not_missed(estate: Notebook) -> None:
    notebook = Notebook()
    notebook.say("zone unmapped=nxdomain")
    notebook.say("register User 10.9.0.1")
    notebook.flush()
    taken = losses(configured("-"), configured("zookeeper: []"))
    assert names_concerned(notebook.estate.zones, taken) == set()
