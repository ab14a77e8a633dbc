"""Describe estimates, their intervals and calibration curves. Pure."""

from hpc.report.blocks import Table
from pipeline.analysis.results import CONFIDENCE, NO_INTERVAL, Curve, Estimate, Interval


def estimate_cells(estimate: Estimate) -> tuple[str, str]:
    """Return a value, and its interval or the reason why it has none."""
    value = "-" if estimate.value is None else f"{estimate.value:.3f}"
    interval = interval_text(estimate.interval) if estimate.interval else ""
    reason = "no interval" if estimate.reason == NO_INTERVAL else estimate.reason
    return value, " ".join(filter(None, (interval, reason)))


def interval_text(interval: Interval) -> str:
    """Return an interval as it is shown everywhere."""
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def calibration_table(curve: Curve) -> Table:
    """Return the bins of a calibration curve, a row each."""
    return Table(
        header=("score", "posts", "mean", "share", f"{CONFIDENCE:.0%} interval"),
        rows=tuple(
            (
                f"{bin_.low:.3f} - {bin_.high:.3f}",
                f"{bin_.posts:,}",
                f"{bin_.mean_score:.3f}",
                f"{bin_.share_positive:.3f}",
                interval_text(bin_.interval) if bin_.interval else "-",
            )
            for bin_ in curve.bins
        ),
        right_aligned=frozenset({1, 2, 3}),
        indent=4,
    )
