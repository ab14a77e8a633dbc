"""A classifier against gold: weighted measures are scikit-learn's; what has no value says why."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from pipeline.analysis.gold import classification
from pipeline.analysis.gold.cells import Cells, variance_strata
from pipeline.analysis.gold.results import GoldComparison, Warned
from pipeline.analysis.options import BootstrapDraws
from tests.pipeline.analysis.gold.coded_posts import (
    SMALL,
    Drawn,
    compared,
    not_judged,
    stratified,
    values,
)

LABELS = ["left", "right", "unclear"]


@pytest.mark.parametrize("weighted", [False, True])
def test_measures_of_categories_are_those_of_scikit_learn(weighted: bool) -> None:
    generator = np.random.default_rng(1)
    gold = generator.choice(LABELS, 200)
    model = np.where(generator.random(200) < 0.7, gold, generator.choice(LABELS, 200))
    strata = ["odd" if number % 3 else "even" for number in range(200)]
    copies = generator.integers(1, 4, 200)
    probability = [0.5 if stratum == "odd" else 0.1 for stratum in strata]
    weights = copies / probability if weighted else np.ones(200)
    drawn = Drawn(
        posts=range(200), strata=strata, probabilities=probability, copies=copies.tolist()
    )
    found = compared(model.tolist(), dict(enumerate(gold)), drawn if weighted else None)
    each = metrics.precision_recall_fscore_support(
        gold, model, labels=LABELS, sample_weight=weights
    )
    expected = {
        "accuracy": metrics.accuracy_score(gold, model, sample_weight=weights),
        "balanced_accuracy": metrics.balanced_accuracy_score(gold, model, sample_weight=weights),
        "macro_f1": metrics.f1_score(gold, model, average="macro", sample_weight=weights),
    }
    for number, label in enumerate(LABELS):
        for name, of_labels in zip(("precision", "recall", "f1"), each, strict=False):
            expected[f"{name}: {label}"] = of_labels[number]
    assert values(found) == pytest.approx(expected)
    assert found.confusion
    table = metrics.confusion_matrix(gold, model, sample_weight=weights)
    assert np.array(found.confusion.shares) == pytest.approx(table / weights.sum())
    assert (
        np.array(found.confusion.counts).tolist() == metrics.confusion_matrix(gold, model).tolist()
    )


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=3, max_size=3))
def test_the_formulas_for_resamples_are_those_of_scikit_learn(rows: list[list[int]]) -> None:
    table = np.array(rows, dtype=np.float64)
    if not table.sum():
        return
    gold, model = np.nonzero(table)
    weights = table[gold, model]
    with np.errstate(all="ignore"):
        ours = {
            name: float(measure(table))
            for name, measure in classification.measures_of(table, LABELS, None).items()
        }
    reasons = classification.why_undefined(table, LABELS, None)
    each = metrics.precision_recall_fscore_support(
        gold, model, labels=range(3), sample_weight=weights, zero_division=0
    )
    theirs = {
        f"{name}: {label}": of_labels[number]
        for number, label in enumerate(LABELS)
        for name, of_labels in zip(("precision", "recall", "f1"), each, strict=False)
    }
    theirs["macro_f1"] = metrics.f1_score(gold, model, average="macro", sample_weight=weights)
    theirs["balanced_accuracy"] = np.mean([theirs[f"recall: {LABELS[row]}"] for row in set(gold)])
    theirs["accuracy"] = metrics.accuracy_score(gold, model, sample_weight=weights)
    defined = theirs.keys() - reasons.keys()
    assert {name: ours[name] for name in defined} == pytest.approx(
        {name: theirs[name] for name in defined}
    )
    undefined = {name for name, value in ours.items() if np.isnan(value)}
    assert undefined == reasons.keys() - {"balanced_accuracy"}


def test_scores_are_compared_with_flags_at_the_threshold_and_calibrated() -> None:
    scores = [0.05, 0.2, 0.55, 0.6, 0.9, 0.95, 0.5, 0.1]
    gold = dict(enumerate([False, True, True, False, True, True, False, False]))
    found = compared(scores, gold)
    assert (found.threshold, found.positive) == (0.5, "true")
    assert found.confusion and found.confusion.counts == ((2, 2), (1, 3))
    assert values(found) == pytest.approx(
        {"accuracy": 5 / 8, "balanced_accuracy": (2 / 4 + 3 / 4) / 2,
         "precision": 3 / 5, "recall": 3 / 4, "f1": 6 / 9}
    )  # fmt: skip
    assert values(compared(scores, gold, threshold=0.58))["precision"] == pytest.approx(2 / 3)
    bins = found.calibration[0].bins
    assert [(bin_.high, bin_.posts, bin_.share_positive) for bin_ in bins] == [
        (0.1, 2, 0), (0.2, 1, 1), (0.5, 1, 0), (pytest.approx(0.6), 2, 0.5), (0.9, 1, 1), (1, 1, 1)
    ]  # fmt: skip


def test_numbers_have_a_mean_absolute_error() -> None:
    generator = np.random.default_rng(5)
    gold = generator.random(300)
    model = np.clip(gold + generator.normal(0.1, 0.2, 300), 0, 1)
    copies = generator.integers(1, 5, 300)
    drawn = Drawn(posts=range(300), strata=["a"] * 300, probabilities=[0.5] * 300,
                  copies=copies.tolist())  # fmt: skip
    found = compared(model.tolist(), dict(enumerate(gold)), drawn)
    expected = metrics.mean_absolute_error(gold, model, sample_weight=copies)
    assert found.measures["mae"].value == pytest.approx(expected)
    assert found.measures["mean_error"].value == pytest.approx(
        np.average(model - gold, weights=copies)
    )
    mean = next(one for one in found.prevalence if one.label == "mean")
    assert mean.naive == pytest.approx(model.mean())
    assert mean.corrected.value == pytest.approx(
        model.mean() - np.average(model - gold, weights=copies)
    )


def test_a_large_stratum_has_the_intervals_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(6)
    gold = generator.random(800)
    model = np.clip(gold + generator.normal(0.1, 0.2, 800), 0, 1)
    drawn = Drawn(posts=range(800), strata=["a"] * 400 + ["b"] * 400,
                  probabilities=[0.5] * 400 + [0.1] * 400)  # fmt: skip
    many = BootstrapDraws(4000, 0)
    rows = compared(model.tolist(), dict(enumerate(gold)), drawn, draws=many)
    monkeypatch.setattr("pipeline.analysis.gold.read.MOST_ROWS", 10)
    sums = compared(model.tolist(), dict(enumerate(gold)), drawn, draws=many)
    for name in ("mae", "mean_error"):
        assert sums.measures[name].value == pytest.approx(rows.measures[name].value)
        assert sums.measures[name].interval == pytest.approx(
            rows.measures[name].interval, abs=0.002
        )


@pytest.mark.parametrize(
    ("model", "gold", "undefined"),
    [
        ([True, False], [False, False],
         {"balanced_accuracy": "every coded post is false", "recall": "no coded post is true"}),
        ([False, False], [True, False], {"precision": "no coded post is predicted true"}),
        ([False, False], [False, False],
         {"balanced_accuracy": "every coded post is false",
          "precision": "no coded post is predicted true", "recall": "no coded post is true",
          "f1": "no coded post is true or predicted so"}),
    ],
)  # fmt: skip
def test_a_measure_that_is_not_defined_says_why(
    model: list[bool], gold: list[bool], undefined: dict[str, str]
) -> None:
    found = compared(model * 20, dict(enumerate(gold * 20)))
    reasons = {name: each.reason for name, each in found.measures.items() if each.value is None}
    assert reasons == undefined
    json.dumps(asdict(found), allow_nan=False)


def test_a_measure_whose_resamples_are_all_the_same_has_no_interval() -> None:
    """It would claim that 40 posts without a mistake prove that there is none."""
    labels = [True, False] * 20
    found = compared(labels, dict(enumerate(labels)))
    accuracy = found.measures["accuracy"]
    assert (accuracy.value, accuracy.interval) == (1.0, None)
    assert accuracy.reason
    complete = Drawn(posts=range(40), strata=["a"] * 40, probabilities=[1.0] * 40)
    whole = compared(labels, dict(enumerate(labels)), complete)
    assert whole.measures["accuracy"].interval == (1.0, 1.0)


def test_categories_that_the_other_lacks_count_as_mistakes() -> None:
    model = ["left", "right", "left", "centre"]
    found = compared(model, {0: "left", 1: "left", 2: "unclear"})
    assert found.confusion and found.confusion.gold == ("centre", "left", "right", "unclear")
    assert found.measures["accuracy"].value == pytest.approx(1 / 3)
    assert found.measures["recall: right"].reason == "no coded post is right"
    shares = {one.label: one.naive for one in found.prevalence}
    assert shares == {"centre": 0.25, "left": 0.5, "right": 0.25, "unclear": 0}


def test_columns_of_kinds_that_do_not_fit_say_what_is_needed() -> None:
    assert "threshold" in not_judged([3.5, 7.0], {0: True, 1: False})
    assert "texts" in not_judged([0.5, 0.7], {0: "toxic", 1: "civil"})
    many = [f"word {number}" for number in range(60)]
    assert "free text" in not_judged(many, dict(enumerate(many)))


def test_columns_without_a_common_value_are_not_compared() -> None:
    """Measures of 0 would blame the classifier for a wrong pair of columns."""
    said = not_judged(["negative", "neutral", "negative"], {0: True, 1: False})
    assert "hpc sample --labels 'score:negative|neutral'" in said
    assert "score:bool" in not_judged([True, False], {0: "toxic", 1: "civil"})
    assert compared(["negative", "neutral"], {0: "neutral"}).posts == 1


def test_values_that_are_missing_or_no_number_are_not_coded() -> None:
    scores = [0.9, float("nan"), None, 0.2, float("inf"), 0.7]
    gold = {0: 1.0, 1: 1.0, 2: 1.0, 3: 0.0, 5: float("nan")}
    found = compared(scores, gold)
    assert (found.posts, found.without_model, found.not_coded) == (2, 2, 1)
    empty = compared([0.5, None], {1: True})
    assert (empty.posts, empty.measures, empty.prevalence) == (0, {}, ())


def test_strata_that_are_large_enough_have_measures_of_their_own() -> None:
    generator = np.random.default_rng(7)
    strata = ["low"] * 800 + ["high"] * 150 + ["odd"] * 50
    gold = generator.random(1000) < 0.3
    model = np.where(generator.random(1000) < 0.8, gold, ~gold)
    drawn = stratified(generator, strata, {"low": 60, "high": 40, "odd": 3})
    found = compared(model.tolist(), {post: bool(gold[post]) for post in drawn.posts}, drawn)
    by_name = {one.stratum: one for one in found.strata}
    assert {name: (one.coded, one.share) for name, one in by_name.items()} == {
        "low": (60, pytest.approx(0.8)), "high": (40, pytest.approx(0.15)),
        "odd": (3, pytest.approx(0.05)),
    }  # fmt: skip
    inside = [post for post, stratum in zip(drawn.posts, drawn.strata, strict=True)
              if stratum == "high"]  # fmt: skip
    low = by_name["high"].measures
    assert low and low["accuracy"].value == pytest.approx(np.mean(gold[inside] == model[inside]))
    assert by_name["odd"].measures is None and by_name["odd"].reason
    assert Warned.FEW_IN_STRATUM in {one.kind for one in found.warnings}


def kinds(found: GoldComparison) -> set[Warned]:
    return {one.kind for one in found.warnings}


def test_a_sample_that_is_too_small_is_said_to_be_so() -> None:
    model = [True] * 100 + [False] * 900
    gold = {post: post < 100 for post in (*range(95, 105), *range(500, 515))}
    strata = ["high" if post < 100 else "low" for post in gold]
    few = Drawn(
        posts=list(gold),
        strata=strata,
        probabilities=[5 / 100 if stratum == "high" else 20 / 900 for stratum in strata],
    )
    assert kinds(compared(model, gold, few)) == {Warned.FEW_CODED, Warned.FEW_IN_LARGE_STRATUM}
    nothing = dict.fromkeys(range(500, 560), False)
    low = Drawn(posts=list(nothing), strata=["low"] * 60, probabilities=[60 / 900] * 60)
    assert kinds(compared(model, nothing, low)) == {
        Warned.NO_GOLD_POSITIVES,
        Warned.NO_PREDICTED_POSITIVES,
    }
    uncoded = Drawn(
        posts=[*gold, 90, 91],
        strata=[*strata, "other", "other"],
        probabilities=[*few.probabilities, 0.5, 0.5],
    )
    assert Warned.STRATUM_NOT_CODED in kinds(compared(model, gold, uncoded))
    single = compared(model, {**gold, 90: True}, uncoded)
    assert Warned.SINGLE_IN_STRATUM in kinds(single)


def test_a_correction_that_leaves_the_range_is_said_to_be_too_uncertain() -> None:
    model = [True] * 10 + [False] * 990
    gold = dict.fromkeys(range(30), False)
    drawn = Drawn(posts=range(30), strata=["all"] * 30, probabilities=[0.03] * 30)
    found = compared(model, gold, drawn)
    assert found.prevalence[0].corrected.value == pytest.approx(0.01 - 1 / 3)
    assert kinds(found) >= {Warned.OUT_OF_RANGE, Warned.WIDE_INTERVAL, Warned.NO_GOLD_POSITIVES}


def test_coded_posts_stand_for_the_uncoded_ones_of_their_stratum() -> None:
    model = [True] * 60 + [False] * 40
    drawn = Drawn(posts=range(100), strata=["a"] * 60 + ["b"] * 40, probabilities=[0.1] * 100)
    codes = {post: post < 30 for post in range(100) if post < 60 or post >= 80}
    found = compared(model, codes, drawn)
    assert found.not_coded == 20
    # Half of stratum a is true; the uncoded half of stratum b is taken to be false like the rest.
    assert found.measures["accuracy"].value == pytest.approx(0.3 + 0.4)
    assert Warned.NOT_CODED in {one.kind for one in found.warnings}


def cells(strata: list[int], weights: list[float], places: list[int], counts: list[int],
          fractions: list[float]) -> Cells:  # fmt: skip
    return Cells(
        strata=np.array(strata), weights=np.array(weights), places=np.array(places),
        counts=np.array(counts), shape=(2, 2), fractions=np.array(fractions),
    )  # fmt: skip


def test_resampling_within_strata_keeps_their_sizes_and_means() -> None:
    given_cells = cells([0, 0, 1, 1], [1, 1, 10, 10], [0, 3, 0, 3], [30, 20, 5, 15], [0, 0.5])
    tables = given_cells.resample(BootstrapDraws(4000, 1))
    assert tables.sum(axis=(1, 2)) == pytest.approx(np.full(4000, 250.0))
    assert tables.mean(axis=0) == pytest.approx(given_cells.table(), rel=0.02)
    # The variance of a stratified total: n²·s²/n, less the part that was coded.
    variance = 50 * 50 / 49 * 0.6 * 0.4 + 100 * 20 * 20 / 19 * 0.25 * 0.75 * 0.5
    assert tables[:, 0, 0].var() == pytest.approx(variance, rel=0.08)


def test_a_stratum_that_was_coded_completely_does_not_vary() -> None:
    tables = cells([0, 0], [1, 1], [0, 3], [3, 4], [1.0]).resample(SMALL)
    assert (tables == tables[0]).all()


@given(st.lists(st.integers(1, 3), min_size=1, max_size=6))
def test_single_posts_are_resampled_with_others(posts: list[int]) -> None:
    groups = variance_strata(np.array(posts))
    sizes = np.bincount(groups, posts)
    assert (sizes[np.unique(groups)] > 1).all() or sum(posts) == 1 or len(posts) == 1
    several = [number for number, count in enumerate(posts) if count > 1]
    assert len(set(groups[several])) == len(several)


def test_texts_that_count_for_most_posts_are_warned_about() -> None:
    def warned(copies: list[int]) -> bool:
        drawn = Drawn(posts=range(40), strata=["a"] * 40, probabilities=[0.1] * 40, copies=copies)
        gold = {post: post % 3 == 0 for post in range(40)}
        found = compared([post % 2 == 0 for post in range(400)], gold, drawn)
        return Warned.UNEQUAL_WEIGHTS in {each.kind for each in found.warnings}

    assert not warned([3] * 40)
    assert not warned([1, 2, 3, 4] * 10)
    assert warned([200] + [1] * 39)
