"""Tell how much memory a task used, as Slurm's accounting and the task itself saw it. Pure."""

LEAST_SAMPLED_S = 60
"""How long a task has to run at least. Slurm samples memory every 30 s by default
(JobAcctGatherFrequency), so a shorter one has a sample from its start at most, before its models
and libraries are loaded."""
SOURCE = "Slurm's accounting"
OWN_COUNT = "the tasks' own count"
"""A task looks at the memory of its processes with every heartbeat and at its end."""


def sampled_peak_mb(max_rss_mb: float | None, elapsed_s: float | None) -> float | None:
    """Return the peak memory of a task in MiB; None where it was not measured.

    Args:
        max_rss_mb: MaxRSS of the accounting; 0 or None without a sample.
        elapsed_s: how long the task ran; None if that is not known.
    """
    return None if is_short(elapsed_s) or not max_rss_mb else max_rss_mb


def peak_mb(
    max_rss_mb: float | None, elapsed_s: float | None, own_mb: float | None
) -> tuple[float | None, str]:
    """Return the peak memory of a task in MiB and who saw it; None where nobody did.

    Both look from time to time and may miss a peak, so the larger one counts.

    Args:
        max_rss_mb: MaxRSS of the accounting; 0 or None without a sample.
        elapsed_s: how long the task ran; None if that is not known.
        own_mb: the most that the task saw itself; None if it said nothing.
    """
    sampled = sampled_peak_mb(max_rss_mb, elapsed_s)
    if own_mb and own_mb > (sampled or 0.0):
        return own_mb, OWN_COUNT
    return sampled, SOURCE


def is_short(elapsed_s: float | None) -> bool:
    """Tell whether a task was over before Slurm had sampled its memory often enough."""
    return elapsed_s is not None and elapsed_s < LEAST_SAMPLED_S
