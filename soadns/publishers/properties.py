"""Direct URLs in the forms that Java applications read, as ``java.util.Properties`` loads them. Pure.

The text is ASCII, so that it is the same in ISO-8859-1, which ``Properties.load`` expects of a file, and in UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

RESOLVE, CONFIG_CENTER, SOFA = "resolve", "config-center", "sofa"
FORMATS: Mapping[str, str] = {RESOLVE: "dubbo", CONFIG_CENTER: "dubbo", SOFA: "sofa"}
"""Name of a form → the family of its URLs (``soadns.publishers.directurls``)."""

_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f"}
_IN_KEYS = frozenset(" :=#!\\")


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


def lines(rows: Sequence[Mapping[str, Any]], form: str, *, application: str = "") -> Iterator[str]:
    """The file, line by line: what may be called by name, and in comments what is left out and why.

    ``rows`` have the shape of ``GET /v1/directurls`` (``docs/http.md``); ``application`` is the one that it is for,
    ``''`` for everyone's.
    """
    written = [row for row in rows if row["exported"]]
    whose = f"the application {application}" if application else "every application that reads this"
    count = "1 interface" if len(written) == 1 else f"{len(written)} interfaces"
    yield comment(f"Direct URLs of {count}, for {whose}.")
    yield comment(_where(form, application))
    for row in rows:
        for why in row["why"]:
            verdict = "named, though not safe to board" if row["exported"] else "not safe to board"
            yield comment(f"{row['key']}: {verdict}: {why}")
        if row["exported"]:
            name = f"dubbo.reference.{row['key']}.url" if form == CONFIG_CENTER else row["key"]
            yield f"{key(name)}={value(row['url'])}"


def _where(form: str, application: str) -> str:
    if form == CONFIG_CENTER:
        node = f"/dubbo/config/{application or 'dubbo'}/dubbo.properties"
        return f"To be added to what {node} holds in ZooKeeper (Dubbo 2.7 and later)."
    if form == SOFA:
        return "directUrl of each ConsumerConfig, or of @SofaReferenceBinding by a placeholder."
    return (
        "dubbo-resolve.properties: -Ddubbo.resolve.file=FILE, or this name in the home directory of the user."
    )
