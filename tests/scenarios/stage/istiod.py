"""The real istiod: it reads the API server, and tells sidecars by plaintext xDS what follows from it.

No certificates, no webhook and no CA: what stands in the way of a stock Envoy is switched off (Istio's own filters, and
mutual TLS by a PeerAuthentication). What is left is what decides where requests go.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.scenarios.stage.kubernetes import ADMIN, ApiServer
from tests.scenarios.stage.network import MACHINE
from tests.scenarios.stage.places import Place
from tests.scenarios.stage.process import Process, command_of, eventually

Address = tuple[str, int]
ROOT = "istio-system"
"""Istio's root namespace: what stands there holds for all sidecars."""
XDS = (MACHINE, 15010)
_HTTP, _METRICS = ("127.0.0.1", 15017), ("127.0.0.1", 15014)
METRICS = "http://127.0.0.1:15014/metrics"
"""On the machine that it runs on."""
_ENVIRONMENT = {
    "PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false", "ENABLE_CA_SERVER": "false",
    "PILOT_CERT_PROVIDER": "none", "POD_NAMESPACE": ROOT, "POD_NAME": "istiod-1", "PILOT_ENVOY_FILTER_STATS": "true",
}  # fmt: skip
_NAME = re.compile(rb"^  name: (\S+)$", re.MULTILINE)
PLAINTEXT: dict[str, Any] = {
    "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
    "metadata": {"name": "default", "namespace": ROOT}, "spec": {"mtls": {"mode": "DISABLE"}},
}  # fmt: skip


class Istiod:
    """One istiod; what it knows of the mesh stands in the API server."""

    def __init__(
        self,
        folder: Path,
        api: ApiServer,
        place: Place,
        *,
        listens: Sequence[Address] = (XDS, _HTTP, _METRICS),
    ) -> None:
        """``listens``: where it speaks xDS, says that it is ready, and has its metrics."""
        folder.mkdir(parents=True, exist_ok=True)
        xds, self._http, self._metrics = listens
        command, env = command_of("istiod")
        self._api = api
        self._crds = Path(command[0]).parent / "crd-all.gen.yaml"
        mesh = folder / "mesh.json"
        mesh.write_text(json.dumps({"rootNamespace": ROOT}))
        command += [
            "--kubeconfig", str(api.kubeconfig(ADMIN)), "--namespace", ROOT, "--meshConfig", str(mesh),
            "--grpcAddr", _joined(xds), "--httpAddr", _joined(self._http),
            "--monitoringAddr", _joined(self._metrics),
            "--secureGRPCAddr", "", "--httpsAddr", "", "--ctrlz_port", "0",
        ]  # fmt: skip
        self.process = Process("istiod", command, log=folder / "log", env=env | _ENVIRONMENT, place=place)

    def install(self) -> None:
        """Teach the API server what Istio's objects are, and that sidecars speak plaintext."""
        self._api.create_namespace(ROOT)
        for document in self._crds.read_bytes().split(b"\n---\n"):
            found = _NAME.search(document)
            if found:
                path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + found[1].decode()
                self._api.request(
                    "PATCH",
                    f"{path}?fieldManager=test&force=true",
                    document,
                    kind="application/apply-patch+yaml",
                )

        def applied() -> str:
            try:
                self._api.apply(PLAINTEXT)
            except AssertionError as error:  # a definition takes a moment to be served
                return str(error)
            return ""

        why = eventually(applied, within=20.0, until=lambda error: not error)
        assert not why, why

    def start(self) -> None:
        self.process.start()
        self.process.wait_until(lambda: self._get(self._http, "/ready") is not None, within=60.0)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def stop(self) -> None:
        self.process.stop()

    def metric(self, line: str) -> float:
        """The value of one sample of its metrics, named with its labels; 0.0 when it is absent."""
        for row in self._get(self._metrics, "/metrics").decode().splitlines():
            if row.startswith(f"{line} "):
                return float(row.rpartition(" ")[2])
        return 0.0

    def said(self, since: int = 0) -> str:
        """Its log, from an octet on."""
        return self.process.log.read_bytes()[since:].decode(errors="replace")

    @property
    def rejected(self) -> float:
        """How many times sidecars refused what they were told of listeners."""
        return self.metric('pilot_total_xds_rejects{type="lds"}')

    def _get(self, at: Address, path: str) -> bytes:
        with (
            self.process.place.inside(),
            urllib.request.urlopen(f"http://{_joined(at)}{path}", timeout=20) as answer,
        ):
            return bytes(answer.read())


def _joined(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
