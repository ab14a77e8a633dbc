"""A reply is read strictly: nothing becomes a score that is not one."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.classifiers.moderation.reply import InvalidReply, Result, read_results
from tests.servers.hosted.moderation import ModerationServer

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = st.fixed_dictionaries(
    {}, optional={"flagged": JSON, "categories": JSON, "category_scores": JSON}
)


def about(**fields: Any) -> dict[str, Any]:
    return {"results": [{"category_scores": {"hate": 0.5}, **fields}]}


@settings(max_examples=50)
@given(JSON | st.fixed_dictionaries({"results": st.lists(FIELDS, max_size=3)}))
def test_whatever_a_service_says_gives_scores_from_0_to_1_or_an_invalid_reply(body: Any) -> None:
    try:
        (result,) = read_results(body, 1)
    except InvalidReply:
        return
    assert result.scores.keys() <= body["results"][0]["category_scores"].keys()
    assert all(0 <= score <= 1 for score in result.scores.values())


BAD = [
    about(category_scores={}), about(category_scores=None), about(category_scores=[0.5]),
    about(category_scores={"hate": True}), about(category_scores={"hate": "0.5"}),
    about(category_scores={"hate": 1.01}), about(category_scores={"hate": -0.01}),
    about(category_scores={"hate": float("nan")}), about(flagged="yes"), about(flagged=1),
    about(categories={"hate": "no"}), {"results": []}, {"results": [None]}, {"results": {}}, {},
    {"results": [about()["results"][0]] * 2}, None, [],
]  # fmt: skip


@pytest.mark.parametrize("body", BAD, ids=json.dumps)
def test_what_is_no_valid_result_of_one_text_is_rejected(body: Any) -> None:
    with pytest.raises(InvalidReply):
        read_results(body, 1)


def test_a_category_that_is_not_scored_is_null_and_unknown_ones_are_left_out() -> None:
    (result,) = read_results(about(category_scores={"hate": 0, "new": 0.5, "sexual": None}), 1)
    assert result.values(["hate", "sexual", "violence/graphic"]) == {
        "hate": 0.0, "sexual": None, "violence_graphic": None, "flagged": None,
    }  # fmt: skip


def test_without_any_configured_category_there_are_no_labels() -> None:
    (result,) = read_results(about(), 1)
    with pytest.raises(InvalidReply):
        result.values(["sexual"])


@pytest.mark.parametrize(
    ("fields", "flagged"),
    [
        ({"flagged": True, "categories": {"hate": False}}, True),
        ({"flagged": False, "categories": {"hate": True}}, False),
        ({"categories": {"hate": False, "law": True}}, False),
        ({"categories": {"hate": True, "law": False}}, True),
        ({"categories": {"law": True}}, None),
        ({}, None),
    ],
)
def test_the_services_own_flag_counts_and_else_those_of_the_configured_categories(
    fields: dict[str, Any], flagged: bool | None
) -> None:
    (result,) = read_results(about(**fields), 1)
    assert result.values(["hate"])["flagged"] is flagged


def scored(**scores: float) -> Result:
    return Result(scores=scores, flags={}, flagged=None)


def test_only_the_last_digits_of_a_score_may_differ() -> None:
    assert scored(hate=0.5, law=1e-6).is_like(scored(hate=0.505, law=9e-6))
    assert not scored(hate=0.5, law=0.1).is_like(scored(hate=0.5, law=0.11))
    assert not scored(hate=0.5).is_like(scored(hate=0.5, law=0.0))


@pytest.mark.parametrize("provider", ["openai", "mistral"])
def test_the_stand_in_answers_in_a_form_that_is_read(provider: str) -> None:
    body = {"results": [ModerationServer(provider=provider).result("Good morning")]}
    assert read_results(body, 1)
