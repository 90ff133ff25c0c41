"""Pages in two languages stay in step: the same sections, blocks, tables and lists, commands, keys, figures, links."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAIRS = [("README.md", "README.zh-CN.md"), ("docs/boarding.md", "docs/boarding.zh-CN.md")]
_LINK = re.compile(r"\[[^\]]*\]\(([^)]*)\)")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")
_COMMENT = re.compile(r"(?:^|(?<=\S) +)# .*")
"""Of a person, in a block of commands or settings that a program reads."""


def pieces(page: str) -> list[str]:
    """A page in pieces that stand between blank lines; a fenced block is one."""
    text = re.sub(r"^(```.*\n(?s:.*?)^```)$", lambda m: m[1].replace("\n\n", "\n\0\n"), page, flags=re.M)
    return [piece.replace("\0\n", "\n") for piece in re.split(r"\n{2,}", text.strip())]


def outline(page: str) -> list[str]:
    """What kind each piece is, as far as languages have that in common."""
    found: list[str] = []
    for piece in pieces(page):
        lines = piece.splitlines()
        if piece.startswith("```"):
            found.append(f"block {lines[0]}")
        elif piece.startswith("#"):
            found.append(f"heading {piece.partition(' ')[0]}")
        elif piece.startswith("<!--"):
            found.append(piece)
        elif piece.startswith("|"):
            found += [f"row of {re.sub('`[^`]*`', '', line).count('|') - 1} columns" for line in lines]
        elif piece.startswith("- "):
            found += ["item" for line in lines if line.startswith("- ")]
        else:
            found.append("paragraph")
    return found


def sections(page: str) -> list[list[str]]:
    """The pieces of each section, the heading first."""
    found: list[list[str]] = [[]]
    for piece in pieces(page):
        if piece.startswith("#"):
            found.append([])
        found[-1].append(piece)
    return found


def code(section: list[str]) -> set[str]:
    """What prose has between backquotes: words of programs, which no language changes."""
    prose = (_LINK.sub("", piece) for piece in section if not piece.startswith("```"))
    return {word for piece in prose for word in re.findall(r"`([^`]+)`", piece)}


def numbers(section: list[str]) -> Counter[str]:
    """The figures of its prose, and how often each is there; small numbers may be words in both."""
    prose = (re.sub(r"`[^`]*`", "", _LINK.sub("", piece)) for piece in section if not piece.startswith("```"))
    return Counter(number for piece in prose for number in _NUMBER.findall(piece))


def targets(section: list[str]) -> Counter[str]:
    """Which pages it leads to; a page in two languages is one. Headings have names of their own in each."""
    found = (target for piece in section for target in _LINK.findall(piece))
    return Counter(target.partition("#")[0].replace(".zh-CN.md", ".md") for target in found)


def program(block: str) -> str:
    """A block without what people say in it: comments behind commands, and a drawing's words."""
    info, *lines = block.splitlines()
    if lines and not info.removeprefix("```") and not lines[0].startswith("$ "):
        return info
    if any(line.startswith("$ ") for line in lines):
        return block  # what is printed is printed in one language
    return "\n".join([info, *(_COMMENT.sub("", line) for line in lines)])


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_a_page_has_the_same_pieces_in_both_languages(english: str, chinese: str) -> None:
    ours, theirs = outline(text(english)), outline(text(chinese))
    for number, (one, other) in enumerate(zip_longest(ours, theirs)):
        assert one == other, f"piece {number}, after {ours[max(0, number - 3) : number]}"


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_its_blocks_are_the_same_but_for_what_people_say_in_them(english: str, chinese: str) -> None:
    both = [[program(p) for p in pieces(text(name)) if p.startswith("```")] for name in (english, chinese)]
    assert both[0] == both[1]


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_each_section_speaks_of_the_same_commands_and_settings(english: str, chinese: str) -> None:
    for ours, theirs in zip(sections(text(english)), sections(text(chinese)), strict=True):
        assert code(ours) == code(theirs), f"{ours[0] if ours else ''} / {theirs[0] if theirs else ''}"


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
@pytest.mark.parametrize("what", [numbers, targets])
def test_each_section_has_the_same_figures_and_links(
    english: str, chinese: str, what: Callable[[list[str]], Counter[str]]
) -> None:
    for ours, theirs in zip(sections(text(english)), sections(text(chinese)), strict=True):
        assert what(ours) == what(theirs), f"{ours[0] if ours else ''} / {theirs[0] if theirs else ''}"


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_each_leads_to_the_other_at_its_top(english: str, chinese: str) -> None:
    assert pieces(text(english))[1] == f"[简体中文]({Path(chinese).name})"
    assert pieces(text(chinese))[1] == f"[English]({Path(english).name})"


MISSING = [
    ("a section", "\n## More\n\nText.\n"),
    ("a block", "\n```sh\n$ soadns list\n```\n"),
    ("an event", "\n<!-- night falls -->\n"),
    ("a paragraph", "\nMore.\n"),
    ("a list", "\n- More.\n"),
]


@pytest.mark.parametrize("added", [text for _, text in MISSING], ids=[what for what, _ in MISSING])
def test_what_one_page_has_and_the_other_has_not_is_found(added: str) -> None:
    page = text("docs/boarding.md")
    assert outline(page + added) != outline(page)


def test_another_command_or_another_line_of_an_answer_is_found() -> None:
    assert program("```sh\nsoadns check  # why\n```") == program("```sh\nsoadns check  # 为什么\n```")
    assert program("```sh\nsoadns check  # why\n```") != program("```sh\nsoadns serve  # why\n```")
    assert program("```sh\n$ x\n# said\n```") != program("```sh\n$ x\n# 说\n```")


def test_another_figure_or_another_page_is_found() -> None:
    assert numbers(["It took 12 to 13 seconds."]) != numbers(["耗时 11 到 13 秒。"])
    assert numbers(["It took 12 to 13 seconds."]) == numbers(["耗时 12 到 13 秒。"])
    assert targets(["[here](docs/boarding.md#top)"]) == targets(["[这里](docs/boarding.zh-CN.md#顶部)"])
    assert targets(["[here](docs/boarding.md)"]) != targets(["[这里](docs/clients.md)"])
