"""Dubbo's provider URLs, rule by rule: a leaf below ``/dubbo/com.x.A`` and what is read of it."""

from __future__ import annotations

from urllib.parse import quote_plus

import pytest

from soadns.model import InterfaceId, Override, Provider
from soadns.sources import FormatError, dubbo, sofa
from tests import captured

PROVIDERS = """
# the usual ones
dubbo://10.0.0.1:20880/com.x.A?application=a                         | com.x.A - - a dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A?group=g&version=1.0.0                 | com.x.A g 1.0.0 dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A?version=0.0.0                         | com.x.A - - dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A                                       | com.x.A - - dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880                                               | com.x.A - - dubbo://10.0.0.1:20880
TRI://10.0.0.1:50051/com.x.A                                         | com.x.A - - tri://10.0.0.1:50051
# the parent names the interface: not the path, not the parameter
dubbo://10.0.0.1:20880/shop/cart?interface=com.x.A                   | com.x.A - - dubbo://10.0.0.1:20880 path=shop/cart
dubbo://10.0.0.1:20880/com.x.A?interface=com.y.B                     | com.x.A - - dubbo://10.0.0.1:20880
# hosts
dubbo://fd00:20:0:0:0:0:1:24:20880/com.x.A                           | com.x.A - - dubbo://[fd00:20::1:24]:20880
dubbo://[fd00:20:0:0:0:0:1:24]:20880/com.x.A                         | com.x.A - - dubbo://[fd00:20::1:24]:20880
dubbo://fd00::1%eth0:20880/com.x.A                                   | com.x.A - - dubbo://[fd00::1]:20880
dubbo://[fd00::1%2]:20880/com.x.A                                    | com.x.A - - dubbo://[fd00::1]:20880
dubbo://[::ffff:10.0.0.1]:20880/com.x.A                              | com.x.A - - dubbo://10.0.0.1:20880
dubbo://CRM-0.Example.:20880/com.x.A                                 | com.x.A - - dubbo://crm-0.example:20880
dubbo://user_db:20880/com.x.A                                        | com.x.A - - dubbo://user_db:20880
dubbo://joe:secret@10.0.0.1:20880/com.x.A                            | com.x.A - - dubbo://10.0.0.1:20880
# hosts that mean another machine to every caller
dubbo://fe80:0:0:0:1:2:3:4%2:20880/com.x.A                           | unusable-host
dubbo://[fe80::1]:20880/com.x.A                                      | unusable-host
dubbo://127.0.0.1:20880/com.x.A                                      | unusable-host
dubbo://0.0.0.0:20880/com.x.A                                        | unusable-host
dubbo://[::]:20880/com.x.A                                           | unusable-host
dubbo://169.254.1.1:20880/com.x.A                                    | unusable-host
dubbo://224.0.0.1:20880/com.x.A                                      | unusable-host
dubbo://localhost:20880/com.x.A                                      | unusable-host
# broken
dubbo://:20880/com.x.A                                               | no-host
dubbo:///com.x.A                                                     | no-host
dubbo://10.0.0.1/com.x.A                                             | no-port
dubbo://10.0.0.1:/com.x.A                                            | no-port
dubbo://10.0.0.1:0/com.x.A                                           | no-port
dubbo://10.0.0.1:65536/com.x.A                                       | bad-port
dubbo://10.0.0.1:2088O/com.x.A                                       | bad-port
dubbo://10.0.0.1:-1/com.x.A                                          | bad-port
dubbo://10.0.0.256:20880/com.x.A                                     | bad-host
dubbo://10.0.0:20880/com.x.A                                         | bad-host
dubbo://a..b:20880/com.x.A                                           | bad-host
dubbo://[fd00::1:20880/com.x.A                                       | bad-host
dubbo://a b:20880/com.x.A                                            | bad-host
d.ubbo://10.0.0.1:20880/com.x.A                                      | bad-url
dubbo://10.0.0.1:20880/com.x.A?group=a\tb                             | bad-text
# separators, fragments, keys without values
dubbo://10.0.0.1:20880/com.x.A?group=g;version=1.0                   | com.x.A g 1.0 dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A?a=b&token=x;group=g                   | com.x.A g - dubbo://10.0.0.1:20880 token
dubbo://10.0.0.1:20880/com.x.A?a=b&timestamp=5;group=g               | com.x.A g - dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A?a=b&pid=5;group=g                     | com.x.A g - dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A?group=g#&version=1.0                  | com.x.A g - dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A?group=a=b                             | com.x.A a=b - dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A?group=a&group=b                       | com.x.A b - dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A?token&release=2.7.23                  | com.x.A - - dubbo://10.0.0.1:20880 token
dubbo://10.0.0.1:20880/com.x.A?token&release=3.2.16                  | com.x.A - - dubbo://10.0.0.1:20880
# a value that was encoded before stays encoded: nothing is decoded twice
dubbo://10.0.0.1:20880/com.x.A?group=50%25                           | com.x.A 50%25 - dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A?group=a+b                             | com.x.A a+b - dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A?application=\u652f\u4ed8                        | com.x.A - - \u652f\u4ed8 dubbo://10.0.0.1:20880
# default. stands in for what is missing or empty, and for nothing else
dubbo://10.0.0.1:20880/com.x.A?default.group=g&default.version=1.0   | com.x.A g 1.0 dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A?default.group=g&group=h               | com.x.A h - dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A?default.group=g&group=                | com.x.A g - dubbo://10.0.0.1:20880
dubbo://10.0.0.1:1?default.timeout=9                      | com.x.A - - dubbo://10.0.0.1:1 default.timeout=9
dubbo://10.0.0.1:1?default.timeout=9&timeout=             | com.x.A - - dubbo://10.0.0.1:1 default.timeout=9
dubbo://10.0.0.1:1?default.timeout=9&timeout=8            | com.x.A - - dubbo://10.0.0.1:1 timeout=8
dubbo://10.0.0.1:1?default.dubbo.tag=gray                 | com.x.A - - dubbo://10.0.0.1:1 dubbo.tag=gray
dubbo://10.0.0.1:1?default.generic=bean&methods=*         | com.x.A - - dubbo://10.0.0.1:1 generic=bean
dubbo://10.0.0.1:1?generic=false                          | com.x.A - - dubbo://10.0.0.1:1
dubbo://10.0.0.1:20880/com.x.A?a=b&token=false&default.token=x       | com.x.A - - dubbo://10.0.0.1:20880
# switched off, outliving its process, protected
dubbo://10.0.0.1:20880/com.x.A?enabled=false                         | com.x.A - - dubbo://10.0.0.1:20880 disabled
dubbo://10.0.0.1:20880/com.x.A?disabled=true                         | com.x.A - - dubbo://10.0.0.1:20880 disabled
dubbo://10.0.0.1:20880/com.x.A?enabled=true&disabled=false           | com.x.A - - dubbo://10.0.0.1:20880
dubbo://10.0.0.1:20880/com.x.A?dynamic=false                         | com.x.A - - dubbo://10.0.0.1:20880 static
dubbo://10.0.0.1:20880/com.x.A?ssl-enabled=true                      | com.x.A - - dubbo://10.0.0.1:20880 tls
dubbo://10.0.0.1:20880/com.x.A?a=b&token=true                        | com.x.A - - dubbo://10.0.0.1:20880 token
dubbo://10.0.0.1:20880/com.x.A?a=b&token=N/A                        | com.x.A - - dubbo://10.0.0.1:20880
# what a call takes from the provider
dubbo://10.0.0.1:1?prefer.serialization=b,a                          | com.x.A - - dubbo://10.0.0.1:1 serialization=b,a
dubbo://a:1?prefer.serialization=b&serialization=c | com.x.A - - dubbo://a:1 serialization=b,c serialization=c
dubbo://10.0.0.1:1?methods=get,put&get.timeout=5&my.timeout=7        | com.x.A - - dubbo://10.0.0.1:1 get.timeout=5
dubbo://10.0.0.1:1?retries=0&timeout=9              | com.x.A - - dubbo://10.0.0.1:1 retries=0 timeout=9
dubbo://10.0.0.1:20880/com.x.A?weight=50&warmup=9&pid=7&env=staging  | com.x.A - - dubbo://10.0.0.1:20880
# two protocols on one port (3.3 writes one leaf)
dubbo://10.0.0.1:1?ext.protocol=tri                                  | com.x.A - - dubbo://10.0.0.1:1 & com.x.A - - tri://10.0.0.1:1
dubbo://10.0.0.1:20880/com.x.A?ext.protocol=dubbo                    | com.x.A - - dubbo://10.0.0.1:20880
# of no interest
consumer://10.0.0.1/com.x.A?category=consumers&side=consumer         | nothing
empty://0.0.0.0/com.x.A?category=providers                           | nothing
override://0.0.0.0/com.x.A?disabled=true                             | nothing
condition://0.0.0.0/com.x.A?category=routers                         | nothing
dubbo://10.0.0.1:20880/com.x.A?side=consumer                         | nothing
dubbo://10.0.0.1:20880/com.x.A?category=routers                      | nothing
10.0.0.1:20880                                                       | bad-url
"""

