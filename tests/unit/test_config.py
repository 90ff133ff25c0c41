"""The configuration: everything wrong is reported at once, by path, with the nearest key and an example."""

from __future__ import annotations

from pathlib import Path

import pytest

from soadns.composition import (
    source_ids,
    zone_settings,
    zookeeper_settings,
)
from soadns.settings import credentials, values
from soadns.settings.configfile import ConfigError, effective, load, parse

ZK = "zookeeper: [{hosts: zk1:2181}]"

WRONG = """
zookeper: [{hosts: 'zk1:2181'}]                 | zookeper: unknown key; did you mean zookeeper?
zookeeper: [{host: 'zk1:2181'}]                 | zookeeper[0].host: unknown key; did you mean hosts?
zookeeper: [{host: 'zk1:2181'}]                 | zookeeper[0].hosts: is required (for example zk1:2181,zk2:2181/chroot)
zookeeper: [{hosts: 2181}]                      | zookeeper[0].hosts: expected text, got a number (for example zk1:2181,zk2:2181/chroot)
zookeeper: [{hosts: '/chroot'}]                 | zookeeper[0].hosts: no host (for example zk1:2181,zk2:2181/chroot)
zookeeper: [{hosts: 'http://zk1:2181'}]         | zookeeper[0].hosts: 'http:' is no host or host:port (for example zk1:2181,zk2:2181/chroot)
zookeeper: [{hosts: 'zk1:2181:2181'}]           | zookeeper[0].hosts: 'zk1:2181:2181' is no host or host:port
zookeeper: [{hosts: 'zk1, ,zk2'}]               | zookeeper[0].hosts: '' is no host or host:port
zookeeper: [{hosts: 'zk1:99999'}]               | zookeeper[0].hosts: 'zk1:99999' is no host or host:port
zookeeper: [{hosts: '::1'}]                     | zookeeper[0].hosts: '::1' is no host or host:port
zookeeper: [{hosts: 'zk1/chroot/'}]             | zookeeper[0].hosts: the chroot '/chroot/' is no path
zookeeper: [{hosts: 'zk1,zk2/a,zk3'}]           | zookeeper[0].hosts: the chroot '/a,zk3' is no path
zookeeper: [{hosts: 'u:secret@zk1'}]            | zookeeper[0].hosts: credentials do not belong here: auth.credentialsFile
zookeeper: [{hosts: a, name: b/c}]              | zookeeper[0].name: 'b/c' is no name: letters, digits, '-', '_' and '.'
zookeeper: [{hosts: a, roots: [{path: /a//b}]}] | zookeeper[0].roots[0].path: must begin with / and name each level
kubernetes: [{name: 'a b'}]                     | kubernetes[0].name: 'a b' is no name
static: [{paths: /x, cluster: 'a/b'}]           | static[0].cluster: 'a/b' is no name
static: [{paths: /x, name: ''}]                 | static[0].name: '' is no name
zookeeper: {hosts: 'zk1:2181'}                  | zookeeper: expected a list, got a mapping
zookeeper: [{hosts: a}, {hosts: b}]             | zookeeper[1].name: 'main' is used twice
zookeeper: [{hosts: a, roots: [{path: dubbo}]}] | zookeeper[0].roots[0].path: must begin with / and name each level (for example /dubbo)
zookeeper: [{hosts: a, roots: [{dialect: hsf}]}] | zookeeper[0].roots[0].dialect: 'hsf' is not one of dubbo, sofa
zookeeper: [{hosts: a, networks: [10/33]}]      | zookeeper[0].networks: '10/33' is no network (for example 10.0.0.0/8)
zookeeper: [{hosts: a, auth: {credentialsEnv: NO_SUCH_VARIABLE}}] | zookeeper[0].auth.credentialsEnv: NO_SUCH_VARIABLE is not in the environment
{zookeeper: [{hosts: a}], static: [{paths: /x, name: main}]} | static[0].name: 'main' is a zookeeper entry already
kubernetes: [{nodes: sometimes}]                | kubernetes[0].nodes: 'sometimes' is not one of auto, always, never
static: [{}]                                    | static[0].paths: is required (for example /etc/soadns/static)
static: [{paths: []}]                           | static[0].paths: at least one is needed (for example /etc/soadns/static)
zookeeper: [{hosts: a, roots: [{path: /x}, {path: /x}]}] | zookeeper[0].roots[1].path: '/x' is used twice
zookeeper: [{hosts: a, tls: {ca: /etc/ca.pem}}] | zookeeper[0].tls: files are named, but enabled is false
zookeeper: [{hosts: a, tls: {enabled: true, cert: /c}}] | zookeeper[0].tls: cert and key belong together
zookeeper: [{hosts: a, tls: {enabled: true, keyPasswordFile: /p}}] | zookeeper[0].tls: keyPasswordFile is set, but no key
nameserver: {tls: {listen: ['0.0.0.0:853']}} | nameserver.tls: listen wants a cert and its key
transfer: {listen: [':1054']} | transfer.listen: whole zones for whoever asks: set transfer.allow or transfer.keys
transfer: {allow: [10.0.0.0/8]} | transfer: there are settings, but no address to listen on
transfer: {listen: [':1054'], keys: [{name: a, secretFile: /f}, {name: A., secretFile: /g}]} | transfer.keys[1].name: 'a' is used twice
transfer: {listen: [':1054'], allow: [10.0.0.0/33]} | transfer.allow: '10.0.0.0/33' is no network
state: {peers: {hosts: ['a:8056']}} | state.peers.tokenFile: a snapshot holds the whole estate: replicas prove who they are
state: {peers: {tokenFile: /t}} | state.peers: there are settings, but neither hosts to ask nor an address to listen on
state: {peers: {hosts: [a], tokenFile: /t}} | state.peers.hosts: 'a' is no host:port (for example soadns-headless.soadns.svc:8056)
state: {peers: {hosts: ['a:0'], tokenFile: /t}} | state.peers.hosts: 'a:0' is no host:port
state: {peers: {hosts: ['a-0..svc:1'], tokenFile: /t}} | state.peers.hosts: 'a-0..svc:1': a part of the name is empty
state: {peers: {hosts: ['a:1', 'a:1'], tokenFile: /t}} | state.peers.hosts: 'a:1' is named twice
state: {peers: {listen: ':8056', tokenFile: /t, oldest: 5s}} | state.peers.oldest: 5 is not between 120 and
{state: {peers: {listen: ':8056', tokenFile: /t, tls: {cert: /c}}}} | state.peers.tls: cert and key belong together
{state: {peers: {hosts: 'a:1', tokenFile: /t, tls: {cert: /c, key: /k}}}} | state.peers.tls.cert: there is no state.peers.listen to show it at
{state: {peers: {listen: ':8056', tokenFile: /t, tls: {ca: /c}}}} | state.peers.tls.ca: there are no state.peers.hosts to ask by TLS
{state: {peers: {hosts: 'a:1', listen: ':8056', tokenFile: /t, tls: {ca: /c}}}} | state.peers.tls: ca without cert: replicas would not understand each other
{state: {peers: {hosts: 'a:1', listen: ':8056', tokenFile: /t, tls: {cert: /c, key: /k}}}} | state.peers.tls: cert without ca: replicas would not understand each other
{state: {peers: {listen: ':8056', tokenFile: /t}}, http: {probes: ':8056'}} | state.peers.listen: :8056 is http.probes already
skydns: {owner: us} | skydns: there are settings, but no endpoints to write to
skydns: {endpoints: ['etcd:2379']} | skydns.endpoints: 'etcd:2379' is no URL of HTTP (for example https://etcd-0:2379)
skydns: {endpoints: ['http://a:b@etcd:2379']} | skydns.endpoints: credentials do not belong here: username and passwordFile
skydns: {endpoints: ['http://etcd:2379'], mode: none} | skydns.mode: 'none' is not one of write, clear
skydns: {endpoints: ['http://etcd:2379'], prefix: skydns} | skydns.prefix: must begin with / and name each level
skydns: {endpoints: ['http://etcd:2379'], zones: [else.where]} | skydns.zones[0]: 'else.where' is no zone (for example rpc.cluster.local)
skydns: {endpoints: ['http://etcd:2379'], username: us} | skydns: username and passwordFile belong together
skydns: {endpoints: ['https://etcd:2379'], tls: {cert: /f}} | skydns.tls: cert and key belong together
skydns: {endpoints: ['http://etcd:2379'], tls: {ca: /f}} | skydns.tls: files are named, but http://etcd:2379 is not https
skydns: {endpoints: ['http://etcd:2379'], lease: 1s} | skydns.lease: 1 is not between 2 and 600
nameserver: {tls: {cert: /c, key: /k}} | nameserver.tls: files are named, but no address to listen on
nameserver: {tls: {listen: [':853', ':853'], cert: /c, key: /k}} | nameserver.tls.listen: ':853' is named twice
zookeeper: [{hosts: a, sessionTimeout: 0}]      | zookeeper[0].sessionTimeout: 0 is not between 1 and 600
zones: [{name: rpc.a}, {name: RPC.a.}]          | zones[1].name: 'RPC.a.' is used twice
zones: [{name: 'rpc a.b'}]                      | zones[0].name: 'rpc a.b' is no zone name (for example rpc.cluster.local)
nameserver: {listen: []}                        | nameserver.listen: at least one is needed (for example 0.0.0.0:1053)
nameserver: {listen: ['[::1]:53', '[::1]:53']}  | nameserver.listen: '[::1]:53' is named twice (for example 0.0.0.0:1053)
zones: []                                       | zones: at least one zone is needed (for example zones: [{name: rpc.cluster.local}])
zones: [{name: 'a..b'}]                         | zones[0].name: 'a..b' is no zone name (for example rpc.cluster.local)
zones: [{name: rpc.a, registries: [main]}]      | zones[0].registries: 'main' is no zookeeper or static entry (for example (there is none))
zones: [{name: rpc.a, clusters: [east]}]        | zones[0].clusters: 'east' is no cluster (for example (there is none))
zones: [{name: rpc.a, ttl: -1}]                 | zones[0].ttl: -1 is not between 0 and 86400 (for example 30)
zones: [{name: rpc.a, selector: team!=pay}]     | zones[0].selector: 'team!=pay' is no list of label=value (for example team=pay)
kubernetes: [{selector: team in pay}]           | kubernetes[0].selector: 'team in pay' is no label selector (for example team in (pay, user))
nameserver: {listen: ['localhost:53']}          | nameserver.listen: 'localhost:53' is no address:port (for example 0.0.0.0:1053)
nameserver: {udpSize: big}                      | nameserver.udpSize: expected a whole number, got text
binding: {linger: ten minutes}                  | binding.linger: 'ten minutes' is no duration (for example 10m, 5s, 500ms)
binding: {boardShare: 2}                        | binding.boardShare: 2 is not between 0 and 1
http: {listen: '127.0.0.1:80', probes: '127.0.0.1:80'} | http.probes: 127.0.0.1:80 is http.listen already
http: {listen: '127.0.0.1:80', probes: ':80'}  | http.probes: :80 is in 127.0.0.1:80 of http.listen already
http: {listen: '[::]:80', probes: '[::1]:80'}  | http.probes: [::1]:80 is in [::]:80 of http.listen already
nameserver: {listen: [':53', '10.0.0.1:53']}   | nameserver.listen: 10.0.0.1:53 is in :53 of nameserver.listen already
nameserver: {listen: [':53'], tls: {listen: [':53'], cert: /c, key: /k}} | nameserver.tls.listen: :53 is nameserver.listen already
{nameserver: {listen: [':53']}, transfer: {listen: ['10.0.0.1:53'], allow: [10.0.0.0/8]}} | transfer.listen: 10.0.0.1:53 is in :53 of nameserver.listen already
log: {level: loud}                              | log.level: 'loud' is not one of debug, info, warning, error
{kubernetes: [{name: a}], zones: [{name: rpc.a}, {name: rpc.b}], sidecar: {istio: {mode: read}}} | sidecar.istio.zone: there are several zones: whose routes? (for example rpc.a, rpc.b)
{kubernetes: [{name: a}], zones: [{name: rpc.a}], sidecar: {istio: {mode: read, zone: rpc.c}}} | sidecar.istio.zone: 'rpc.c' is no zone (for example rpc.a)
{kubernetes: [{name: a}, {name: b}], zones: [{name: rpc.a}, {name: rpc.b, cluster: b}], sidecar: {istio: {mode: read, zone: rpc.b}}} | sidecar.share.cluster: the home cluster of rpc.b, whose routes are written, is 'b', and this is 'a' (for example b)
{kubernetes: [{name: a}], sidecar: {istio: {mode: write}}} | sidecar.istio.mode: write wants sidecar.share.moves
{kubernetes: [{name: a}], sidecar: {share: {events: true}}} | sidecar.share.events: it wants sidecar.share.moves
{zookeeper: [{hosts: a}], sidecar: {istio: {mode: read}}} | sidecar.istio.mode: there is no kubernetes entry to read from
- just a list                                   | expected a mapping of keys, got a list
a: [                                            | line 2: did not find expected node content
"""  # noqa: E501 - one row, one line


