"""How a page names times in its sentences."""

from datetime import date

import pytest

from hpc.html_report.facts import Period
from hpc.html_report.wording import in_period


@pytest.mark.parametrize(
    ("period", "words"),
    [
        (Period.DAY, "on 2024-05-06"),
        (Period.WEEK, "in the week of 2024-05-06"),
        (Period.MONTH, "in 2024-05"),
        (Period.YEAR, "in 2024"),
    ],
)
def test_a_period_has_its_preposition(period: Period, words: str) -> None:
    assert in_period(date(2024, 5, 6), period) == words
