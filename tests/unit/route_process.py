"""A control process over the estate of the tables, as far as the API looks at one: its routes change as a test says."""

from __future__ import annotations

from collections.abc import Iterable

from soadns.model import InterfaceId, ObjectRef
from soadns.routemodel import Move
from tests.unit.demo_process import DemoProcess
from tests.unit.routes_notation import RouteBook

SHOP = (
    "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register com.x.User,com.x.Address 10.1.0.1",
    "Service shop/account 10.96.0.2; pods shop/account 10.1.0.2; register com.x.User 10.1.0.2",
    "unregister com.x.User 10.1.0.1; after 5s",
)
"""``com.x.User`` has moved from ``shop/user`` to ``shop/account``."""


class RouteProcess(DemoProcess):
    """The API asks this; ``tell`` is what happens to the estate."""

    def __init__(self, rows: Iterable[str] = SHOP) -> None:
        super().__init__()
        self.book = RouteBook()
        for row in rows:
            self.tell(row)

    def tell(self, row: str) -> None:
        """Statements of one instant."""
        for statement in row.split(";"):
            self.book.say(statement.strip())
        self.book.flush()
        self.estate, self.routing = self.book.estate, self.book.routing

    def now(self) -> float:
        return self.book.now

    def forget(self, zone: str, service: ObjectRef, interface: InterfaceId | None) -> list[Move]:
        return self.routing.forget(zone, service, interface, self.now())
