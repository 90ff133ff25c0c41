"""What is spoken at a Service's port, as far as a sidecar has to know it before it looks into a call."""

from __future__ import annotations

import pytest

from soadns.speech import spoken
from tests.unit.notation import ZONE
from tests.unit.route_process import RouteProcess

CASES = """
register A 10.1.0.1                                                          | dubbo | hessian2 is Dubbo's default
register A 10.1.0.1 serialization=hessian2,fastjson2                         | dubbo | or comes first
register A 10.1.0.1 serialization=fastjson2,hessian2                         | other | or does not
register A 10.1.0.1; register B 10.1.0.1 serialization=fastjson2             | other | not for one interface
register A 10.1.0.1 protocol=bolt                                            | bolt  | bolt
register A 10.1.0.1 protocol=tri                                             | other | Triple
register A 10.1.0.1; register A 10.1.0.1 protocol=tri                        | other | two protocols at one port
register A 10.1.0.1; register B 10.1.0.1; after 1m; unregister A 10.1.0.1    | dubbo | while one is left
"""


@pytest.mark.parametrize("line", CASES.strip().splitlines(), ids=lambda line: line.rpartition("|")[2].strip())
def test_what_is_registered_says_it(line: str) -> None:
    rows, word, _ = (part.strip() for part in line.split("|"))
    book = RouteProcess(("Service shop/user 10.96.0.1; pods shop/user 10.1.0.1", *rows.split("; "))).book
    [vip] = book.table.vips.values()
    assert spoken(book.estate.zones[ZONE], book.table, vip.service, vip.port) == word