@pytest.mark.parametrize("row", WRONG.strip().splitlines())
def test_what_can_not_work_is_named_by_path(row: str) -> None:
    text, expected = (cell.strip() for cell in row.split(" | "))
    with pytest.raises(ConfigError) as caught:
        parse(text, where="soadns.yaml")
    assert any(str(problem).startswith(expected) for problem in caught.value.problems), str(caught.value)


@pytest.mark.parametrize(
    ("host", "well"),
    [
        ("soadns-headless.soadns.svc.", True), ("[fd00::1]", True), ("10.0.0.1", True), ("a" * 63, True),
        ("a" * 64, False), (f"x.{'a' * 64}.svc", False), (".a", False), ("a..", False), (".", False),
        (".".join(["a" * 49] * 5 + ["abc"]), True), (".".join(["a" * 49] * 5 + ["abcd"]), False),
    ],
)  # fmt: skip
def test_peers_have_names_that_dns_can_hold(host: str, well: bool) -> None:
    """RFC 1035, 2.3.4: what has others no resolver of Python takes (UnicodeError)."""
    assert (values.servers((f"{host}:8056",)) is None) == well


@pytest.mark.parametrize(
    "sidecar",
    [
        "istio: {mode: read, zone: rpc.a}",
        "istio: {mode: read, zone: RPC.B.}, share: {cluster: b}",
        "istio: {mode: none}",
    ],
)
def test_one_zone_is_written_to_its_home_cluster(sidecar: str) -> None:
    zones = "kubernetes: [{name: a}, {name: b}]\nzones: [{name: rpc.a}, {name: rpc.b, cluster: b}]"
    parse(f"{zones}\nsidecar: {{{sidecar}}}", where="soadns.yaml")


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("zookeeper: [{host: a}, {hosts: 1}]\nbinding: {linger: x}\nnonsense: 1\n", where="soadns.yaml")
    assert [problem.path for problem in caught.value.problems] == [
        "nonsense", "zookeeper[0].host", "zookeeper[0].hosts", "zookeeper[1].hosts", "binding.linger",
        "zookeeper[1].name",
    ]  # fmt: skip
    assert str(caught.value).startswith("soadns.yaml: 6 problem(s)\n")


