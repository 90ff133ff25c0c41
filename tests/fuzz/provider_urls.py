"""Znode names nobody should write: whatever a leaf is called, it is read or rejected with FormatError.

``python -m tests.fuzz.provider_urls --seconds 30 --seed 7`` mutates the leaves of captured registries. What is read is
held to the promises of the model, and to what the same URL says when it is not encoded. A failure prints the leaf; the
same seed finds it again.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from urllib.parse import quote_plus, unquote_plus

from soadns.model import Override, Provider
from soadns.sources import FormatError, dubbo, providerurl, sofa
from tests import captured
from tests.fuzz.running import Outcome, main, run_for

LONGEST_S = 0.25
"""Processor time that one leaf may take, the longest included."""
DIALECTS = (dubbo, sofa)
PIECES = (
    "%", "%2", "%25", "%00", "%0A", "%3A%2F%2F", "://", "%40", "@", ":", "%3A", "[", "]", "%5B", "%5D", "?", "%3F",
    "#", "%23", ";", "%3B", "&", "%26", "=", "%3D", "+", "/", "..", "%E6%94%AF", "%FF", "\u652f", "\udcff", "0",
    "65536", "-1", "fe80::1%252", "::ffff:10.0.0.1", "localhost", "0.0.0.0", "127.1", "default.", "token%3Dx",
    "timestamp%3D1", "group%3D", "version%3D0.0.0", "disabled%3Dtrue", "enabled%3Dfalse", "dynamic%3Dfalse",
    "token%3DN%2FA", "side%3Dconsumer", "ext.protocol%3Dtri%2Crest", "language%3Dnodejs", "uniqueId%3Dundefined",
    "providerAddresses%3D", "release%3D3.3", "category%3Dconfigurators", "methods%3D*", "a.timeout%3D1",
)  # fmt: skip


Read = tuple[Provider | Override, ...]


def read(dialect: ModuleType, category: str, leaf: str) -> Read | FormatError:
    """What becomes of a leaf; any other error is a failure."""
    try:
        found: Read = dialect.parse("zookeeper/main/dubbo", "com.x.A", category, leaf)
    except FormatError as error:
        return error
    return found


def examine(dialect: ModuleType, category: str, leaf: str) -> str:
    """What became of a leaf. Raises AssertionError where that breaks a promise."""
    said = read(dialect, category, leaf)
    again = read(dialect, category, leaf)
    if isinstance(said, FormatError):
        assert said.reason in providerurl.REASONS
        assert 0 < len(said.detail) <= 300
        assert isinstance(again, FormatError)
        assert str(said) == str(again)
    else:
        assert said == again, "caches change nothing"
        for value in said:
            _promises(value)
    # What is read of an encoded name is what its plain spelling says. (The shortcuts are for encoded names.)
    plain = unquote_plus(leaf)
    well_made = leaf.isascii() and quote_plus(plain, safe="*") == leaf
    if well_made and "://" in plain and len(leaf) <= providerurl.MAX_LEAF:
        other = read(dialect, category, plain)
        assert type(said) is type(other), (said, other)
        assert said == other if not isinstance(said, FormatError) else str(said) == str(other), (said, other)
    return said.reason if isinstance(said, FormatError) else f"{len(said)} read"


def _promises(value: Provider | Override) -> None:
    assert 0 <= value.port < 65_536
    assert value.host == value.host.lower()
    assert len(value.application) <= providerurl.MAX_TEXT
    if isinstance(value, Override):
        return
    assert value.port
    assert value.host
    assert value.protocol == value.protocol.lower()
    assert value.interface.name == "com.x.A"
    assert value.interface.version != "0.0.0"
    for text in (*value.interface, value.path, value.application):
        assert len(text) <= providerurl.MAX_TEXT
        assert text.isprintable()
    assert len(value.settings) <= providerurl.MAX_SETTINGS
    assert list(value.settings) == sorted(value.settings)
    assert value.timestamp >= 0


# --------------------------------------------------------------------------- leaves


def seeds() -> list[tuple[str, str]]:
    """(category, leaf) of captured registries, and leaves as long and as tangled as they get."""
    found = list(dict.fromkeys((category, leaf) for _, _, category, leaf in captured.leaves()))
    head = "dubbo%3A%2F%2F10.0.0.1%3A20880%2Fcom.x.A%3F"
    fillings = (
        "a%3Db%26",
        "a.timeout%3D1%26",
        "%26",
        "%3B",
        "a",
        "default.",
        "%25",
        ".",
        "%2C",
        "methods%3D%26",
    )
    room = providerurl.MAX_LEAF - len(head)
    found += [("providers", head + filling * (room // len(filling))) for filling in fillings]
    found.append(("providers", "dubbo%3A%2F%2F" + "a.-" * 20_000 + "%3A1%2F"))
    found.append(("providers", "dubbo%3A%2F%2F" + "%3A" * 20_000))
    found.append(
        (
            "configurators",
            "override%3A%2F%2F0.0.0.0%2FA%3Fdisabled%3Dtrue%26providerAddresses%3D" + "1%2C" * 9_000,
        )
    )
    return found


def _delete(rng: random.Random, leaf: str) -> str:
    at = rng.randrange(len(leaf) + 1)
    return leaf[:at] + leaf[at + rng.choice((1, 1, 2, 3, 20)) :]


def _insert(rng: random.Random, leaf: str) -> str:
    at = rng.randrange(len(leaf) + 1)
    return leaf[:at] + rng.choice(PIECES) + leaf[at:]


def _parameter(rng: random.Random, leaf: str) -> str:
    items = leaf.split("%26")
    items.insert(rng.randrange(len(items) + 1), rng.choice(PIECES) + rng.choice(("", *items[-1:])))
    return "%26".join(items)


def _repeat(rng: random.Random, leaf: str) -> str:
    at = rng.randrange(len(leaf) + 1)
    piece = leaf[at : at + rng.randrange(1, 40)]
    return leaf[:at] + piece * rng.choice((1, 2, 8, 64)) + leaf[at:]


def _any_character(rng: random.Random, leaf: str) -> str:
    at = rng.randrange(len(leaf) + 1)
    return leaf[:at] + chr(rng.choice((rng.randrange(128), rng.randrange(0x110000)))) + leaf[at + 1 :]


def _cut(rng: random.Random, leaf: str) -> str:
    return leaf[: rng.randrange(len(leaf) + 1)]


def _spelling(rng: random.Random, leaf: str) -> str:
    return rng.choice((unquote_plus, quote_plus, str.lower, str.upper))(leaf.replace("\udcff", ""))


MUTATIONS: tuple[Callable[[random.Random, str], str], ...] = (
    _delete, _insert, _insert, _parameter, _parameter, _repeat, _any_character, _cut, _spelling,
)  # fmt: skip


def leaves(rng: random.Random) -> Iterator[tuple[ModuleType, str, str]]:
    """Leaves without end, each with a dialect and a category: first those that are known, then mutants."""
    for category, leaf in seeds():
        yield from ((dialect, category, leaf) for dialect in DIALECTS)
    yield from mutants(rng)


def mutants(rng: random.Random) -> Iterator[tuple[ModuleType, str, str]]:
    """Mutants of known leaves without end."""
    known = seeds()
    while True:
        category, leaf = rng.choice(known)
        for _ in range(rng.choice((1, 1, 2, 3, 6))):
            leaf = rng.choice(MUTATIONS)(rng, _without_surrogates(leaf))
        yield rng.choice(DIALECTS), category, leaf


def _without_surrogates(leaf: str) -> str:
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in leaf)


# --------------------------------------------------------------------------- the loop


def attempt(leaf: tuple[ModuleType, str, str]) -> tuple[list[str], float]:
    """What became of a leaf, and the processor time it took."""
    before = time.process_time()
    became = examine(*leaf)
    taken = time.process_time() - before
    assert taken < LONGEST_S, f"it took {taken:.3f} s"
    return [became], taken


def show(leaf: tuple[ModuleType, str, str]) -> str:
    """A leaf as it is found again."""
    dialect, category, text = leaf
    return f"{dialect.__name__.rpartition('.')[2]}, {category}, {text[:2000]!r}"


def run(seconds: float, seed: int) -> Outcome:
    """Try leaves for some time. Raises AssertionError with the leaf that fails."""
    return run_for(seconds, seed, leaves(random.Random(seed)), attempt, show)


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
