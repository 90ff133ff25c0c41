"""SOFARPC's provider URLs, rule by rule: a leaf below ``/sofa-rpc/com.x.A`` and what is read of it."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest

from soadns.model import Provider
from soadns.sources import FormatError, sofa
from tests import captured

PROVIDERS = """
# the version is a constant, the uniqueId is the identity
bolt://10.0.0.1:12200?version=1.0&uniqueId=&appName=a      | com.x.A - - a bolt://10.0.0.1:12200
bolt://10.0.0.1:12200?version=1.0&uniqueId=blue            | com.x.A blue -  bolt://10.0.0.1:12200
bolt://10.0.0.1:12200?version=2.0&uniqueId=                | com.x.A - -  bolt://10.0.0.1:12200
bolt://10.0.0.1:12200                                      | com.x.A - -  bolt://10.0.0.1:12200
# every protocol is another place; the parent names the interface
h2c://10.0.0.1:12300?version=1.0&interface=com.y.B         | com.x.A - -  h2c://10.0.0.1:12300
rest://10.0.0.1:8341/?version=1.0                          | com.x.A - -  rest://10.0.0.1:8341
rest://10.0.0.1:8341/api/?version=1.0                      | com.x.A - -  rest://10.0.0.1:8341
# a context path is the server's, and all of its interfaces': bolt has the interface on the wire
bolt://10.0.0.1:12200/pay/?version=1.0&uniqueId=           | com.x.A - -  bolt://10.0.0.1:12200
# hosts: IPv6 is written without brackets
bolt://fd00:20:0:0:0:0:2:20:18200?version=1.0              | com.x.A - -  bolt://[fd00:20::2:20]:18200
bolt://fd00:20::2:21:18200?version=1.0                     | com.x.A - -  bolt://[fd00:20::2:21]:18200
bolt://[fd00:20::2:21]:18200?version=1.0                   | com.x.A - -  bolt://[fd00:20::2:21]:18200
bolt://Named-0.example:18200?version=1.0                   | com.x.A - -  bolt://named-0.example:18200
bolt://fe80::1%eth0:18200?version=1.0                      | unusable-host
bolt://0.0.0.0:12200?version=1.0                           | unusable-host
bolt://10.0.0.1?version=1.0                                | no-port
bolt://10.0.0.1:x?version=1.0                              | bad-port
bolt://:12200?version=1.0                                  | no-host
# a start offline is no reason not to be called; a switched-off provider is
bolt://10.0.0.1:12200?version=1.0&dynamic=false            | com.x.A - -  bolt://10.0.0.1:12200
bolt://10.0.0.1:12200?version=1.0&disabled=true            | com.x.A - -  bolt://10.0.0.1:12200 disabled
bolt://10.0.0.1:12200?version=1.0&enabled=false            | com.x.A - -  bolt://10.0.0.1:12200 disabled
# what a call takes from the provider; no timeout is written as 0
bolt://10.0.0.1:12200?version=1.0&timeout=0&retries=0      | com.x.A - -  bolt://10.0.0.1:12200
bolt://10.0.0.1:12200?version=1.0&timeout=900              | com.x.A - -  bolt://10.0.0.1:12200 timeout=900
bolt://10.0.0.1:12200?version=1.0&serialization=hessian2   | com.x.A - -  bolt://10.0.0.1:12200 serialization=hessian2
# neither ';' nor '#' is special here
bolt://10.0.0.1:12200?version=1.0&uniqueId=a;b             | com.x.A a;b -  bolt://10.0.0.1:12200
bolt://10.0.0.1:12200?version=1.0&uniqueId=a#b             | com.x.A a#b -  bolt://10.0.0.1:12200
bolt://10.0.0.1:12200?version=1.0&note=50% off: a+b        | com.x.A - -  bolt://10.0.0.1:12200
# of no interest
consumer://10.0.0.1?version=1.0                            | nothing
override://10.0.0.1:12200?disabled=true                    | nothing
com.x.A                                                    | bad-url
"""

NODEJS = """
bolt://10.0.0.1:12200?version=2.0&uniqueId=&language=nodejs&group=SOFA            | com.x.A - -  bolt://10.0.0.1:12200
bolt://10.0.0.1:12200?uniqueId=undefined&appName=undefined&language=nodejs        | com.x.A - -  bolt://10.0.0.1:12200
bolt://10.0.0.1:12200?interface=com.x.A%24B&appName=a%20b&language=nodejs         | com.x.A - - a b bolt://10.0.0.1:12200
bolt://10.0.0.1:12200?version=1.0&protocol=&timeout=undefined&language=nodejs     | com.x.A - -  bolt://10.0.0.1:12200
"""


def rows(table: str) -> list[tuple[str, str]]:
    lines = (line for line in table.strip().splitlines() if not line.startswith("#"))
    return [(url.strip(), said.strip()) for url, _, said in (line.partition(" | ") for line in lines)]


def read(category: str, leaf: str) -> str:
    try:
        said = sofa.parse("zookeeper/main/sofa-rpc", "com.x.A", category, leaf)
    except FormatError as error:
        return error.reason
    return " & ".join(line.replace(" undated", "") for line in captured.lines_of(said)) or "nothing"


@pytest.mark.parametrize(("url", "said"), rows(PROVIDERS))
def test_what_is_read_of_a_provider_url(url: str, said: str) -> None:
    assert read("providers", quote_plus(url)) == said
    assert read("providers", url) == said


@pytest.mark.parametrize(("url", "said"), rows(NODEJS))
def test_what_is_read_of_a_url_that_nodejs_encodes(url: str, said: str) -> None:
    assert read("providers", quote(url, safe="!'()*~")) == said


@pytest.mark.parametrize(
    ("parameters", "started"),
    [
        ("version=1.0&startTime=5&id=7&pid=9", 5),
        ("startTime=5", 5),
        ("version=1.0&startTime=5&startTime=6", 6),
        ("version=1.0&startTime=", 0),
    ],
)
def test_the_start_time_is_the_last_one_that_is_given(parameters: str, started: int) -> None:
    url = f"bolt://10.0.0.1:12200?{parameters}"
    for leaf in (url, quote_plus(url)):
        (value,) = sofa.parse("zookeeper/main/sofa-rpc", "com.x.A", "providers", leaf)
        assert isinstance(value, Provider)
        assert value.timestamp == started


@pytest.mark.parametrize("category", ["consumers", "configs", "overrides"])
def test_other_categories_are_read_by_nobody(category: str) -> None:
    assert read(category, quote_plus("bolt://10.0.0.1:12200?version=1.0")) == "nothing"


@pytest.mark.parametrize("name", ["com.x.A", "com.x.Outer$Inner", "com.x.A%24B", "a+b"])
def test_the_directory_of_an_interface_has_its_raw_name(name: str) -> None:
    assert sofa.interface_of(name) == name
    assert sofa.child_of(name) == name
