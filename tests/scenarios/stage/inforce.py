"""What people say in Istio's words, from the moment it is in force at the Envoys of callers to the one when it is gone
from there: the API server has it at once, istiod and Envoy by and by."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.scenarios.stage.control import listener
from tests.scenarios.stage.istiosidecar import Sidecar
from tests.scenarios.stage.mesh import Mesh, cluster
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.stage import Service

ARRIVES_S = 60.0
"""What the API server has is at Envoy by then."""
_MADE_BY = "/destination-rule/"
"""A word that Istio leaves in the clusters for which a DestinationRule says something."""


@dataclass(frozen=True, slots=True)
class Called:
    """A Service, as the Envoy of one caller has it."""

    sidecar: Sidecar
    service: Service

    @property
    def cluster(self) -> str:
        """Istio's name of where its calls go."""
        return cluster(self.service)

    @property
    def ejected(self) -> set[str]:
        """Which endpoints are called no more, since too much failed there."""
        return self.sidecar.ejected(self.cluster)

    def ruled(self) -> bool:
        """Whether a DestinationRule is in force."""
        return _MADE_BY in self.sidecar.cluster(self.cluster)

    def unlike(self) -> list[str]:
        """What is not as it is where nobody says anything, and where Envoy has heard of all endpoints there are."""
        own = self.cluster
        subset = re.compile(re.escape(own).replace(r"\|\|", r"\|[^|\"]+\|"))
        there = self.sidecar.clusters()
        found = [f"cluster {name}" for name in there if subset.fullmatch(name)]
        if _MADE_BY in there.get(own, _MADE_BY):
            found.append("a DestinationRule" if own in there else f"no cluster {own}")
        if f"{self.service.cluster_ip}_{self.service.port}" not in self.sidecar.listeners():
            found.append("no listener")
        else:
            found += [f"calls go to {name}" for name in subset.findall(listener(self.sidecar, self.service))]
        if (endpoints := self.sidecar.endpoints(own)) != self.service.ready:
            found.append(f"endpoints {endpoints}, not {self.service.ready}")
        if ejected := self.ejected:
            found.append(f"ejected: {ejected}")
        return [f"{self.sidecar.home.name}: {each}" for each in found]


def undisturbed(called: Sequence[Called]) -> None:
    """Wait until no Envoy has anything left of what was said, nor of endpoints that are gone."""
    look = lambda: [why for each in called for why in each.unlike()]  # noqa: E731
    found = eventually(look, within=ARRIVES_S, until=lambda why: not why)
    assert not found, found


@contextmanager
def rules(
    mesh: Mesh,
    called: Sequence[Called],
    write: Callable[[Service], list[dict[str, Any]]],
    *,
    withdraw: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """With objects of Istio's that people write for each Service, a DestinationRule among them.

    It is in force at all Envoys when this begins, and was not before. When it ends, it is gone from all of them.
    ``withdraw`` takes back what somebody else has made of it.
    """
    undisturbed(called)
    services = {each.service.name: each.service for each in called}
    documents = [document for service in services.values() for document in write(service)]
    mesh.apply(*documents)
    try:
        late = eventually(
            lambda: [each.sidecar.home.name for each in called if not each.ruled()],
            within=ARRIVES_S,
            until=lambda late: not late,
        )
        assert not late, late
        yield
    finally:
        for document in documents:
            mesh.town.api.delete(document)
        withdraw()
        undisturbed(called)
