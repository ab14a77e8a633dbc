"""Measure how often the intervals of `compare --gold` cover the truth, in simulated studies.

    python -m benchmarks.coverage [--studies 2000] [--resamples 400] [--posts 20000]

A population of posts has a true label for each post and a classifier that calls too many of them
positive. Each study draws a sample from strata of the classifier's score. A line shows, for each
design and measure, which share of the 95 % intervals covers the value in the population.
"""

import argparse
from collections import Counter

import numpy as np

from pipeline.analysis import statistics
from pipeline.analysis.gold import prevalence
from pipeline.analysis.options import BootstrapDraws
from tests.pipeline.analysis.gold import studies

# Posts coded in each stratum: low, middle and high scores.
DESIGNS = {
    "10 per stratum": (10, 10, 10),
    "30 per stratum": (30, 30, 30),
    "100 per stratum": (100, 100, 100),
    "300 per stratum": (300, 300, 300),
    "mostly high scores": (20, 80, 200),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--posts", type=int, default=20_000)
    options = parser.parse_args()
    people = studies.population(options.posts)
    varies = 1.96 * (0.95 * 0.05 / options.studies) ** 0.5
    print(f"{options.studies:,} studies of {options.posts:,} posts, of which "
          f"{people.gold.mean():.1%} are positive and {people.model.mean():.1%} are called so; "
          f"a rate of 95 % varies by {varies:.1%}")  # fmt: skip
    for design, sizes in DESIGNS.items():
        simulate(people, design, sizes, options)
    heavy = studies.population(options.posts, heavy=True)
    simulate(heavy, "100 per stratum, some texts with hundreds of posts", (100, 100, 100), options)


def simulate(
    people: studies.Population, design: str, sizes: tuple[int, ...], options: argparse.Namespace
) -> None:
    truth, naive = studies.true_measures(people), people.share(people.model)
    covered: Counter[str] = Counter()
    defined: Counter[str] = Counter()
    errors = []
    drawn = studies.draw(people, sizes, options.studies, seed=len(design))
    for number, (_, cells) in enumerate(drawn):
        samples = cells.resample(BootstrapDraws(options.resamples, number))
        for name, values in studies.estimates(people, samples).items():
            finite = values[np.isfinite(values)]
            if finite.size < 0.95 * values.size or finite.min() == finite.max():
                continue
            low, high = np.quantile(finite, [0.025, 0.975])
            defined[name] += 1
            covered[name] += low <= truth[name] <= high
        variance = prevalence.variance_of_share(cells, 1)
        middle = naive + float(prevalence.correction(cells.table(), 1))
        errors.append(middle - truth["prevalence"])
        if variance.value:
            half = statistics.t_quantile(variance.freedom) * variance.value**0.5
            defined["by formula"] += 1
            covered["by formula"] += middle - half <= truth["prevalence"] <= middle + half
    print(f"\n{design}: bias of the corrected share {np.mean(errors):+.4f} "
          f"(naive {naive - truth['prevalence']:+.4f})")  # fmt: skip
    for name, count in defined.items():
        print(f"  {name:<20} {covered[name] / count:6.1%} of {count:,}")


if __name__ == "__main__":
    main()
