"""The configuration file: read, with everything that is wrong with it reported at once, by path; and printed."""

from __future__ import annotations

from pathlib import Path

from soadns import yamlfile
from soadns.settings import consistency
from soadns.settings.config import Config
from soadns.settings.schema import Problem, convert, plain, reference


class ConfigError(Exception):
    """A configuration that can not be used; ``problems`` holds everything that is wrong."""

    def __init__(self, where: str, problems: list[Problem]) -> None:
        self.where = where
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{where}: {len(problems)} problem(s)\n{lines}")


def load(path: str | Path) -> Config:
    """The configuration of a file. Raises ConfigError."""
    return parse(read(path), where=str(path))


def read(path: str | Path) -> bytes:
    """The text of a configuration file. Raises ConfigError."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(str(path), [Problem("", f"can not be read: {error.strerror}")]) from None


def parse(text: bytes | str, *, where: str) -> Config:
    """The configuration of a file's text. Raises ConfigError."""
    try:
        documents = yamlfile.load_all(text, where=where)
    except yamlfile.YamlError as error:
        raise ConfigError(where, [Problem(f"line {error.line}", error.problem)]) from None
    if len(documents) > 1:
        raise ConfigError(where, [Problem("", "one YAML document is expected")])
    problems: list[Problem] = []
    config = convert(documents[0] if documents else {}, Config, "", problems)
    if config is not None:
        named = {problem.path for problem in problems}
        problems += [problem for problem in consistency.problems(config) if problem.path not in named]
    if problems or config is None:
        raise ConfigError(where, problems)
    return config


def effective(config: Config) -> dict[str, object]:
    """The configuration as plain data with all defaults. It holds no secret: those stand elsewhere."""
    return plain(config)  # type: ignore[no-any-return]


def reference_page() -> str:
    """The documentation of every key, as Markdown; ``docs/configuration.md`` holds the same text."""
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for path, kind, default, doc in reference(Config):
        shown = f"`{default}`" if default not in ("", "none", "required") else default
        lines.append(f"| `{path}` | {kind} | {shown} | {doc} |")
    return "\n".join(lines) + "\n"
