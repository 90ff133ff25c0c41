"""Java programs of ours: client programs, compiled against one version of a framework, and projects as they stand.

Java and Maven are Debian's, always: a program of an old framework is as good as the Java that runs it, and these
are run by Java 17. Maven's settings are the user's own (``~/.m2/settings.xml``, ``MAVEN_OPTS``), since that is where
mirrors and proxies are configured; what it downloads is kept beside the parts, in ``maven-repository``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache as once
from pathlib import Path

from . import cache, debian
from .running import PartError, run

JDK_PACKAGES = ("openjdk-17-jdk-headless", "openjdk-17-jre-headless", "zlib1g", "libgcc-s1", "libstdc++6")
MAVEN_PACKAGES = (
    "maven", "libmaven3-core-java", "libmaven-resolver-java", "libmaven-shared-utils-java", "libwagon-file-java",
    "libwagon-http-shaded-java", "libwagon-provider-api-java", "libplexus-cipher-java", "libplexus-classworlds-java",
    "libplexus-component-annotations-java", "libplexus-interpolation-java", "libplexus-sec-dispatcher-java",
    "libplexus-utils2-java", "libsisu-inject-java", "libsisu-plexus-java", "libguice-java", "libaopalliance-java",
    "libatinject-jsr330-api-java", "libcdi-api-java", "libgeronimo-annotation-1.3-spec-java", "libguava-java",
    "libcommons-cli-java", "libcommons-io-java", "libcommons-lang3-java", "libjansi-java", "libslf4j-java",
)  # fmt: skip

JDK = cache.Part(
    "jdk", "17", " ".join(JDK_PACKAGES),
    lambda folder: debian.unpack(folder, JDK_PACKAGES, pinned="17."),
    lambda folder: [str(next(folder.glob("usr/lib/jvm/java-17-openjdk-*/bin/java")))],
)  # fmt: skip
MAVEN = cache.Part(
    "maven", "3.8.7", " ".join(MAVEN_PACKAGES),
    lambda folder: debian.unpack(folder, MAVEN_PACKAGES, pinned="3.8.7"),
    lambda folder: [str(folder / "usr/share/maven/bin/mvn")],
)  # fmt: skip

OWN = "src"
SHARED = "java"
"""The folder beside a tree whose sources are compiled with each of them."""
CLASSES = "classes"
JARS = "lib"

FLAGS = (
    "-Xmx160m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)  # fmt: skip
"""Small and soon up, and open to frameworks that are older than Java's modules. Names are looked up as Java does."""


def recipe(tree: Path, properties: Mapping[str, str]) -> str:
    """What decides what comes out of a tree: its sources, those it shares, and the versions it is compiled with."""
    lines = [f"{name}={value}" for name, value in properties.items()]
    sources = [*(tree / OWN).rglob("*.java"), *(tree.parent / SHARED).rglob("*.java")]
    return "\n".join([*lines, *_digests(tree.parent, [tree / "pom.xml", *sorted(sources)])])


def project_recipe(tree: Path) -> str:
    """The same of a project of several modules."""
    found = [path for path in tree.glob("*/src/**/*") if path.is_file()]
    return "\n".join(_digests(tree.parent, sorted([*tree.glob("pom.xml"), *tree.glob("*/pom.xml"), *found])))


def _digests(root: Path, paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        yield f"{digest}  {path.relative_to(root).as_posix()}"


def build(tree: Path, target: Path, properties: Mapping[str, str]) -> None:
    """Compile a tree into ``classes`` of a folder, and put the jars it wants into ``lib``. Raises PartError."""
    with _scratch(target.parent) as scratch:
        copy = scratch / tree.name
        shutil.copytree(tree / OWN, copy / OWN)
        shutil.copy(tree / "pom.xml", copy)
        shutil.copytree(tree.parent / SHARED, scratch / SHARED)
        settings = {**properties, "outputDirectory": target / JARS}
        _maven(copy, target.parent, settings, "compile", "dependency:copy-dependencies")
        shutil.copytree(copy / "target/classes", target / CLASSES)


def package(tree: Path, target: Path) -> None:
    """Do ``mvn package`` in a project, and put what its modules become into a folder. Raises PartError."""
    with _scratch(target.parent) as scratch:
        copy = scratch / tree.name
        shutil.copytree(tree, copy, ignore=shutil.ignore_patterns("target"))
        _maven(copy, target.parent, {}, "package")
        for made in copy.glob("*/target/*.jar"):
            shutil.copy(made, target)


@contextmanager
def _scratch(store: Path) -> Iterator[Path]:
    """A folder for a copy of a tree: Maven writes beside the sources, and never in the checkout."""
    with tempfile.TemporaryDirectory(dir=store, prefix=cache.UNFINISHED) as scratch:
        yield Path(scratch)


def _maven(tree: Path, store: Path, settings: Mapping[str, object], *goals: str) -> None:
    home = Path(java(store)).parents[1]
    _, maven = cache.get(MAVEN, store)
    trusted = tree.parent / "trusted.jks"
    trusted.write_bytes(_trusted())
    options = [f"-Djavax.net.ssl.trustStore={trusted}", "-Djavax.net.ssl.trustStoreType=JKS"]
    env = os.environ | {
        "JAVA_HOME": str(home),
        "MAVEN_OPTS": " ".join([*options, "-XX:TieredStopAtLevel=1", os.environ.get("MAVEN_OPTS", "")]),
    }
    env.pop("JDK_JAVA_OPTIONS", None)
    given = _given({"maven.repo.local": store / "maven-repository", **settings})
    run(
        ["nice", "-n", "10", *MAVEN.command(maven), "-q", "-B", "--strict-checksums", *given, *goals],
        f"compiling {tree.name}", cwd=tree, env=env,
        advice="it needs Maven Central, or the mirror that ~/.m2/settings.xml names",
    )  # fmt: skip


def command(folder: Path, main: str) -> list[str]:
    """What starts a program of a finished folder by its main class."""
    return [java(folder.parent), *FLAGS, "-cp", f"{folder / CLASSES}:{folder / JARS}/*", main]


def runnable(folder: Path, name: str) -> list[str]:
    """What starts a jar of a finished folder that brings all it needs."""
    return [java(folder.parent), *FLAGS, "-jar", str(folder / f"{name}.jar")]


@once
def java(store: Path) -> str:
    """The ``java`` of the pinned JDK, which is verified once a run."""
    _, folder = cache.get(JDK, store)
    return JDK.command(folder)[0]


def _given(settings: Mapping[str, object]) -> Sequence[str]:
    return [f"-D{name}={value}" for name, value in settings.items()]


def _trusted() -> bytes:
    """The system's trusted certificates, which an unpacked JDK does not bring."""
    certificates = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not certificates:
        raise PartError(
            "there are no trusted certificates here; on Debian, as root: apt-get install ca-certificates"
        )
    return keystore(certificates)


def keystore(certificates: Sequence[bytes]) -> bytes:
    """Certificates (DER) as a keystore in Java's own format, JKS version 2.

    Counts are big-endian and text has a length of two bytes. The digest at the end is keyed by a password, and is not
    checked where none is given.
    """
    body = (0xFEEDFEED).to_bytes(4, "big") + (2).to_bytes(4, "big") + len(certificates).to_bytes(4, "big")
    for number, der in enumerate(certificates):
        trusted, created = (2).to_bytes(4, "big"), bytes(8)
        body += trusted + _text(str(number)) + created + _text("X.509") + len(der).to_bytes(4, "big") + der
    return body + hashlib.sha1(b"Mighty Aphrodite" + body, usedforsecurity=False).digest()


def _text(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()
