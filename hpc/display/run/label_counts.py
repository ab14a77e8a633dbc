"""Describe how many posts of a run got a label, and why others got none. Pure."""

from hpc.run.run_state import LabelCounts
from pipeline.model import UNSENT
from pipeline.run_files.reason_counts import UNSPECIFIED

_CHECK_SOURCE = "nothing was sent: check backlog.columns and backlog.min_text_length"
_CHECK_SERVICE = "check the configuration and the service (classifier.keep_raw keeps its answers)"


def describe_labeled(labels: LabelCounts) -> str:
    """Return how many posts are labeled, such as `, 12 labeled`; nothing if all may be."""
    return f", {labels.labeled:,} labeled" if labels.unlabelable else ""


def describe_reasons(labels: LabelCounts) -> list[str]:
    """Return a line with the number of posts without a label, by reason, if there are any."""
    return [f"without a label: {_by_reason(labels)}"] if labels.unlabelable else []


def describe_no_label(labels: LabelCounts) -> str:
    """Return what to do about a complete run in which no post got a label."""
    reason = next(iter(labels.unlabelable))
    advice = _CHECK_SOURCE if labels.unlabelable.keys() <= {*UNSENT} else _CHECK_SERVICE
    word = "REASON" if reason == UNSPECIFIED else reason
    return (
        f"no post got a label: {_by_reason(labels)}\n{advice}. Then label the posts again with "
        f"hpc submit --config FILE --retry-unlabelable {word}, or hpc "
        "submit --config FILE --supersede if the configuration changes"
    )


def _by_reason(labels: LabelCounts) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in labels.unlabelable.items())
