"""From provider URLs to the line that is exported, in the notation of ``urls_notation``."""

from __future__ import annotations

import pytest

from soadns.publishers.advice import TEXTS, advice
from soadns.publishers.directurls import CALLS_ON, FAMILIES, direct_url
from soadns.publishers.verdicts import DUBBO, SOFA
from tests.unit.urls_notation import cases, subject, told

DUBBO_CASES = """
nothing but the port
    dubbo://10.0.0.1:20880/com.x.A?application=a
    => dubbo://com.x.A.rpc.test:20880

what callers took over from the provider goes along
    dubbo://10.0.0.1:20880/com.x.A?timeout=10000&retries=0&cluster=failfast&loadbalance=roundrobin&connections=2
    => dubbo://com.x.A.rpc.test:20880?cluster=failfast&connections=2&loadbalance=roundrobin&retries=0&timeout=10000

what Dubbo up to 2.6 writes of a provider's defaults stays a default: a consumer's own stands above it
    dubbo://10.0.0.1:20880/com.x.A?default.timeout=3000&default.retries=0
    => dubbo://com.x.A.rpc.test:20880?default.retries=0&default.timeout=3000

values of single methods
    dubbo://10.0.0.1:20880/com.x.A?methods=find,order&timeout=2000&order.timeout=9000&order.retries=0&listen.1.callback=true
    => dubbo://com.x.A.rpc.test:20880?order.retries=0&order.timeout=9000&timeout=2000

callbacks, mocks and the like
    dubbo://10.0.0.1:20880/com.x.A?methods=listen&listen.1.callback=true&mock=return null&payload=20000000&lazy=true
    => dubbo://com.x.A.rpc.test:20880?lazy=true&listen.1.callback=true&mock=return null&payload=20000000

a stub that callers have to load
    dubbo://10.0.0.1:20880/com.x.A?stub=true
    => dubbo://com.x.A.rpc.test:20880?stub=true

a path of its own; the interface's name needs none
    dubbo://10.0.0.1:20880/ctx/shop?interface=com.x.A&timeout=2000
    => dubbo://com.x.A.rpc.test:20880/ctx/shop?timeout=2000

nothing that only providers or registries need
    dubbo://10.0.0.1:20880/com.x.A?weight=200&warmup=1&executes=10&accesslog=true&group=g&version=1.0.0&pid=7
    => dubbo://com.x.A.rpc.test:20880

a limit per provider would hold for all of them together
    dubbo://10.0.0.1:20880/com.x.A?actives=10&methods=find&find.actives=2
    => dubbo://com.x.A.rpc.test:20880
    - actives=10 is left out: it limits the calls to one provider, and would limit those to all of them together
    - find.actives=2 is left out: it limits the calls to one provider, and would limit those to all of them together

a provider that takes any call as a generic one
    dubbo://10.0.0.1:20880/com.x.A?generic=true
    => dubbo://com.x.A.rpc.test:20880?generic=true

a setting too long to be kept
    dubbo://10.0.0.1:20880/com.x.A?timeout=9000&mock=return+MOCK
    => dubbo://com.x.A.rpc.test:20880?timeout=9000
    ! its providers say more than can be carried: 1 more setting, or longer than is kept

a value that is encoded on its own stays so
    dubbo://10.0.0.1:20880/com.x.A?timeout=2000&mock=return%20%7B%7D%3Ba
    => dubbo://com.x.A.rpc.test:20880?mock=return%20%7B%7D%3Ba&timeout=2000

what can not be printed is left out
    dubbo://10.0.0.1:20880/com.x.A?timeout=2000&mock=a\x07b
    => dubbo://com.x.A.rpc.test:20880?timeout=2000
    - mock is left out: its value can not be written in a direct URL

dubbo rather than tri
    tri://10.0.0.1:50051/com.x.A?timeout=9000
    dubbo://10.0.0.1:20880/com.x.A?timeout=2000
    => dubbo://com.x.A.rpc.test:20880?timeout=2000

tri alone: whoever looks a name up once follows no move
    tri://10.0.0.1:50051/com.x.A?timeout=9000
    => tri://com.x.A.rpc.test:50051?timeout=9000
    ! callers by tri look its name up once per process, and follow no move until they restart (--with-tri)

tri where the Service has no other port
    tri://10.0.0.1:50051/com.x.A?timeout=9000
    dubbo://10.0.0.1:20880/com.x.A?timeout=2000
    ports tri:50051
    => tri://com.x.A.rpc.test:50051?timeout=9000
    ! callers by tri look its name up once per process, and follow no move until they restart (--with-tri); \
its providers speak dubbo, too, but its Service has no port 20880

tri that somebody takes as it is
    tri://10.0.0.1:50051/com.x.A?timeout=9000
    with tri
    => tri://com.x.A.rpc.test:50051?timeout=9000

both at one port
    tri://10.0.0.1:50051/com.x.A?ext.protocol=dubbo
    => dubbo://com.x.A.rpc.test:50051

tri that nobody registers any more, by the port's name
    ports tri:50051
    => tri://com.x.A.rpc.test:50051
    ! callers by tri look its name up once per process, and follow no move until they restart (--with-tri)
    - no provider is registered: nothing is known of timeout, retries and the like

tri, and the Service has another port
    tri://10.0.0.1:50051/com.x.A
    ports
    => none
    ! Service home/shop/shop has no port 50051, by which its providers are registered
    ! callers by tri look its name up once per process, and follow no move until they restart (--with-tri)

two ports
    dubbo://10.0.0.1:20880/com.x.A
    dubbo://10.0.0.2:20881/com.x.A
    => dubbo://com.x.A.rpc.test:20880
    - port 20880, by which most providers are registered; also 20881

hessian2 first is what a direct URL falls back to
    dubbo://10.0.0.1:20880/com.x.A?prefer.serialization=hessian2,fastjson2
    => dubbo://com.x.A.rpc.test:20880?serialization=hessian2

another serialization first
    dubbo://10.0.0.1:20880/com.x.A?prefer.serialization=fastjson2,hessian2
    => dubbo://com.x.A.rpc.test:20880?prefer.serialization=fastjson2,hessian2

another serialization first, and one that has none
    dubbo://10.0.0.1:20880/com.x.A?prefer.serialization=fastjson2,hessian2
    dubbo://10.0.0.2:20880/com.x.A
    => dubbo://com.x.A.rpc.test:20880?serialization=hessian2
    - its providers prefer fastjson2 and hessian2: hessian2, which all of them understand

different ones first
    dubbo://10.0.0.1:20880/com.x.A?prefer.serialization=fastjson2,hessian2
    dubbo://10.0.0.2:20880/com.x.A?prefer.serialization=hessian2,fastjson2
    => dubbo://com.x.A.rpc.test:20880?serialization=hessian2
    - its providers prefer fastjson2 and hessian2: hessian2, which all of them understand

hessian2 is not understood by one of them
    dubbo://10.0.0.1:20880/com.x.A?prefer.serialization=fastjson2,hessian2
    dubbo://10.0.0.2:20880/com.x.A?serialization=fastjson2
    => dubbo://com.x.A.rpc.test:20880?serialization=fastjson2
    ! its providers want fastjson2, and not hessian2, which a direct URL falls back to

preferred alone, it is left to those who know of preferences, as by a registry
    dubbo://10.0.0.1:20880/com.x.A?prefer.serialization=fastjson2
    => dubbo://com.x.A.rpc.test:20880?prefer.serialization=fastjson2
    ! its providers want fastjson2, and not hessian2, which a direct URL falls back to

several that are preferred, and not hessian2
    dubbo://10.0.0.1:20880/com.x.A?prefer.serialization=fastjson2,kryo
    dubbo://10.0.0.2:20880/com.x.A?prefer.serialization=kryo,fastjson2
    => dubbo://com.x.A.rpc.test:20880?prefer.serialization=fastjson2,kryo
    ! its providers want fastjson2 and kryo, and not hessian2, which a direct URL falls back to

preferred and fixed, it is fixed
    dubbo://10.0.0.1:20880/com.x.A?prefer.serialization=fastjson2&serialization=fastjson2
    => dubbo://com.x.A.rpc.test:20880?serialization=fastjson2
    ! its providers want fastjson2, and not hessian2, which a direct URL falls back to

another serialization alone
    dubbo://10.0.0.1:20880/com.x.A?serialization=kryo
    => dubbo://com.x.A.rpc.test:20880?serialization=kryo
    ! its providers want kryo, and not hessian2, which a direct URL falls back to

no serialization that all of them have
    dubbo://10.0.0.1:20880/com.x.A?serialization=kryo
    dubbo://10.0.0.2:20880/com.x.A?serialization=fst
    => dubbo://com.x.A.rpc.test:20880?serialization=hessian2
    ! its providers want fst and kryo, and not hessian2, which a direct URL falls back to
    ! its providers have no serialization in common; hessian2 is what nothing says

a path that ends a URL, or begins another
    dubbo://10.0.0.1:20880/shop;dubbo://192.168.0.9:20880/com.x.A?token=a
    => none
    ! its path can not be written in a direct URL: 'shop;dubbo://192.168.0.9:20880/com.x.A'
    ! its providers want a token (--with-secrets writes it)

different paths
    dubbo://10.0.0.1:20880/com.x.A
    dubbo://10.0.0.2:20880/shop?interface=com.x.A
    => dubbo://com.x.A.rpc.test:20880
    ! its providers have different paths: the interface's name and shop

a token
    dubbo://10.0.0.1:20880/com.x.A?token=s3cret
    => dubbo://com.x.A.rpc.test:20880
    ! its providers want a token (--with-secrets writes it)

a token that was asked for
    dubbo://10.0.0.1:20880/com.x.A?token=s3cret
    tokens s3cret
    => dubbo://com.x.A.rpc.test:20880?token=s3cret

a token that no URL can hold
    dubbo://10.0.0.1:20880/com.x.A?token=one
    tokens oBELLne
    => dubbo://com.x.A.rpc.test:20880
    ! its providers want a token that can not be written in a direct URL
    - token is left out: its value can not be written in a direct URL

a token of each provider's own
    dubbo://10.0.0.1:20880/com.x.A?token=one
    dubbo://10.0.0.2:20880/com.x.A?token=two
    tokens one two
    => dubbo://com.x.A.rpc.test:20880
    ! its providers want different tokens, and a name leads to any of them

a token that nobody could read
    dubbo://10.0.0.1:20880/com.x.A?token=one
    tokens
    => dubbo://com.x.A.rpc.test:20880
    ! its providers want a token, which could not be read

TLS
    dubbo://10.0.0.1:20880/com.x.A?ssl-enabled=true
    => dubbo://com.x.A.rpc.test:20880
    ! its providers want TLS, of which a direct URL says nothing

tags
    dubbo://10.0.0.1:20880/com.x.A?dubbo.tag=gray
    dubbo://10.0.0.2:20880/com.x.A
    => dubbo://com.x.A.rpc.test:20880
    ! its providers are tagged (gray): a name leads to all of them

rules
    dubbo://10.0.0.1:20880/com.x.A
    rule a condition router (condition://)
    => dubbo://com.x.A.rpc.test:20880
    ! it has a condition router (condition://)

calls to several providers at once
    dubbo://10.0.0.1:20880/com.x.A?cluster=broadcast&methods=find&find.loadbalance=consistenthash
    => dubbo://com.x.A.rpc.test:20880?cluster=broadcast&find.loadbalance=consistenthash
    ! cluster=broadcast calls every provider, and a name leads to one
    ! find.loadbalance=consistenthash sends equal arguments to one provider, and a name does not

groups and versions in different Services
    dubbo://10.0.0.1:20880/com.x.A
    dubbo://10.0.0.2:20880/com.x.A?version=2.0.0
    split home/shop/one home/shop/two
    => dubbo://com.x.A.rpc.test:20880
    ! its groups and versions are served by home/shop/one and home/shop/two, and one line leads all to one

nobody but the old world serves it
    dubbo://192.168.0.1:20880/com.x.A
    kind providers
    => dubbo://com.x.A.rpc.test:20880
    ! no Service serves it yet: its name answers the providers' own addresses

a headless Service
    dubbo://10.0.0.1:20880/com.x.A
    kind headless
    => dubbo://com.x.A.rpc.test:20880
    - its Service is headless: each connection stays at the pod it was opened to

the Service has another port
    dubbo://10.0.0.1:20880/com.x.A?token=a
    ports
    => none
    ! Service home/shop/shop has no port 20880, by which its providers are registered
    ! its providers want a token (--with-secrets writes it)

nothing answers
    dubbo://10.0.0.1:20880/com.x.A
    unbound
    => none
    ! its name is not answered: nobody there

no protocol that has a direct URL
    rest://10.0.0.1:8080/com.x.A
    => none
    ! it is offered by rest alone, for which no direct URL is written

declared only, and the port's name says the protocol
    ports dubbo:20880
    => dubbo://com.x.A.rpc.test:20880
    - no provider is registered: nothing is known of timeout, retries and the like

declared only, and nothing says the protocol
    ports tcp:20880
    => none
    ! no provider is registered, and no port of Service home/shop/shop is named after a protocol (dubbo or tri)

an interface of SOFARPC
    bolt://10.0.0.1:12200/com.x.A
    => not of this framework
"""

