"""Describe the sample of a run, for people and for programs. Pure."""

from hpc.planning.new_run.stage_sample import StagedSample
from pipeline.run_files.sample_file import MISSING, Sample, Stratum
from pipeline.text import counted

_MOST_STRATA_SHOWN = 24
_LONGEST_NAME = 60


def describe_sample(sample: StagedSample | None) -> list[str]:
    """Return lines on the sample, its population and its strata; nothing without a sample."""
    if sample is None:
        return []
    drawn = sample.description
    lines = [
        f"sample {drawn.sample}: {drawn.size:,} of {counted(drawn.population, 'post')}, drawn at "
        f"random with seed {drawn.seed}"
    ]
    lines += _describe_strata(drawn)
    if not sample.is_new:
        lines.append(
            f"the sample was drawn at {drawn.drawn_at[:16].replace('T', ' ')} UTC, and posts that "
            "arrived later do not change it"
        )
    if sample.gone:
        lines.append(
            f"{counted(sample.gone, 'post')} of the sample cannot be labeled, because the source "
            "no longer has them"
        )
    return lines


def _describe_strata(drawn: Sample) -> list[str]:
    if drawn.stratify is None:
        return []
    by_population = sorted(drawn.strata, key=lambda each: (-each.population, each.stratum))
    shown = drawn.strata
    if len(shown) > _MOST_STRATA_SHOWN:
        shown = tuple(by_population[:_MOST_STRATA_SHOWN])
    lines = [f"{counted(len(drawn.strata), 'stratum', 'strata')} by {drawn.stratify}:"]
    lines += [_describe_stratum(each) for each in shown]
    if rest := len(drawn.strata) - len(shown):
        lines.append(f"  and {rest:,} more")
    if any(each.stratum == MISSING for each in drawn.strata):
        lines.append(f"posts without a value of {drawn.stratify} are in the stratum {MISSING}")
    return lines


def _describe_stratum(stratum: Stratum) -> str:
    name = stratum.stratum if stratum.stratum.isprintable() else repr(stratum.stratum)
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}…"
    return f"  {name}: {stratum.size:,} of {counted(stratum.population, 'post')}"


def sample_document(sample: StagedSample | None) -> dict[str, object] | None:
    """Return what `submit --json` says about a sample; None without one."""
    if sample is None:
        return None
    drawn = sample.description
    return {
        "name": drawn.sample,
        "size": drawn.size,
        "population": drawn.population,
        "seed": drawn.seed,
        "strata": [each.to_json() for each in drawn.strata],
        "is_new": sample.is_new,
        "gone": sample.gone,
    }