def test_a_configuration_without_any_source_can_not_work() -> None:
    with pytest.raises(ConfigError, match="no source: set zookeeper, kubernetes or static"):
        parse("", where="soadns.yaml")


def test_a_file_that_can_not_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can not be read: No such file or directory"):
        load(tmp_path / "soadns.yaml")


@pytest.mark.parametrize(
    "hosts", ["zk1", "zk1:2181, zk2:2181/a/b", "[fd00::1]:2181,10.0.0.1", "zk_1.x-y.example."]
)
def test_connect_strings_that_zookeeper_clients_take(hosts: str) -> None:
    [ensemble] = parse(f"zookeeper: [{{hosts: '{hosts}'}}]", where="soadns.yaml").zookeeper
    assert ensemble.hosts == hosts


SECRETS = """
key                                      | the file holds  | what is wrong
http: {tokenFile: FILE}                  | open-sesame     |
http: {tokenFile: FILE}                  |                 | http.tokenFile: FILE: is empty
http: {tokenFile: FILE}                  | -               | http.tokenFile: FILE: No such file or directory
http: {tokenFile: FILE}                  | open-sesame\\nsesame | http.tokenFile: FILE: is more than one line, or has control characters; to make a token: openssl rand -hex 32
state: {peers: {listen: ':8056', tokenFile: FILE}} | open-sesame\\nsesame | state.peers.tokenFile: FILE: is more than one line, or has control characters; to make a token: openssl rand -hex 32
state: {peers: {listen: ':8056', tokenFile: FILE}} | open-sesame\\n |
http: {tokenFile: FILE}                  | \\xff            | http.tokenFile: FILE: is no text
zookeeper: [{hosts: a}, {hosts: b, name: b, auth: {credentialsFile: FILE}}] | reader:open-sesame |
zookeeper: [{hosts: a}, {hosts: b, name: b, auth: {credentialsFile: FILE}}] |       | zookeeper[1].auth.credentialsFile: FILE: is empty
zookeeper: [{hosts: a, auth: {credentialsFile: FILE}}] | -               | zookeeper[0].auth.credentialsFile: FILE: No such file or directory
zookeeper: [{hosts: a, auth: {credentialsFile: FILE}}] | open-sesame     | zookeeper[0].auth.credentialsFile: FILE: is no user:password
zookeeper: [{hosts: a, auth: {credentialsFile: FILE}}] | reader:         | zookeeper[0].auth.credentialsFile: FILE: is no user:password
zookeeper: [{hosts: a, auth: {credentialsFile: FILE, scheme: token}}] | open-sesame |
zookeeper: [{hosts: a, auth: {credentialsEnv: ZK_SECRET}}] |             | zookeeper[0].auth.credentialsEnv: ZK_SECRET: is empty
zookeeper: [{hosts: a, auth: {credentialsEnv: ZK_SECRET}}] | reader:open-sesame |
transfer: {listen: [':1054'], keys: [{name: a, secretFile: FILE}]} | open-sesame | transfer.keys[0].secretFile: FILE: is no base64; to make one: openssl rand -base64 32
skydns: {endpoints: ['https://etcd:2379'], username: us, passwordFile: FILE} | open-sesame |
skydns: {endpoints: ['https://etcd:2379'], username: us, passwordFile: FILE} |             | skydns.passwordFile: FILE: is empty
skydns: {endpoints: ['https://etcd:2379'], tls: {ca: FILE}} | open-sesame   | skydns.tls.ca: FILE: holds no PEM certificate
skydns: {endpoints: ['https://etcd:2379'], tls: {cert: FILE, key: FILE}} | open-sesame | skydns.tls.key: FILE: is not the PEM key of FILE, or is encrypted
nameserver: {tls: {listen: [':853'], cert: FILE, key: FILE}} | open-sesame | nameserver.tls.key: FILE: is not the PEM key of FILE, or is encrypted
"""  # noqa: E501 - one row, one line


