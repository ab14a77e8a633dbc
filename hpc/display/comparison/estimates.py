"""Describe estimates, their intervals and calibration curves. Pure."""

import re

from hpc.display.blocks import Line, Table
from pipeline.analysis.results import CONFIDENCE, NO_INTERVAL, Curve, Estimate, Interval

WIDTH = 80


def estimate_cells(estimate: Estimate) -> tuple[str, str]:
    """Return a value, and its interval or the reason why it has none."""
    value = "-" if estimate.value is None else f"{estimate.value:z.3f}"
    interval = interval_text(estimate.interval) if estimate.interval else ""
    reason = "no interval" if estimate.reason == NO_INTERVAL else estimate.reason
    return value, " ".join(filter(None, (interval, reason)))


def interval_text(interval: Interval) -> str:
    """Return an interval as it is shown everywhere."""
    return f"[{interval[0]:z.3f}, {interval[1]:z.3f}]"


def calibration_table(curve: Curve) -> Table:
    """Return the bins of a calibration curve, a row each."""
    return Table(
        header=("score", "posts", "mean", "share", f"{CONFIDENCE:.0%} interval"),
        rows=tuple(
            (
                f"{bin_.low:z.3f} - {bin_.high:z.3f}",
                f"{bin_.posts:,}",
                f"{bin_.mean_score:z.3f}",
                f"{bin_.share_positive:z.3f}",
                interval_text(bin_.interval) if bin_.interval else "-",
            )
            for bin_ in curve.bins
        ),
        right_aligned=frozenset({1, 2, 3}),
        indent=4,
    )


def wrap_sentence(text: str) -> list[Line]:
    """Return a sentence as lines that fit 80 columns, with the indent of the first."""
    indent = re.match(" *", text)
    lead = " " * len(indent[0]) if indent else ""
    lines, line = [], lead
    for word in text.split():
        if len(line) > len(lead) and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = f"{lead}  "
        line += word if not line.strip() else f" {word}"
    return [Line(each) for each in (*lines, line)]


def table_width(table: Table) -> int:
    """Return how many characters wide a table is, with two spaces between its columns."""
    columns = zip(table.header, *table.rows, strict=True)
    return table.indent - 2 + sum(max(map(len, column)) + 2 for column in columns)
