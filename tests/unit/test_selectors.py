"""Label selectors, judged as an API server does."""

from __future__ import annotations

import pytest

from soadns.selectors import SelectorError, matches, pairs

FITS = """
selector                          labels                    fits
-                                 -                         yes
-                                 team=pay                  yes
team=pay                          team=pay                  yes
team==pay                         team=pay,tier=a           yes
team=pay                          team=user                 no
team=pay                          -                         no
team = pay , tier = a             team=pay,tier=a           yes
team=pay,tier=a                   team=pay                  no
team!=pay                         team=user                 yes
team!=pay                         -                         yes
team!=pay                         team=pay                  no
team in (pay, user)               team=user                 yes
team in (pay,user)                team=gray                 no
team in (pay)                     -                         no
team notin (pay,user)             team=gray                 yes
team notin (pay,user)             -                         yes
team notin (pay,user)             team=pay                  no
team                              team=                     yes
team                              -                         no
!team                             -                         yes
! team                            team=pay                  no
team=                             team=                     yes
team=                             -                         no
in in (in)                        in=in                     yes
x.example/team in (pay),!old      x.example/team=pay        yes
x.example/team in (pay),!old      x.example/team=pay,old=1  no
"""


@pytest.mark.parametrize("row", FITS.strip().splitlines()[1:])
def test_labels_fit_a_selector(row: str) -> None:
    selector, labels, fits = (cell.strip() for cell in (row[:34], row[34:60], row[60:]))
    held = dict(pair.split("=") for pair in labels.strip("-").split(",") if pair)
    assert matches(selector.strip("-"), held) is (fits == "yes")


NO_SELECTORS = """
a=b=c
a=b,
,a=b
a in b
a in (b
a in (b c)
a notin
=b
!
a>1
a b
-a=b
a=b-
a in ((b))
a//b=c
"""


@pytest.mark.parametrize("text", NO_SELECTORS.strip().splitlines())
def test_what_is_no_selector(text: str) -> None:
    with pytest.raises(SelectorError):
        matches(text, {})


def test_a_zone_takes_pairs_only() -> None:
    assert pairs("team=pay, tier==a") == (("team", "pay"), ("tier", "a"))
    for text in ("team!=pay", "team in (pay,user)", "team", "!team", "team notin (pay)"):
        with pytest.raises(SelectorError):
            pairs(text)