@pytest.mark.parametrize("row", SECRETS.strip().splitlines()[1:])
def test_secrets_that_can_not_be_used_are_known_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str
) -> None:
    key, content, wrong = (cell.strip() for cell in row.split("|"))
    file = tmp_path / "secret"
    if content != "-":
        file.write_bytes(content.encode().replace(b"\\xff", b"\xff").replace(b"\\n", b"\n"))
    monkeypatch.setenv("ZK_SECRET", content)
    text = key.replace("FILE", str(file))
    config = parse(text if text.startswith("zookeeper") else f"{ZK}\n{text}", where="soadns.yaml")
    if not wrong:
        credentials.check(config, where="soadns.yaml")
        return
    with pytest.raises(ConfigError) as caught:
        credentials.check(config, where="soadns.yaml")
    assert [str(problem) for problem in caught.value.problems] == [wrong.replace("FILE", str(file))]
    assert "open-sesame" not in str(caught.value)


def test_defaults_make_one_zone_over_everything() -> None:
    config = parse("zookeeper: [{hosts: a}]\nkubernetes: [{}]\nstatic: [{paths: /x}]\n", where="soadns.yaml")
    [zone] = zone_settings(config)
    assert zone.name == "rpc.cluster.local"
    assert (zone.ttl, zone.provider_ttl, zone.rules.linger) == (30, 5, 600.0)
    assert zone.sources == source_ids(config) == {"zookeeper/main/dubbo", "kube/home", "static/static"}


