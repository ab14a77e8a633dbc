"""Simulate studies: a population whose truth is known, and one stratified sample of it a study."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.gold import classification, prevalence
from pipeline.analysis.gold.cells import Cells
from pipeline.analysis.gold.judgement import ErrorSums

Flags = NDArray[np.bool_]
LABELS = ("false", "true")


@dataclass(frozen=True, kw_only=True)
class Population:
    """Posts in strata of a classifier's score; the classifier calls too many of them positive."""

    strata: NDArray[np.int64]
    gold: Flags
    model: Flags
    score: NDArray[np.float64]
    truth: NDArray[np.float64]
    copies: NDArray[np.int64]
    """How many posts have the text that one coded post stands for."""

    def share(self, calls: Flags) -> float:
        """Which share of all posts is called positive."""
        return float(np.average(calls, weights=self.copies))

    @property
    def places(self) -> NDArray[np.int64]:
        """Each post's place in the table of gold by model."""
        return 2 * self.gold + self.model.astype(np.int64)


def population(posts: int = 20_000, seed: int = 1, *, heavy: bool = False) -> Population:
    """A population of texts: one post each, or with `heavy` up to 300 for a few of them."""
    generator = np.random.default_rng(seed)
    truth = generator.beta(1, 4, posts)
    gold = generator.random(posts) < truth
    score = np.clip(truth + 0.15 + generator.normal(0, 0.15, posts), 0, 1)
    return Population(
        strata=np.digitize(score, [0.3, 0.5]),
        gold=gold,
        model=score >= 0.5,
        score=score,
        truth=truth,
        copies=np.minimum(generator.zipf(2.2, posts), 300) if heavy else np.ones(posts, np.int64),
    )


def draw(
    people: Population, sizes: Sequence[int], studies: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], Cells]]:
    """Yield the posts of each study's sample, ordered by stratum, and their cells."""
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(people.strata == number) for number in range(len(sizes))]
    fractions = np.array([size / inside.size for size, inside in zip(sizes, members, strict=True)])
    strata = np.repeat(np.arange(len(sizes)), sizes)
    for _ in range(studies):
        sample = np.concatenate(
            [
                generator.choice(inside, size, replace=False, shuffle=False)
                for size, inside in zip(sizes, members, strict=True)
            ]
        )
        posts = np.stack([strata, people.copies[sample], people.places[sample]])
        (of, copies, places), counts = np.unique(posts, axis=1, return_counts=True)
        yield (
            sample,
            Cells(
                strata=of,
                weights=copies / fractions[of],
                places=places,
                counts=counts,
                shape=(2, 2),
                fractions=fractions,
            ),
        )


def true_measures(people: Population) -> dict[str, float]:
    """The measures in the whole population."""
    table = np.bincount(people.places, people.copies, minlength=4).reshape(2, 2).astype(float)
    measures = classification.measures_of(table, LABELS, 1)
    return {
        **{name: float(measure(table)) for name, measure in measures.items()},
        "prevalence": people.share(people.gold),
    }


def estimates(people: Population, tables: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The measures in tables of a sample or its resamples."""
    measures = classification.measures_of(tables.reshape(-1, 2, 2)[0] + 1, LABELS, 1)
    return {
        **{name: measure(tables) for name, measure in measures.items()},
        "prevalence": people.share(people.model) + prevalence.correction(tables, 1),
    }


def error_sums(
    people: Population, sample: NDArray[np.int64], sizes: Sequence[int]
) -> list[ErrorSums]:
    """The errors of the scores in a sample, by stratum, with the true score as gold."""
    sums = []
    for number, part in enumerate(np.split(sample, np.cumsum(sizes)[:-1])):
        weight = np.full(part.size, (people.strata == number).sum() / part.size)
        error = people.score[part] - people.truth[part]
        rows = weight[:, None] * np.stack(
            [np.ones(part.size), np.abs(error), error, people.truth[part]], axis=1
        )
        covariance = np.cov(rows, rowvar=False)
        sums.append(
            ErrorSums(posts=part.size, mean=rows.mean(axis=0), covariance=covariance, rows=rows)
        )
    return sums