SOFA_CASES = """
what callers took over from the provider goes along
    bolt://10.0.0.1:12200?version=1.0&uniqueId=&timeout=5000&serialization=hessian2&weight=100&appName=pay&startTime=1
    => bolt://com.x.A.rpc.test:12200?serialization=hessian2&timeout=5000

providers differ
    bolt://10.0.0.1:12200?version=1.0&timeout=5000
    bolt://10.0.0.2:12200?version=1.0
    => bolt://com.x.A.rpc.test:12200?timeout=5000
    - its providers differ in timeout (3000, 5000): 5000

another serialization
    bolt://10.0.0.1:12200?version=1.0&serialization=protobuf
    => bolt://com.x.A.rpc.test:12200?serialization=protobuf
    ! its providers want protobuf, and not hessian2, which a direct URL falls back to

no commas, at which SOFARPC cuts
    bolt://10.0.0.1:12200?version=1.0&invokeType=sync,x
    => bolt://com.x.A.rpc.test:12200
    - invokeType is left out: its value can not be written in a direct URL

an interface of Dubbo
    dubbo://10.0.0.1:20880?version=1.0
    => not of this framework
"""


@pytest.mark.parametrize(
    ("title", "given", "expected"), cases(DUBBO_CASES), ids=[c[0] for c in cases(DUBBO_CASES)]
)
def test_what_becomes_of_dubbo_providers(title: str, given: list[str], expected: list[str]) -> None:
    assert told(DUBBO, given) == expected, title


