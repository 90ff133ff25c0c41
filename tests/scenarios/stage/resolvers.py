"""Resolvers that people have: dnsmasq, unbound and systemd-resolved, with the files of ``deploy/resolvers``.

Only addresses and ports are changed in those, and what a process needs to run beside others is added.
"""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.stage.nameservers import NameServer

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "resolvers"

ANCHOR = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"
"""The key of the root, as every validator has it."""

ROOM = """
mount -t tmpfs none /run
mkdir -p /run/systemd/resolve /run/systemd/resolved.conf.d
cp "$1/resolved.conf" /run/systemd/resolved.conf.d/soadns.conf
mount --bind "$1/resolv.conf" /etc/resolv.conf
mount --bind "$1/passwd" /etc/passwd
shift
exec env "$@"
"""
"""Files that a process finds at fixed places, in a mount namespace of its own."""


def deployed(name: str, first: str, second: str) -> str:
    """A file of ``deploy/resolvers`` with other addresses of the two replicas."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    return text.replace("10.96.0.53", first).replace("10.96.0.54", second)


class Dnsmasq(NameServer):
    """dnsmasq; without the lines that contain ``without``."""

    def __init__(self, folder: Path, zone: str, ports: list[int], *, without: str = "\n") -> None:
        super().__init__("dnsmasq", folder, zone)
        lines = deployed("dnsmasq.conf", *(f"127.0.0.1#{port}" for port in ports)).splitlines()
        config = folder / "dnsmasq.conf"
        config.write_text("".join(f"{line}\n" for line in lines if without not in line))
        self._run(
            "dnsmasq", "--keep-in-foreground", f"--conf-file={config}", "--no-resolv", "--no-hosts", "--no-poll",
            "--user=", "--group=", f"--pid-file={folder}/pid", "--listen-address=127.0.0.1", "--bind-interfaces",
            f"--port={self.port}",
        )  # fmt: skip


class Unbound(NameServer):
    """unbound that validates and lowers nothing; ``instead`` are (text, other text) of its file."""

    def __init__(self, folder: Path, zone: str, ports: list[int], *instead: tuple[str, str]) -> None:
        super().__init__("unbound", folder, zone)
        text = deployed("unbound.conf", *(f"127.0.0.1@{port}" for port in ports))
        for old, new in instead:
            assert old in text
            text = text.replace(old, new)
        config = folder / "unbound.conf"
        config.write_text(
            f"""
server:
    interface: 127.0.0.1
    port: {self.port}
    do-not-query-localhost: no
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: "{folder}/pid"
    use-syslog: no
    trust-anchor: "{ANCHOR}"
    use-caps-for-id: yes
    qname-minimisation-strict: yes
remote-control:
    control-enable: no
{text}
"""
        )
        self._run("unbound", "-d", "-c", str(config))


class Resolved(NameServer):
    """systemd-resolved without systemd and D-Bus, in a mount namespace; it knows no other server."""

    def __init__(self, folder: Path, zone: str, ports: list[int]) -> None:
        super().__init__("systemd-resolved", folder, zone)
        text = deployed("resolved.conf", *(f"127.0.0.1:{port}" for port in ports))
        stub = f"DNSStubListener=no\nDNSStubListenerExtra=127.0.0.1:{self.port}\n"
        (folder / "resolved.conf").write_text(f"{text}{stub}FallbackDNS=\nLLMNR=no\nMulticastDNS=no\n")
        (folder / "resolv.conf").write_text("")
        (folder / "passwd").write_text("root:x:0:0::/:/bin/sh\nsystemd-resolve:x:0:0::/:/bin/false\n")
        self._run("systemd-resolved")
        libraries = (self.process.env or {}).pop("LD_LIBRARY_PATH")
        inner = [f"LD_LIBRARY_PATH={libraries}", *self.process.command]
        self.process.command = ["unshare", "--mount", "sh", "-ec", ROOM, "sh", str(folder), *inner]
