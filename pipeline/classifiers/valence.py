"""Valence by VADER, as the lab measures it: needs no key, no network and no GPU."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.config.section import Section
from pipeline.model import Answer, Column, ColumnKind, JsonObject, Post

# The thresholds that VADER's authors give for the compound score.
POSITIVE, NEGATIVE = 0.05, -0.05


class Valence(Classifier):
    """`compound` in [-1, 1] and `valence_label` (positive | neutral | negative)."""

    columns = (Column("compound", ColumnKind.NUMBER), Column("valence_label", ColumnKind.TEXT))

    @classmethod
    def freeze(cls, section: Section) -> JsonObject:
        return {"version": version("vaderSentiment")}

    def __init__(self, options: JsonObject, share: TaskShare) -> None:
        self.model = f"vaderSentiment {version('vaderSentiment')}"
        self._analyzer = SentimentIntensityAnalyzer()

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        for post in posts:
            compound = self._analyzer.polarity_scores(post.text)["compound"]
            yield Answer(post.uri, {"compound": compound, "valence_label": _label(compound)})


def _label(compound: float) -> str:
    if compound >= POSITIVE:
        return "positive"
    return "negative" if compound <= NEGATIVE else "neutral"
