"""Say in words when an estimate should not be trusted. Pure."""

from collections.abc import Sequence

from pipeline.analysis.gold.judgement import Judgement
from pipeline.analysis.gold.results import Caution, Prevalence, Warned
from pipeline.text import counted

# With fewer coded posts, intervals are rough.
FEWEST_CODED = 30
FEWEST_IN_STRATUM = 5
# Simulated studies with 20 coded posts in the largest stratum have intervals of 95 % that cover the
# truth in 89 % (benchmarks/coverage.py).
FEWEST_IN_LARGE_STRATUM = 30
_LARGE = 0.25
# Simulated studies of a label of 2 % have intervals of 95 % that cover the truth in 89 % if coded
# posts tell as much as half their number of equal weight, in 81 % at a third, and in 52 % at 6 %.
_LEAST_EFFECTIVE = 0.5
# How many names of strata a sentence lists.
_MOST_NAMES = 3


def of_sample(judgement: Judgement) -> list[Caution]:
    """Return what is wrong with the sample: too few posts, strata without any."""
    cautions = []
    if not judgement.has_sample:
        text = (
            "no sample is on record for these posts, so all weights are 1. The figures hold for "
            "the coded posts only, and the corrected shares only if these were drawn at random. "
            "To estimate more, code a random sample: hpc sample"
        )
        cautions.append(Caution(kind=Warned.NO_SAMPLE, text=text))
    if judgement.posts < FEWEST_CODED:
        text = (
            f"only {counted(judgement.posts, 'post')} with both values: intervals are rough below "
            f"{FEWEST_CODED}. Code more posts"
        )
        cautions.append(Caution(kind=Warned.FEW_CODED, text=text))
    effective = sum(stratum.effective for stratum in judgement.strata)
    if effective < _LEAST_EFFECTIVE * judgement.posts:
        text = (
            "a few texts have far more posts than the others, and count for all of them. So the "
            f"{judgement.posts:,} coded posts tell no more than about {max(1, round(effective)):,} "
            "of equal weight, and the intervals may be too narrow. Code more posts"
        )
        cautions.append(Caution(kind=Warned.UNEQUAL_WEIGHTS, text=text))
    not_coded = sum(stratum.sampled - stratum.coded for stratum in judgement.strata)
    if not_coded and judgement.has_sample:
        text = (
            f"{counted(not_coded, 'post')} of the sample {'has' if not_coded == 1 else 'have'} no "
            "gold value. In each stratum, the coded posts represent these. That is right only if "
            "chance decided which posts were coded"
        )
        cautions.append(Caution(kind=Warned.NOT_CODED, text=text))
    return cautions + _of_strata(judgement)


def _of_strata(judgement: Judgement) -> list[Caution]:
    cautions = []
    empty = [stratum.name for stratum in judgement.strata if not stratum.coded]
    if empty and judgement.has_sample:
        text = (
            f"{_list(empty)}: no coded post, so the figures do not hold for "
            f"{'that stratum' if len(empty) == 1 else 'these strata'}. Code posts there"
        )
        cautions.append(Caution(kind=Warned.STRATUM_NOT_CODED, text=text))
    if len(judgement.coded_strata) < 2:
        return cautions
    few = [s.name for s in judgement.coded_strata if 1 < s.coded < FEWEST_IN_STRATUM]
    population = sum(stratum.weight for stratum in judgement.strata)
    large = [
        stratum.name
        for stratum in judgement.coded_strata
        if FEWEST_IN_STRATUM <= stratum.coded < FEWEST_IN_LARGE_STRATUM
        and stratum.weight > _LARGE * population
    ]
    if large:
        text = (
            f"{_list(large)}: fewer than {FEWEST_IN_LARGE_STRATUM} coded posts for more than "
            f"{_LARGE:.0%} of all posts, so the intervals may be too narrow. Code more posts there"
        )
        cautions.append(Caution(kind=Warned.FEW_IN_LARGE_STRATUM, text=text))
    if few:
        text = (
            f"{_list(few)}: fewer than {FEWEST_IN_STRATUM} coded posts, so the intervals may be "
            "too narrow. Code more posts there, or use fewer strata"
        )
        cautions.append(Caution(kind=Warned.FEW_IN_STRATUM, text=text))
    single = [s.name for s in judgement.coded_strata if s.coded == 1]
    if single:
        text = (
            f"{_list(single)}: one coded post, which cannot vary. The bootstrap draws it together "
            "with posts of other strata. Code more posts there"
        )
        cautions.append(Caution(kind=Warned.SINGLE_IN_STRATUM, text=text))
    return cautions


def of_prevalence(prevalence: Prevalence, gold: float, predicted: float) -> list[Caution]:
    """Return what is wrong with an estimate of prevalence.

    Args:
        prevalence: the estimate.
        gold: the weight of the coded posts that gold puts into the category.
        predicted: the weight of those that the classifier puts there.
    """
    cautions = []
    label, corrected = prevalence.label, prevalence.corrected.value
    if label != "mean" and not gold:
        text = (
            f"no coded post is {label}, so the sample says little about how frequent it is. Code "
            "more posts, stratified by the classifier's score"
        )
        cautions.append(Caution(kind=Warned.NO_GOLD_POSITIVES, text=text))
    if label != "mean" and not predicted and prevalence.naive:
        text = (
            f"no coded post is predicted {label}, so wrong predictions of it cannot be corrected. "
            "Code more posts, stratified by the classifier's score"
        )
        cautions.append(Caution(kind=Warned.NO_PREDICTED_POSITIVES, text=text))
    if label == "mean" or corrected is None:
        return cautions
    if not 0 <= corrected <= 1:
        text = f"{label}: the corrected share is not between 0 and 1. {_code_more(prevalence)}"
        cautions.append(Caution(kind=Warned.OUT_OF_RANGE, text=text))
    interval = prevalence.corrected.interval
    if interval and (fault := _describe_width(interval, corrected)):
        text = f"{label}: the interval of the corrected share {fault}. {_code_more(prevalence)}"
        cautions.append(Caution(kind=Warned.WIDE_INTERVAL, text=text))
    return cautions


def _describe_width(interval: tuple[float, float], share: float) -> str:
    """Return why an interval says little about a share; empty if it says enough."""
    if interval[0] < 0 or interval[1] > 1:
        return "is not between 0 and 1"
    return "is wider than the share itself" if interval[1] - interval[0] > share else ""


def _code_more(prevalence: Prevalence) -> str:
    needed = prevalence.by_formula.needed if prevalence.by_formula else {}
    sizes = [f"about {posts:,} for ±{margin}" for margin, posts in needed.items()]
    return f"Code more posts: in all {', '.join(sizes)}" if sizes else "Code more posts"


def _list(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    listed = ", ".join(name or "(no stratum)" for name in names[:_MOST_NAMES])
    noun = "stratum" if len(names) == 1 else "strata"
    return f"{noun} {listed}" + (f" and {more:,} more" if more > 0 else "")
