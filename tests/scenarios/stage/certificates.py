"""A certificate authority of a story, made by the real openssl."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.stage.process import printed

CONFIG = """\
[req]
prompt = no
distinguished_name = name
[name]
CN = soadns test
[authority]
basicConstraints = critical, CA:true
[leaf]
subjectAltName = DNS:localhost,DNS:soadns.example
"""


class Authority:
    """Signs certificates; everything it makes lies in its folder as PEM."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._config = folder / "openssl.cnf"
        self._config.write_text(CONFIG)
        self._key, self.certificate = folder / "ca.key", folder / "ca.crt"
        self._openssl("genpkey", "-algorithm", "RSA", "-out", self._key)
        self._openssl(
            "req", "-x509", "-new", "-key", self._key, "-out", self.certificate, "-config", self._config,
            "-extensions", "authority", "-days", "2",
        )  # fmt: skip

    def sign(self, name: str, *, password: str = "", uri: str = "") -> tuple[Path, Path]:
        """A key, encrypted with the password if there is one, and its certificate for two names (above), and a URI."""
        plain, request = self._folder / f"{name}.plain", self._folder / f"{name}.csr"
        key, certificate = self._folder / f"{name}.key", self._folder / f"{name}.crt"
        self._openssl("genpkey", "-algorithm", "RSA", "-out", plain)
        self._openssl("req", "-new", "-key", plain, "-out", request, "-config", self._config)
        config = self._folder / f"{name}.cnf"
        config.write_text(CONFIG.rstrip() + (f",URI:{uri}\n" if uri else "\n"))
        self._openssl(
            "x509", "-req", "-in", request, "-out", certificate, "-CA", self.certificate, "-CAkey", self._key,
            "-CAcreateserial", "-extfile", config, "-extensions", "leaf", "-days", "2",
        )  # fmt: skip
        if not password:
            return plain.rename(key), certificate
        self._openssl("pkcs8", "-topk8", "-in", plain, "-out", key, "-passout", f"pass:{password}")
        return key, certificate

    @staticmethod
    def _openssl(*arguments: str | Path) -> None:
        done = printed("openssl", *arguments)
        assert not done.returncode, f"openssl {arguments[0]}: {done.stderr}"
