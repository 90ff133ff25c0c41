"""YAML text to plain Python objects, and back: the one door to ``yaml``.

Owns how values are built from YAML's events and the shape of its errors. It knows nothing of what the
documents mean and opens no file, so that configuration and static sources report a broken file alike: its
name, the line, what is wrong there.

Invariant: any text either gives the list of its documents or raises :class:`YamlError`, nothing else. Values
are those of JSON (``None``, ``bool``, ``int``, ``float``, ``str``, ``list``, ``dict`` with text keys):
timestamps stay text as in the Kubernetes API, a key appears once per mapping, depth is bounded, aliases can
not blow up memory. That is why values are built here from events: PyYAML's C composer recurses without limit
(a few hundred kB of ``[`` end the process) and its constructors know more types than manifests may hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it (several times faster), else the pure Python loader."""

MAX_DEPTH = 100
"""Nesting of a document. Manifests reach about 15; beyond this it is an accident or an attack."""

_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"

MAX_REPEATED = 100_000
"""Nodes of a document that exist only because an alias repeats them. A few nested aliases expand to gigabytes
when something walks the result (the "billion laughs")."""


class YamlError(ValueError):
    """The text is no YAML that can be used.

    ``where`` names the file, ``line`` counts from 1 (0 when unknown), ``problem`` says what is wrong there.
    """

    def __init__(self, where: str, line: int, problem: str) -> None:
        at = f"{where} line {line}" if line else where
        super().__init__(f"{at}: {problem}")
        self.where = where
        self.line = line
        self.problem = problem


class Document(NamedTuple):
    """One document of a text."""

    value: object
    line: int
    """Where its content begins, from 1."""


def load_all(text: str | bytes, *, where: str) -> list[object]:
    """Values of all documents of the text, without empty ones.

    :raises YamlError: as ``documents``.
    """
    return [document.value for document in documents(text, where=where)]