ARRIVES = """
file                                              | where     | what            | as
zookeeper: [{hosts: a, readOnly: true}]           | ensemble  | read_only       | True
zookeeper: [{hosts: a, maxInFlight: 7}]           | ensemble  | max_in_flight   | 7
zookeeper: [{hosts: a, sessionTimeout: 1m}]       | ensemble  | session_timeout | 60.0
zookeeper: [{hosts: a, tls: {enabled: true, checkHostname: false}}] | ensemble | tls.check_hostname | False
guard: {share: 0.7}                               | zone      | guard.share     | 0.7
guard: {minimum: 3}                               | zone      | guard.minimum   | 3
guard: {releaseAfter: 1h}                         | zone      | guard.release_after | 3600.0
zones: [{name: a.example, ttl: 41}]               | zone      | ttl             | 41
zones: [{name: a.example, providerTtl: 7}]        | zone      | provider_ttl    | 7
binding: {linger: 1m}                             | zone      | rules.linger    | 60.0
binding: {linger: 1m}                             | zone      | guard.linger    | 60.0
binding: {recreateGrace: 1m}                      | zone      | rules.recreate_grace | 60.0
binding: {unready: 1m30s}                         | zone      | rules.unready   | 90.0
binding: {boardShare: 0.9}                        | zone      | rules.board_share | 0.9
binding: {settle: 2s}                             | zone      | store.times.settle | 2.0
binding: {stale: 2s}                              | zone      | store.times.stale | 2.0
"""


