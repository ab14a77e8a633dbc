"""Choose how long a request waits before it is sent again. Pure, apart from chance.

A fault while the service answers other requests is an isolated one: the next try mostly succeeds,
and a long wait would keep a whole task waiting for its last posts. The first tries therefore follow
soon. Where nobody is answered, waits grow fast, because outages take long. In both cases the last
tries are as far apart, so that a post is not given up sooner.
"""

import random

from pipeline.service.service import RequestPolicy

ISOLATED = 4
"""How many failures of a request in a row may be isolated faults. Where 7 % of all requests fail,
one of 40,000 posts has four, and one of 600,000 has five."""
_GROWTH, _ISOLATED_GROWTH = 4.0, 2.0
_MOST_FAILURES = 20  # more would overflow a float


def wait_s(
    policy: RequestPolicy,
    failures: int,
    requested_s: float | None = None,
    *,
    longest_s: float | None = None,
    others_pass: bool = False,
) -> float:
    """Return how many seconds to wait after this many failures in a row.

    That is what the service asks for, or more where that did not help the last time.

    Args:
        policy: the waits of the service.
        failures: how often the request has failed in a row.
        requested_s: how many seconds the service asks to wait, if it does.
        longest_s: the longest wait, instead of the policy's.
        others_pass: whether other requests were answered meanwhile.
    """
    if requested_s:
        return max(
            requested_s, wait_s(policy, failures - 1, longest_s=longest_s, others_pass=others_pass)
        )
    if others_pass and failures <= ISOLATED:
        grown_s = policy.first_wait_s / 2 * _ISOLATED_GROWTH ** (failures - 1)
    else:
        grown_s = policy.first_wait_s * _GROWTH ** (min(failures, _MOST_FAILURES) - 1)
    return min(longest_s or policy.longest_wait_s, grown_s) * random.uniform(0.5, 1.0)