@pytest.mark.parametrize(
    ("title", "given", "expected"), cases(SOFA_CASES), ids=[c[0] for c in cases(SOFA_CASES)]
)
def test_what_becomes_of_sofarpc_providers(title: str, given: list[str], expected: list[str]) -> None:
    assert told(SOFA, given) == expected, title


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ("dubbo://10.0.0.1:20880/com.x.A", "dubbo"),
        ("tri://10.0.0.1:20880/com.x.A", "tri"),
        ("dubbo://10.0.0.1:20880/com.x.A\nports", "dubbo"),
        ("ports rest:80", ""),
    ],
)
def test_it_knows_the_protocol_that_it_has_or_would_have(given: str, protocol: str) -> None:
    found = direct_url(subject(DUBBO, given.splitlines()), DUBBO)
    assert found is not None
    assert found.protocol == protocol


def test_every_protocol_that_is_exported_has_its_advice_once_however_many_interfaces_have_it() -> None:
    assert set(TEXTS) == {protocol for protocols in FAMILIES.values() for protocol in protocols}
    found = advice(["tri", "dubbo", "tri", "rest", ""])
    assert [(each.protocol, each.interfaces) for each in found] == [("dubbo", 1), ("tri", 2)]


def test_dubbo_calls_on_when_the_connection_breaks_and_sofarpc_needs_no_word_for_it() -> None:
    assert CALLS_ON[DUBBO] == {"cluster.availablecheck": "false", "send.reconnect": "true"}
    assert not CALLS_ON[SOFA]
