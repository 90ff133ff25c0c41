"""Nothing of a leaf that may be a secret is shown, whatever is wrong with the leaf."""

from __future__ import annotations

import time
from types import ModuleType
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.model import Provider
from soadns.sources import FormatError, dubbo, sofa
from soadns.sources.providerurl import masked, without_secrets

SHOWN = """
dubbo://10.0.0.1:x/com.x.A?token=s3cr3t                      | dubbo://10.0.0.1:x/com.x.A
dubbo%3A%2F%2F10.0.0.1%3Ax%2Fcom.x.A%3Ftoken%3Ds3cr3t        | dubbo%3A%2F%2F10.0.0.1%3Ax%2Fcom.x.A
dubbo%3A%2F%2Fadmin%3As3cr3t%4010.0.0.1%2Fcom.x.A            | dubbo%3A%2F%2F10.0.0.1%2Fcom.x.A
dubbo://admin:s3cr3t@10.0.0.1/com.x.A                        | dubbo://10.0.0.1/com.x.A
dubbo%253A%252F%252Fu%253As3cr3t%254010.0.0.1%253Ftoken%253D | dubbo%253A%252F%252F10.0.0.1
dubbo://10.0.0.1/com.x.A&token=s3cr3t                        | dubbo://10.0.0.1/com.x.A
dubbo://10.0.0.1/com.x.A;token=s3cr3t                        | dubbo://10.0.0.1/com.x.A
dubbo://u:s3cr3t@s3cr3t@10.0.0.1/com.x.A                     | dubbo://10.0.0.1/com.x.A
"""

MASKED = """
dubbo://10.0.0.1:1/A?group=g&token=s3cr3t&version=1     | dubbo://10.0.0.1:1/A?group=g&token=***&version=1
dubbo%3A%2F%2Fh%3A1%3Ftoken%3Ds%203cr3t%26a%3Db         | dubbo%3A%2F%2Fh%3A1%3Ftoken%3D***%26a%3Db
dubbo%3a%2f%2fh%3a1%3fdefault.token%3ds3cr3t            | dubbo%3a%2f%2fh%3a1%3fdefault.token%3d***
dubbo://u:s3cr3t@h:1/A?registry.password=s3cr3t;a=b     | dubbo://h:1/A?registry.password=***;a=b
dubbo://h:1/A?group=g                                   | dubbo://h:1/A?group=g
"""

LEAVES = """
dubbo://10.0.0.1:1/com.x.A?token=s3cr3t&timestamp=1
dubbo://10.0.0.1:1/com.x.A?application=a&token=s3cr3t&token=s3cr3t&timestamp=1
dubbo://10.0.0.1:1/com.x.A?application=a&default.token=s3cr3t
dubbo://admin:s3cr3t@10.0.0.1:1/com.x.A?application=a
dubbo://10.0.0.1:1/com.x.A?application=a&username=u&password=s3cr3t
dubbo://10.0.0.1:s3cr3t/com.x.A
dubbo://admin:s3cr3t@10.0.0.1/com.x.A
dubbo://admin:s3cr3t/s3cr3t@10.0.0.1:1/com.x.A
dubbo://admin:s3cr3t?s3cr3t@10.0.0.1:1/com.x.A
dubbo://admin:s3:s3cr3t?s3cr3t@10.0.0.1:1/com.x.A
dubbo://[s3cr3t@10.0.0.1:1/com.x.A
dubbo://10.0.0.1:1/com.x.A?token=%s3cr3t
dubbo://localhost:1/com.x.A?token=s3cr3t
bolt://10.0.0.1:1?version=1.0&uniqueId=&token=s3cr3t
bolt://10.0.0.1:x?version=1.0&uniqueId=&password=s3cr3t
"""


@pytest.mark.parametrize("dialect", [dubbo, sofa], ids=["dubbo", "sofa"])
@pytest.mark.parametrize("url", LEAVES.strip().splitlines())
def test_no_secret_of_a_leaf_is_in_a_provider_a_rejection_or_a_cache(url: str, dialect: ModuleType) -> None:
    encoded = quote_plus(url) if "%s3" not in url else quote_plus(url).replace("%25s3", "%s3")
    for leaf in (url, encoded, encoded.lower()):
        try:
            (said,) = dialect.parse("zookeeper/main/dubbo", "com.x.A", "providers", leaf)
            assert isinstance(said, Provider)
            assert said.token or dialect is sofa or "token" not in url
        except FormatError as error:
            said = error
        assert "s3cr3t" not in f"{said!r} {said}"


def test_a_token_costs_no_place_in_the_cache_of_queries() -> None:
    known = dubbo._known_offer.cache_info().currsize
    for number in range(10):
        url = f"dubbo://10.0.0.1:1/com.x.A?application=cache-{number}"
        dubbo.parse("r", "com.x.A", "providers", quote_plus(f"{url}&x=y&token%3D{number}"))
        dubbo.parse("r", "com.x.A", "providers", quote_plus(f"{url}&default.token={number}"))
        dubbo.parse("r", "com.x.A", "providers", quote_plus(f"{url}&token={number}").replace("n%3D", "n%3d"))
    assert dubbo._known_offer.cache_info().currsize == known


@pytest.mark.parametrize("row", MASKED.strip().splitlines())
def test_who_asks_for_a_leaf_as_it_is_sees_secrets_masked(row: str) -> None:
    leaf, expected = (cell.strip() for cell in row.split("|"))
    assert masked(leaf) == expected


@pytest.mark.parametrize("text", ["://" * 50_000, "@" * 50_000, "?token" * 50_000, "?token=" * 50_000])
def test_showing_a_leaf_takes_time_in_proportion_to_its_length(text: str) -> None:
    began = time.perf_counter()
    without_secrets(text)
    masked(text)
    assert time.perf_counter() - began < 1.0


@pytest.mark.parametrize("row", SHOWN.strip().splitlines())
def test_parameters_and_credentials_are_cut_off(row: str) -> None:
    leaf, expected = (cell.strip() for cell in row.split("|"))
    assert without_secrets(leaf) == expected


@given(st.text(), st.sampled_from(["?", "%3F", "%3f", "&", "%26", "%253F", ";"]), st.text())
def test_nothing_behind_the_first_separator_is_shown(before: str, mark: str, after: str) -> None:
    shown = without_secrets(f"{before}{mark}token=5ecret{after}")
    assert "5ecret" not in shown.removeprefix(before)
    assert len(shown) <= 300
