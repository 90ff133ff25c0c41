"""Nothing of a leaf that may be a secret is shown, whatever is wrong with the leaf."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.sources.providerurl import without_secrets

SHOWN = """
dubbo://10.0.0.1:x/com.x.A?token=s3cr3t                      | dubbo://10.0.0.1:x/com.x.A
dubbo%3A%2F%2F10.0.0.1%3Ax%2Fcom.x.A%3Ftoken%3Ds3cr3t        | dubbo%3A%2F%2F10.0.0.1%3Ax%2Fcom.x.A
dubbo%3A%2F%2Fadmin%3As3cr3t%4010.0.0.1%2Fcom.x.A            | dubbo%3A%2F%2F10.0.0.1%2Fcom.x.A
dubbo://admin:s3cr3t@10.0.0.1/com.x.A                        | dubbo://10.0.0.1/com.x.A
dubbo%253A%252F%252Fu%253As3cr3t%254010.0.0.1%253Ftoken%253D | dubbo%253A%252F%252F10.0.0.1
dubbo://10.0.0.1/com.x.A&token=s3cr3t                        | dubbo://10.0.0.1/com.x.A
dubbo://10.0.0.1/com.x.A;token=s3cr3t                        | dubbo://10.0.0.1/com.x.A
"""


@pytest.mark.parametrize("row", SHOWN.strip().splitlines())
def test_parameters_and_credentials_are_cut_off(row: str) -> None:
    leaf, expected = (cell.strip() for cell in row.split("|"))
    assert without_secrets(leaf) == expected


@given(st.text(), st.sampled_from(["?", "%3F", "%3f", "&", "%26", "%253F", ";"]), st.text())
def test_nothing_behind_the_first_separator_is_shown(before: str, mark: str, after: str) -> None:
    shown = without_secrets(f"{before}{mark}token=5ecret{after}")
    assert "5ecret" not in shown.removeprefix(before)
    assert len(shown) <= 300
