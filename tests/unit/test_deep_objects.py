"""Objects that are nested deeper than a decoder goes cost no other object anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soadns.jsondepth import MAX_DEPTH, cut
from soadns.model import Service
from soadns.sources import FormatError
from soadns.sources.kubeobjects import decode_event, decode_page
from tests.unit.scripted_api import Reply, service
from tests.unit.test_kube_source import Run, in_turn

DEEP = b'{"f:\\"[{":' * 5_000 + b"[]" + b"}" * 5_000


def holding(deep: bytes, name: str, **fields: object) -> bytes:
    """A Service as text, with ``deep`` for each ``"DEEP"``."""
    found = service(name, "3") | fields
    return json.dumps(found).replace('"DEEP"', deep.decode()).encode()


def passed_over(deep: bytes = DEEP) -> bytes:
    """A Service that is nested deep in what is not read."""
    metadata = {"name": "deep", "namespace": "shop", "resourceVersion": "3", "managedFields": ["DEEP"]}
    return holding(deep, "deep", metadata=metadata)


def wrong(deep: bytes = DEEP) -> bytes:
    """A Service that is nested deep in what is read."""
    return holding(deep, "deep", spec={"clusterIPs": "DEEP"})


def text_of_page(*objects: bytes) -> bytes:
    return b'{"metadata":{"resourceVersion":"7","continue":"more"},"items":[%s]}' % b",".join(objects)


@pytest.mark.parametrize("depth", [900, 5_000, 100_000])
def test_an_object_that_is_nested_deep_in_what_is_not_read_is_read(depth: int) -> None:
    deep = passed_over(b"[" * depth + b"]" * depth)
    found = decode_page("Service", text_of_page(holding(b"", "a"), deep, holding(b"", "b")), cluster="home")
    assert [item.key[-1] for item in found.items if isinstance(item.value, Service)] == ["a", "deep", "b"]
    assert (found.version, found.more) == ("7", "more")
    event = decode_event("Service", b'{"type":"MODIFIED","object":%s}' % deep, cluster="home")
    assert event.item is not None
    assert (event.type, event.version, event.item) == ("MODIFIED", "3", found.items[1])


def test_an_object_that_is_nested_deep_in_what_is_read_is_rejected_alone_by_its_name() -> None:
    found = decode_page(
        "Service", text_of_page(holding(b"", "a"), wrong(), holding(b"", "b")), cluster="home"
    )
    assert [(item.key[1:], item.reason) for item in found.items] == [
        (("shop", "a"), ""), (("shop", "deep"), "bad-object"), (("shop", "b"), "")
    ]  # fmt: skip
    event = decode_event("Service", b'{"type":"ADDED","object":%s}' % wrong(), cluster="home")
    assert event.item == found.items[1]


@pytest.mark.parametrize("text", [b"[" * 5_000, b'{"metadata":' * 5_000, b'{"items":' + DEEP[:-1]])
def test_a_list_or_a_line_without_an_end_is_none(text: bytes) -> None:
    with pytest.raises(FormatError):
        decode_page("Service", text, cluster="home")
    with pytest.raises(FormatError):
        decode_event("Service", text, cluster="home")


def test_what_is_cut_is_what_is_too_deep() -> None:
    inside = b'{"a": ["]}\\"", 1, {}], "b": [2]}'
    for depth, kept in ((MAX_DEPTH - 3, inside), (MAX_DEPTH - 2, b'{"a": ["]}\\"", 1, null], "b": [2]}')):
        assert cut(b"[" * depth + inside + b"]" * depth) == b"[" * depth + kept + b"]" * depth
    assert cut(b"[" * MAX_DEPTH + b"[1],{}, 3" + b"]" * MAX_DEPTH) == (
        b"[" * MAX_DEPTH + b"null,null, 3" + b"]" * MAX_DEPTH
    )
    for text in (b"", b"[]", b'"\\', b"]]][", b'{"a": "[[["}'):
        assert cut(text) == text


async def test_a_cluster_with_objects_that_are_nested_deep_is_read(tmp_path: Path) -> None:
    run = Run(
        in_turn(
            Reply(body=text_of_page(holding(b"", "a"), wrong(), passed_over()).replace(b"more", b"")),
            Reply(lines=(b'{"type":"MODIFIED","object":%s}\n' % passed_over(), )),
        )
    )  # fmt: skip
    run.identity = lambda _: Reply(body=DEEP)
    lines = await run.until(lambda lines: "synced" in lines, tmp_path)
    assert [line for line in lines if line != "synced"][:3] == ["+ a", "rejected deep: bad-object", "+ deep"]
    assert not any(line.startswith("trouble") for line in lines)
