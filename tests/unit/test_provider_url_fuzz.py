"""A second of what ``python -m tests.fuzz.provider_urls`` and ``tests.fuzz.annotations`` do for longer."""

from __future__ import annotations

import random
from itertools import islice
from types import ModuleType

from hypothesis import given
from hypothesis import strategies as st

from soadns.sources import dubbo, sofa
from tests.fuzz import annotations, provider_urls


def test_mutants_of_captured_leaves_are_read_or_rejected_with_the_documented_error() -> None:
    fates = {
        provider_urls.examine(dialect, category, leaf)
        for dialect, category, leaf in islice(provider_urls.mutants(random.Random(3)), 1_000)
    }
    assert {"0 read", "1 read", "bad-encoding", "bad-host", "bad-port", "too-long", "unusable-host"} <= fates


@given(st.sampled_from([dubbo, sofa]), st.sampled_from(dubbo.CATEGORIES), st.text())
def test_any_text_is_read_or_rejected_with_the_documented_error(
    dialect: ModuleType, category: str, text: str
) -> None:
    provider_urls.examine(dialect, category, f"dubbo%3A%2F%2F{text}")
    provider_urls.examine(dialect, category, f"dubbo://10.0.0.1:20880/com.x.A?{text}")


def test_mutants_of_annotations_are_values_or_none_with_a_sentence() -> None:
    known = annotations.services(random.Random(3))
    fates = {fate for each in islice(known, 5) for fate in annotations.examine(each)}
    mutants = (each for each in islice(known, 1_500) if sum(map(len, each.values())) < 10_000)
    fates |= {fate for each in mutants for fate in annotations.examine(each)}
    assert fates == {
        f"{key} {fate}"
        for key in ("application", "interfaces", "traffic", "balancing", "moves")
        for fate in ("read", "malformed")
    }


@given(st.dictionaries(st.sampled_from(annotations.KEYS), st.text()))
def test_any_annotations_are_values_or_none_with_a_sentence(given_annotations: dict[str, str]) -> None:
    annotations.examine(given_annotations)
