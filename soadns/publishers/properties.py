"""Direct URLs in the forms that Java applications read, as ``java.util.Properties`` loads them; and read again. Pure.

The text is ASCII, so that it is the same in ISO-8859-1, which ``Properties.load`` expects of a file, and in UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RESOLVE, CONFIG_CENTER, SOFA = "resolve", "config-center", "sofa"
FORMATS: Mapping[str, str] = {RESOLVE: "dubbo", CONFIG_CENTER: "dubbo", SOFA: "sofa"}
"""Name of a form → the family of its URLs (``soadns.publishers.directurls``)."""

_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f"}
_IN_KEYS = frozenset(" :=#!\\")


_LEFT_OUT = re.compile(r"# (\S+): not safe to board: ")
_NAMED_THOUGH = re.compile(r"# (\S+): named, though not safe to board: ")
_REFERENCE = re.compile(r"dubbo\.reference\.(.+)\.url")
_TOKEN = re.compile(r"(?<=[?&]token=)[^&;]*")
_KEY = re.compile(r"(?:[^\\=: \t\f]|\\.)*", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Line:
    """What a file of direct URLs says of one interface."""

    key: str
    """``[group/]name``."""
    url: str
    """``''`` where it was left out, as a comment of ours says."""
    named: bool = False
    """Whether it stands there though it was not safe to board."""


def read(text: str) -> list[Line]:
    """What ``lines`` wrote, in any of its forms, and somebody may have edited; other properties are passed over."""
    found: dict[str, Line] = {}
    named: set[str] = set()
    for line in _logical(text):
        if line.startswith("#"):
            if match := _LEFT_OUT.match(line):
                name = _unescaped(match[1])
                found.setdefault(name, Line(name, ""))
            elif match := _NAMED_THOUGH.match(line):
                named.add(_unescaped(match[1]))
            continue
        name, url = _parted(line)
        reference = _REFERENCE.fullmatch(name)
        if "://" in url and (reference or not name.startswith("dubbo.")):
            name = reference[1] if reference else name
            found[name] = Line(name, url, named=name in named)
    return list(found.values())


def _logical(text: str) -> Iterator[str]:
    """Lines as ``Properties.load`` has them: a backslash at the end leads on, unless in a comment."""
    begun = ""
    for natural in re.split(r"\r\n|\r|\n", text):
        bare = natural.lstrip(" \t\f")
        if not begun and bare.startswith(("#", "!")):
            yield bare
            continue
        begun += bare
        if (len(begun) - len(begun.rstrip("\\"))) % 2:
            begun = begun[:-1]
            continue
        if begun:
            yield begun
        begun = ""
    if begun:
        yield begun


def _parted(line: str) -> tuple[str, str]:
    """Name and value."""
    match = _KEY.match(line)
    end = match.end() if match is not None else 0
    rest = line[end:].lstrip(" \t\f")
    if rest.startswith(("=", ":")):
        rest = rest[1:].lstrip(" \t\f")
    return _unescaped(line[:end]), _unescaped(rest)


def _unescaped(text: str) -> str:
    """Escapes as Java has them; half a surrogate pair is replaced."""
    named = {short[1]: char for char, short in _NAMED.items()}

    def char(match: re.Match[str]) -> str:
        return chr(int(match[1], 16)) if match[1] else named.get(match[2], match[2])

    return _ESCAPE.sub(char, text).encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")


def key(text: str) -> str:
    r"""A property's name: blanks, ``:``, ``=``, ``#``, ``!`` and ``\`` would end or begin something else."""
    return "".join(f"\\{char}" if char in _IN_KEYS else _ascii(char) for char in text)


def value(text: str) -> str:
    r"""A property's value: ``\`` is doubled, and a blank at the beginning would be skipped."""
    escaped = "".join("\\\\" if char == "\\" else _ascii(char) for char in text)
    return f"\\{escaped}" if escaped.startswith(" ") else escaped


def comment(text: str) -> str:
    """A line that says something to people."""
    return f"# {''.join(' ' if char in _NAMED else _ascii(char) for char in text)}"


def _ascii(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    if " " <= char <= "~":
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02X}{units[i + 1]:02X}" for i in range(0, len(units), 2))


def lines(
    rows: Sequence[Mapping[str, Any]], form: str, *, application: str = "", roots: Sequence[str] = ()
) -> Iterator[str]:
    """The file, line by line: what may be called by name, and in comments what is left out and why.

    ``rows`` have the shape of ``GET /v1/directurls`` (``docs/http.md``); ``application`` is the one that it is for,
    ``''`` for everyone's; ``roots`` are the registries' in ZooKeeper.
    """
    written = [row for row in rows if row["exported"]]
    whose = f"the application {application}" if application else "every application that reads this"
    count = "1 interface" if len(written) == 1 else f"{len(written)} interfaces"
    yield comment(f"Direct URLs of {count}, for {whose}.")
    yield comment(_where(form, application, roots))
    for row in rows:
        for why in row["why"]:
            verdict = "named, though not safe to board" if row["exported"] else "not safe to board"
            yield comment(f"{row['key']}: {verdict}: {why}")
        if row["exported"]:
            name = f"dubbo.reference.{row['key']}.url" if form == CONFIG_CENTER else row["key"]
            yield f"{key(name)}={value(row['url'])}"


def token(url: str) -> str:
    """The token that a URL carries, a secret; ``''`` for none."""
    found = _TOKEN.search(url)
    return found[0] if found is not None else ""


def masked(url: str) -> str:
    """A URL as people may see it."""
    return _TOKEN.sub("***", url)


def changes(before: Sequence[Line], rows: Sequence[Mapping[str, Any]], path: str) -> list[str]:
    """What is otherwise than in the file ``path`` that is to be followed, one line each; what is new is not told."""
    found = {row["key"]: row for row in rows}
    told = []
    for line in (line for line in before if line.url):
        row = found.get(line.key)
        if row is None or not row["exported"]:
            why = "; ".join(row["why"]) if row is not None else "nothing is known of it"
            told.append(f"{line.key}: it was in {path}, and is left out now: {why}")
        elif row["url"] != line.url:
            told.append(f"{line.key}: in {path} it was {masked(line.url)}")
    return told


def _where(form: str, application: str, roots: Sequence[str]) -> str:
    if form == CONFIG_CENTER:
        # A registry with a group of its own is the configuration centre of that name, and everyone's group in it.
        nodes = [
            f"{root}/config/{application or root.strip('/')}/dubbo.properties" for root in roots or ["/dubbo"]
        ]
        return f"To be added to what {' and '.join(nodes)} holds in ZooKeeper (Dubbo 2.7 and later)."
    if form == SOFA:
        return "directUrl of each ConsumerConfig, or of @SofaReferenceBinding by a placeholder."
    return (
        "dubbo-resolve.properties: -Ddubbo.resolve.file=FILE, or this name in the home directory of the user."
    )
