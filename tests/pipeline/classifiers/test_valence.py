"""Valence by VADER: the lab's numbers and the authors' thresholds."""

from importlib.metadata import version

from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.valence import Valence, ValenceOptions
from pipeline.model import Answer, Column, Post
from tests.pipeline.classifiers.classifier_setup import answers, options_of, posts

VALENCE = Valence(ValenceOptions(), TaskShare())


def test_examples_have_the_compound_score_of_vader() -> None:
    asked = posts("what a fine day", "the table is brown", "I hate this horrible mess", "🦋 مرحبا")
    assert answers(VALENCE, asked) == {
        "what a fine day": Answer("at://0", {"compound": 0.2023, "valence_label": "positive"}),
        "the table is brown": Answer("at://1", {"compound": 0.0, "valence_label": "neutral"}),
        "I hate this horrible mess": Answer(
            "at://2", {"compound": -0.884, "valence_label": "negative"}
        ),
        "🦋 مرحبا": Answer("at://3", {"compound": 0.0, "valence_label": "neutral"}),
    }


@given(st.lists(st.text(max_size=300), max_size=5))
def test_any_text_has_a_score_and_the_label_of_that_score(texts: list[str]) -> None:
    asked = [Post(f"at://{number}", text) for number, text in enumerate(texts)]
    found = list(VALENCE.classify(asked))
    assert [answer.uri for answer in found] == [post.uri for post in asked]
    for answer in found:
        assert answer.values is not None
        compound, label = answer.values["compound"], answer.values["valence_label"]
        assert isinstance(compound, float)
        assert -1 <= compound <= 1
        expected = (
            "positive" if compound >= 0.05 else "negative" if compound <= -0.05 else "neutral"
        )
        assert label == expected


def test_the_columns_and_the_model_name() -> None:
    assert VALENCE.columns == (Column("compound", "number"), Column("valence_label", "text"))
    assert VALENCE.model.startswith("vaderSentiment 3.")


def test_the_installed_version_is_frozen() -> None:
    assert options_of("valence", {}).version == version("vaderSentiment")