OVERRIDES = """
override://10.0.0.1:20880/com.x.A?disabled=true                               | 10.0.0.1:20880 -/-
override://0.0.0.0/com.x.A?disabled=true                                      | *:0 -/-
override://0.0.0.0/com.x.A?disabled=true&group=g&version=1.0                  | *:0 g/1.0
override://0.0.0.0/com.x.A?disabled=true&group=*&version=*                    | *:0 any/any
override://0.0.0.0/com.x.A?disabled=true&application=shop                     | *:0 -/- of shop
override://shop@0.0.0.0/com.x.A?disabled=true                                 | *:0 -/- of shop
override://0.0.0.0/A?disabled=true&providerAddresses=10.0.0.1:1,10.0.0.2:*    | 10.0.0.1:1 -/- & 10.0.0.2:0 -/-
override://10.0.0.1/com.x.A?disabled=true                                     | nothing
override://0.0.0.0/com.x.A?disabled=true&enabled=false                        | nothing
override://0.0.0.0/com.x.A?disabled=true&side=consumer                        | nothing
override://0.0.0.0/com.x.A?disabled=true&~env=gray                            | nothing
override://0.0.0.0/com.x.A?weight=200                                         | nothing
absent://0.0.0.0/com.x.A?disabled=true                                        | nothing
override://10.0.0.1:x/com.x.A?disabled=true                                   | bad-port
"""