@pytest.mark.parametrize("row", ARRIVES.strip().splitlines()[1:])
def test_what_is_configured_arrives(row: str) -> None:
    text, where, what, expected = (cell.strip() for cell in row.split("|"))
    config = parse(text if text.startswith("zookeeper") else f"{ZK}\n{text}", where="soadns.yaml")
    value: object = zone_settings(config)[0] if where == "zone" else zookeeper_settings(config.zookeeper[0])
    for name in what.split("."):
        value = getattr(value, name)
    assert str(value) == expected


def test_one_registry_may_feed_several_zones() -> None:
    zones = "zones: [{name: a.example}, {name: b.example, registries: [main], unmapped: nxdomain}]"
    first, second = zone_settings(parse(f"{ZK}\n{zones}", where="soadns.yaml"))
    assert first.sources == second.sources
    assert (first.rules.unmapped, second.rules.unmapped) == ("providers", "nxdomain")


def test_the_effective_configuration_can_be_read_again() -> None:
    from soadns.yamlfile import dump

    config = parse(f"{ZK}\nbinding: {{linger: 1h30m}}\nguard: {{releaseAfter: 2d}}", where="soadns.yaml")
    assert parse(dump(effective(config)), where="again") == config


def test_a_value_that_is_wrong_does_not_hide_what_can_not_work_together() -> None:
    text = """
zones: [{name: a.example, ttl: -1, clusters: [east]}, {name: a.example}]
zookeeper: [{hosts: 1}, {hosts: zk2:2181}]
binding: {linger: x}
"""
    with pytest.raises(ConfigError) as caught:
        parse(text, where="soadns.yaml")
    assert {problem.path for problem in caught.value.problems} == {
        "zones[0].ttl", "zones[0].clusters", "zones[1].name", "zookeeper[0].hosts", "zookeeper[1].name",
        "binding.linger",
    }  # fmt: skip


def test_a_secret_that_is_read_once_is_read_again_by_the_process_that_a_reload_begins(tmp_path: Path) -> None:
    """``docs/configuration.md`` says so of each: whoever holds what was read before never looks at the file again."""
    file = tmp_path / "secret"
    file.write_text("Zmlyc3Q=")
    config = parse(
        f"{ZK[:-2]}, auth: {{credentialsFile: {file}, scheme: x}}}}]\n",
        where="soadns.yaml",
    )

    def read() -> str:
        [ensemble] = config.zookeeper
        auth = zookeeper_settings(ensemble).auth
        assert auth is not None
        return auth[1]

    assert read() == "Zmlyc3Q="
    file.write_text("c2Vjb25k")
    assert read() == "c2Vjb25k"