def documents(text: str | bytes, *, where: str) -> list[Document]:
    """All documents of the text, without empty ones.

    :raises YamlError: when the text is not UTF-8, not YAML or not JSON-like.
    """
    try:
        encoded = text.encode() if isinstance(text, str) else text
        decoded = encoded.decode()
    except UnicodeError as error:
        before = (
            error.object[: error.start] if isinstance(error, UnicodeDecodeError | UnicodeEncodeError) else b""
        )
        line = before.count("\n") if isinstance(before, str) else before.count(b"\n")
        raise YamlError(where, line + 1, "the text is not UTF-8") from None
    try:
        return list(_Reader(decoded).documents())
    except _RefusedError as error:
        raise YamlError(where, error.line, str(error)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = ", ".join(str(part) for part in (error.problem, error.context) if part)
        if "nesting depth" in problem:  # newer libyaml counts flow collections itself, before we see them
            problem = _TOO_DEEP
        raise YamlError(where, mark.line + 1 if mark else 0, problem or "not YAML") from None
    except yaml.reader.ReaderError as error:
        line = decoded.count("\n", 0, error.position) + 1
        raise YamlError(where, line, f"a character is not allowed in YAML ({error.reason})") from None


# --------------------------------------------------------------------------- building values


class _RefusedError(Exception):
    """Well-formed YAML that is not JSON-like; the message is for people."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


class _Node(NamedTuple):
    value: Any
    line: int
    """From 1."""
    size: int
    """Nodes in it with its aliases written out."""


class _Reader:
    """Recursive descent over the event stream of one text."""

    def __init__(self, text: str) -> None:
        self._loader = _Loader(text)
        self._anchors: dict[str, _Node | None] = {}
        self._repeated = 0

    def documents(self) -> Iterator[Document]:
        loader = self._loader
        try:
            loader.get_event()  # StreamStart
            while not loader.check_event(yaml.StreamEndEvent):
                loader.get_event()  # DocumentStart
                self._anchors.clear()
                self._repeated = 0
                node = self._node(loader.get_event(), 0)
                loader.get_event()  # DocumentEnd
                if node.value is not None:
                    yield Document(node.value, node.line)
        finally:
            loader.dispose()

    def _node(self, event: Any, depth: int) -> _Node:
        line = event.start_mark.line + 1
        if depth > MAX_DEPTH:
            raise _RefusedError(line, _TOO_DEEP)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), line)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = _Node(self._scalar(event, line), line, 1)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, line, depth)
        else:
            node = self._mapping(event, line, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, name: str, line: int) -> _Node:
        if name not in self._anchors:
            raise _RefusedError(line, f"*{name} refers to an anchor &{name} that does not exist above")
        node = self._anchors[name]
        if node is None:
            raise _RefusedError(line, f"*{name} refers to a value that contains it")
        self._repeated += node.size
        if self._repeated > MAX_REPEATED:
            raise _RefusedError(line, f"aliases repeat more than {MAX_REPEATED} values")
        return node

    def _scalar(self, event: Any, line: int) -> object:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        kind = tag.removeprefix("tag:yaml.org,2002:")
        if kind in _TEXT_TAGS:
            return event.value
        convert = _SCALARS.get(kind)
        if convert is None:
            raise _RefusedError(line, f"the tag {tag} is not allowed here")
        try:
            return convert(event.value)
        except (ValueError, KeyError, OverflowError):
            raise _RefusedError(
                line, f"{event.value[:40]!r} is no valid {kind}; quote it if it is text"
            ) from None

    def _sequence(self, event: Any, line: int, depth: int) -> _Node:
        self._check_tag(event, "seq", line)
        values: list[Any] = []
        size = 1
        while not isinstance(item := self._loader.get_event(), yaml.SequenceEndEvent):
            node = self._node(item, depth + 1)
            values.append(node.value)
            size += node.size
        return _Node(values, line, size)

    def _mapping(self, event: Any, line: int, depth: int) -> _Node:
        self._check_tag(event, "map", line)
        values: dict[str, Any] = {}
        merged: list[_Node] = []
        size = 1
        while not isinstance(key := self._loader.get_event(), yaml.MappingEndEvent):
            at = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarEvent):
                raise _RefusedError(at, "a key must be plain text")
            node = self._node(self._loader.get_event(), depth + 1)
            size += node.size + 1
            if key.value == "<<" and key.implicit[0]:
                merged.append(node)
            elif key.value in values:
                raise _RefusedError(at, f"the key {key.value[:80]!r} appears twice in one mapping")
            else:
                values[key.value] = node.value
        for node in merged:
            self._merge(node, values)
        return _Node(values, line, size)

    def _merge(self, node: _Node, values: dict[str, Any]) -> None:
        """``<<: *anchor`` or a list of them: keys of the mapping itself win, then the earlier ones."""
        sources = node.value if isinstance(node.value, list) else [node.value]
        for source in sources:
            if not isinstance(source, dict):
                raise _RefusedError(node.line, "<< needs a mapping or a list of mappings")
            for key, value in source.items():
                values.setdefault(key, value)

    def _check_tag(self, event: Any, kind: str, line: int) -> None:
        if event.tag not in (None, "!", f"tag:yaml.org,2002:{kind}"):
            raise _RefusedError(line, f"the tag {event.tag} is not allowed here")


def _integer(text: str) -> int:
    """Integers as the Kubernetes tools read them: 0x, 0o, 0b and old octal; YAML 1.1's ``1:30`` stays out."""
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if _OLD_OCTAL.fullmatch(digits):
        return sign * int(digits, 8)
    return sign * int(digits, 0)


def _float(text: str) -> float:
    digits = text.replace("_", "").lower()
    special = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
    return float(special.get(digits, digits))


_OLD_OCTAL = re.compile(r"0[0-7]+")
_BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_SCALARS: dict[str, Callable[[str], object]] = {
    "null": lambda _text: None,
    "bool": lambda text: _BOOLEANS[text.lower()],
    "int": _integer,
    "float": _float,
}
_TEXT_TAGS = frozenset({"str", "timestamp", "value", "merge"})


_OTHERWISE = re.compile(
    r"[-+.]*[0-9].*|[-+]?\.+(?:[eE][-+][0-9]+)?"
    r"|[-+.]*(?i:inf|infinity|nan|y|yes|n|no|on|off|true|false|null)|[~=]|<<"
)
"""Text that some reader takes for something else unless it is quoted: numbers in any notation and dates (all that
begins as one may), and the words for numbers, truth and nothing. YAML 1.1 and 1.2 do not agree on these, and readers
keep to neither: to kubectl ``7e10`` is a number and ``y`` is true, to PyYAML both are text."""
_BREAKS = re.compile("[\x85\u2028\u2029\ufeff]")
"""Ends of lines in YAML 1.1 and letters in 1.2, and a byte order mark: written as escapes."""


class _Dumper(yaml.SafeDumper):
    """Text is quoted wherever a reader may take it for anything else."""


def _quoted(dumper: _Dumper, text: str) -> Any:
    style = '"' if _BREAKS.search(text) else "'" if _OTHERWISE.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted)


def dump(value: object) -> str:
    """JSON-like values as YAML text, keys in their order. Whoever reads it, by YAML 1.1 or 1.2, reads the same."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    return text


def dump_all(values: Sequence[object]) -> str:
    """The same, each value as a document of its own."""
    return "".join(f"---\n{dump(value)}" for value in values)
