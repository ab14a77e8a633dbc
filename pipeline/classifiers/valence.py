"""Measure valence with VADER, as the lab does, without a key, a network or a GPU."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Annotated

from msgspec.structs import replace
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.options import Options
from pipeline.config.input_files import InputFiles
from pipeline.config.keys import label_key
from pipeline.model import Answer, Column, ColumnKind, Post

# The thresholds that VADER's authors give for the compound score.
POSITIVE, NEGATIVE = 0.05, -0.05


class ValenceOptions(Options, frozen=True, kw_only=True):
    """Valence by VADER: no API key, no network, no GPU."""

    version: Annotated[
        str, label_key("The installed version of VADER, which the run records.", recorded=True)
    ] = ""


class Valence(Classifier[ValenceOptions]):
    """Gives `compound` in [-1, 1] and `valence_label` (positive, neutral or negative)."""

    columns = (Column("compound", ColumnKind.NUMBER), Column("valence_label", ColumnKind.TEXT))

    options_type = ValenceOptions
    is_instant = True
    needs_numpy = False

    @classmethod
    def freeze(cls, options: ValenceOptions, inputs: InputFiles) -> ValenceOptions:
        """Record the installed version."""
        return replace(options, version=version("vaderSentiment"))

    def __init__(self, options: ValenceOptions, share: TaskShare) -> None:
        """Load VADER's lexicon."""
        self.model = f"vaderSentiment {version('vaderSentiment')}"
        self._analyzer = SentimentIntensityAnalyzer()

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        """Yield the posts' valence in their order."""
        for post in posts:
            compound = self._analyzer.polarity_scores(post.text)["compound"]
            yield Answer(post.uri, {"compound": compound, "valence_label": _label(compound)})


def _label(compound: float) -> str:
    if compound >= POSITIVE:
        return "positive"
    return "negative" if compound <= NEGATIVE else "neutral"