def rows(table: str) -> list[tuple[str, str]]:
    lines = (line for line in table.strip().splitlines() if not line.startswith("#"))
    return [(url.strip(), said.strip()) for url, _, said in (line.partition(" | ") for line in lines)]


def read(category: str, leaf: str) -> list[Provider | Override] | str:
    try:
        return list(dubbo.parse("zookeeper/main/dubbo", "com.x.A", category, leaf))
    except FormatError as error:
        return error.reason


def provider_line(said: list[Provider | Override] | str) -> str:
    if isinstance(said, str):
        return said
    lines = [line.replace("  ", " ").replace(" undated", "") for line in captured.lines_of(said)]
    return " & ".join(lines) or "nothing"


def override_line(said: list[Provider | Override] | str) -> str:
    if isinstance(said, str):
        return said
    found = []
    for value in said:
        assert isinstance(value, Override)
        variant = "/".join("any" if text is None else text or "-" for text in (value.group, value.version))
        of = f" of {value.application}" if value.application else ""
        found.append(f"{value.host or '*'}:{value.port} {variant}{of}")
    return " & ".join(found) or "nothing"


@pytest.mark.parametrize(("url", "said"), rows(PROVIDERS))
def test_what_is_read_of_a_provider_url(url: str, said: str) -> None:
    assert provider_line(read("providers", quote_plus(url))) == said


@pytest.mark.parametrize(("url", "said"), [row for row in rows(PROVIDERS) if "?" in row[0]])
def test_lower_case_escapes_and_a_plain_url_say_the_same(url: str, said: str) -> None:
    encoded = quote_plus(url)
    lower = "".join(
        f"%{part[:2].lower()}{part[2:]}" if i else part for i, part in enumerate(encoded.split("%"))
    )
    assert provider_line(read("providers", lower)) == said
    assert provider_line(read("providers", url)) == said


