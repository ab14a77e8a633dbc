"""Put a measure and its resamples together: a value, an interval, or why there is none."""

import math

from pipeline.analysis.agreement import Array
from pipeline.analysis.bootstrap import percentile_interval
from pipeline.analysis.results import NO_INTERVAL, Estimate

_TOO_LARGE = "the numbers are too large"


def estimate(value: float, samples: Array, reason: str = "", *, complete: bool) -> Estimate:
    """Return a value and its interval, or why there is none.

    Args:
        value: the measure in all coded posts.
        samples: its values in all resamples.
        reason: why it is not defined; empty where it is.
        complete: whether every post of the population was coded, so that nothing is uncertain.
    """
    if reason or not math.isfinite(value):
        return Estimate(value=None, reason=reason or _TOO_LARGE)
    interval, why = percentile_interval(samples)
    if interval and interval[0] == interval[1] and not complete:
        return Estimate(value=value, reason=NO_INTERVAL)
    return Estimate(value=value, interval=interval, reason=why)
