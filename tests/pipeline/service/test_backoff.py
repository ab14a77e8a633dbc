"""How long a request waits before it is sent again, alone and while others are answered."""

import pytest

from pipeline.service.backoff import ISOLATED, wait_s
from pipeline.service.service import RequestPolicy

POLICY = RequestPolicy(first_wait_s=0.5, longest_wait_s=30.0)


@pytest.mark.parametrize(
    ("others_pass", "longest"),
    [(False, [0.5, 2.0, 8.0, 30.0, 30.0]), (True, [0.25, 0.5, 1.0, 2.0, 30.0])],
)
def test_isolated_faults_are_retried_soon_and_outages_are_waited_out(
    others_pass: bool, longest: list[float]
) -> None:
    for failures, most_s in enumerate(longest, start=1):
        waits = [wait_s(POLICY, failures, others_pass=others_pass) for _ in range(50)]
        assert most_s / 2 <= min(waits)
        assert max(waits) <= most_s
        assert len(set(waits)) > 1, "requests that failed together do not come back together"


def test_a_time_that_the_service_names_is_kept_though_others_pass() -> None:
    assert wait_s(POLICY, 1, 7.0, others_pass=True) == 7.0
    assert wait_s(POLICY, ISOLATED, 1.5, others_pass=True) == 1.5
    assert wait_s(POLICY, ISOLATED + 2, 1.0, others_pass=True) >= 15.0