@pytest.mark.parametrize(("url", "said"), rows(OVERRIDES))
def test_what_an_override_switches_off(url: str, said: str) -> None:
    assert override_line(read("configurators", quote_plus(url))) == said


@pytest.mark.parametrize(
    ("parameters", "started"),
    [
        ("a=b&timestamp=5", 5),
        ("timestamp=5", 5),
        ("a=b&timestamp=5&timestamp=6", 6),
        ("a=b&timestamp=5&default.timestamp=9", 5),
        ("a=b&default.timestamp=9", 9),
        ("a=b&timestamp=soon", 0),
        ("a=b&timestamp=-5", 0),
        ("a=b", 0),
    ],
)
def test_the_start_time_is_the_last_one_that_is_given(parameters: str, started: int) -> None:
    url = f"dubbo://10.0.0.1:20880/com.x.A?{parameters}"
    for leaf in (url, quote_plus(url)):
        (value,) = read("providers", leaf)
        assert isinstance(value, Provider)
        assert value.timestamp == started


@pytest.mark.parametrize(
    ("parameters", "weight"),
    [
        ("a=b", 100),
        ("weight=300", 300),
        ("weight=0", 0),
        ("weight=-5", 0),
        ("weight=heavy", 100),
        ("weight=", 100),
    ],
)
def test_the_share_of_calls(parameters: str, weight: int) -> None:
    for dialect, url in ((dubbo, "dubbo://10.0.0.1:20880/com.x.A"), (sofa, "bolt://10.0.0.1:12200")):
        [value] = dialect.parse("test", "com.x.A", "providers", f"{url}?{parameters}")
        assert isinstance(value, Provider)
        assert value.weight == weight


@pytest.mark.parametrize(
    ("leaf", "reason"),
    [
        ("dubbo%3A%2F%2F10.0.0.1%3A20880%2Fcom.x.A%3Fgroup%3D%zz", "bad-encoding"),
        ("dubbo%3A%2F%2F10.0.0.1%3A20880%2Fcom.x.A%3Fgroup%3D%FF", "bad-text"),
        ("dubbo%3A%2F%2F" + "a" * 70_000, "too-long"),
        ("dubbo%3A%2F%2F10.0.0.1%3A20880%2Fcom.x.A%3Fgroup%3D" + "g" * 256, "too-long"),
    ],
)
def test_leaves_that_are_no_text(leaf: str, reason: str) -> None:
    assert read("providers", leaf) == reason


@pytest.mark.parametrize("category", ["consumers", "routers", "configs", ""])
def test_other_categories_are_read_by_nobody(category: str) -> None:
    assert read(category, quote_plus("dubbo://10.0.0.1:20880/com.x.A")) == []


@pytest.mark.parametrize(
    ("child", "interface"),
    [
        ("com.x.A", "com.x.A"),
        ("com.x.Outer%24Inner", "com.x.Outer$Inner"),
        ("com.x.Outer$Inner", "com.x.Outer$Inner"),
        ("config", None),
        ("metadata", None),
        ("mapping", None),
        ("", None),
        ("shop-web", "shop-web"),  # an application: only the lack of providers tells
        ("%zz", "%zz"),
    ],
)
def test_which_interface_a_child_of_the_root_is(child: str, interface: str | None) -> None:
    assert dubbo.interface_of(child) == interface


@pytest.mark.parametrize(
    ("interface", "child"), [("com.x.Outer$Inner", "com.x.Outer%24Inner"), ("com.x.*_-~", "com.x.*_-%7E")]
)
def test_where_the_clients_of_an_interface_look(interface: str, child: str) -> None:
    assert dubbo.child_of(interface) == child
    assert dubbo.interface_of(child) == interface


def test_the_registry_and_the_interface_are_part_of_the_identity() -> None:
    (value,) = read("providers", quote_plus("dubbo://10.0.0.1:20880/com.x.A?group=g&application=a"))
    assert isinstance(value, Provider)
    expected = ("zookeeper/main/dubbo", InterfaceId("com.x.A", "g"), "dubbo", "10.0.0.1", 20880, "a")
    assert value.identity == expected
