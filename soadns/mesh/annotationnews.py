"""What is wrong with the annotations of Services, told as Events of them to who looks at a Service with ``kubectl``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from soadns.binding.estate import Estate
from soadns.mesh.eventbook import Happening, Regarding
from soadns.mesh.events import Events

IGNORED = "AnnotationIgnored"
LOOK_S = 2.0
"""Between two looks: somebody who has just typed an annotation looks whether it is as it should be."""
_BY = "annotations"


class AnnotationNews:
    """Looks at all Services of one cluster now and then; they are few, and most have no problem.

    :param cluster: the name of the cluster that Events are written to.
    """

    def __init__(self, estate: Estate, cluster: str, events: Events) -> None:
        self._estate = estate
        self._cluster = cluster
        self._events = events

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._events.last(self._lasting(), by=_BY)
            await asyncio.sleep(LOOK_S)

    def _lasting(self) -> Iterator[Happening]:
        for zone in self._estate.zones.values():
            for ref, service in zone.store.services.by_ref.items():
                if service.problems and ref.cluster == self._cluster:
                    about = Regarding("Service", ref.namespace, ref.name, service.uid)
                    for problem in service.problems:
                        yield Happening(about, IGNORED, problem, "Read")
