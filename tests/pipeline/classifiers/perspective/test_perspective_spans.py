"""Scores of parts of a text: only valid spans of that text are stored."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import what_decides
from pipeline.classifiers.perspective.classifier import Perspective
from pipeline.classifiers.perspective.options import PerspectiveOptions
from pipeline.classifiers.perspective.reply import spans
from pipeline.model import Answer, Column
from tests.pipeline.classifiers.classifier_setup import (
    KEY,
    frozen_options,
    options_of,
    posts,
    verdicts,
)
from tests.servers.perspective import Fault, PerspectiveServer, score

TEXT = "🦋 You fool! Sorry, I like you.\nNo, I do."  # 41 UTF-16 units


def options(**values: Any) -> PerspectiveOptions:
    given_values = {"requests_per_minute": 10**9, "span_scores": True, **values}
    return options_of("perspective", given_values)


def classifier(server: PerspectiveServer, **values: Any) -> Perspective:
    return Perspective(options(base_url=server.url, **values), TaskShare())


def test_each_attribute_has_its_spans_in_utf_16_offsets() -> None:
    attributes = ["TOXICITY", "INSULT"]
    with PerspectiveServer(key=KEY) as server:
        asker = classifier(server, attributes=attributes)
        found = verdicts(asker, posts(TEXT))
        assert server.last_request is not None
        assert json.loads(server.last_request.body)["spanAnnotations"] is True
    assert asker.columns == (
        Column("prob_toxic", "number"),
        Column("prob_insult", "number"),
        Column("prob_toxic_spans", "text"),
        Column("prob_insult_spans", "text"),
        Column("attributes_not_supported", "text", fact=True),
    )
    values = found[TEXT].values
    assert values is not None
    assert values["prob_toxic"] == score(TEXT, "TOXICITY")
    units = TEXT.encode("utf-16-le")
    for column, name in zip(("prob_toxic_spans", "prob_insult_spans"), attributes, strict=True):
        shown = [
            (units[2 * begin : 2 * end].decode("utf-16-le"), value)
            for begin, end, value in json.loads(str(values[column]))
        ]
        sentences = ("🦋 You fool!", "Sorry, I like you.", "No, I do.")
        assert shown == [(sentence, score(sentence, name)) for sentence in sentences]
    assert str(values["prob_toxic_spans"]).startswith("[[0,12,0.")


def test_without_span_scores_the_request_has_no_span_annotations() -> None:
    with PerspectiveServer(key=KEY) as server:
        asker = Perspective(options(base_url=server.url, span_scores=False), TaskShare())
        verdicts(asker, posts(TEXT))
        assert server.last_request is not None
        assert "spanAnnotations" not in json.loads(server.last_request.body)
    assert [column.name for column in asker.columns] == ["prob_toxic", "attributes_not_supported"]
    plain, asked = (
        frozen_options({"type": "perspective", "span_scores": on}) for on in (False, True)
    )
    assert "span_scores" not in plain
    assert what_decides(asked) == {**what_decides(plain), "span_scores": True}


def test_an_unsupported_attribute_has_no_spans() -> None:
    with PerspectiveServer(key=KEY) as server:
        asker = classifier(server, attributes=["TOXICITY", "SPAM"], languages=["de"])
        values = verdicts(asker, posts("Hallo"))["Hallo"].values
    assert values == {
        "prob_toxic": score("Hallo", "TOXICITY"),
        "prob_toxic_spans": f"[[0,5,{score('Hallo', 'TOXICITY')}]]",
        "prob_spam": None,
        "prob_spam_spans": None,
    }


def answered(given_spans: Any) -> dict[str, Any]:
    value = {"summaryScore": {"value": 0.5, "type": "PROBABILITY"}, "spanScores": given_spans}
    return {"attributeScores": {"TOXICITY": value}, "clientToken": "at://0"}


def span(begin: Any = 0, end: Any = 4, value: Any = 0.5, **more: Any) -> dict[str, Any]:
    return {"begin": begin, "end": end, "score": {"value": value}, **more}


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in span(1, 3).items() if key not in keys}


# The text is "a 🦋b": five UTF-16 units, four characters, seven bytes.
@pytest.mark.parametrize(
    ("given_spans", "stored"),
    [
        ([span(0, 4), span(4, 5, 1)], "[[0,4,0.5],[4,5,1.0]]"),
        ([span(4, 5), span(0, 5, 0)], "[[4,5,0.5],[0,5,0.0]]"),
        ([without("begin")], "[[0,3,0.5]]"),
        ([without("begin", "end")], "[[0,5,0.5]]"),
        ([span(more={"x": 1}), span(None, 2)], "[[0,4,0.5],[0,2,0.5]]"),
        ([], None),
        (None, None),
    ],
    ids=repr,
)
def test_valid_spans_are_stored(given_spans: Any, stored: str | None) -> None:
    with PerspectiveServer(key=KEY) as server:
        server.faults = lambda t, _: Fault(body=answered(given_spans)) if t == "a 🦋b" else None
        found = verdicts(classifier(server), posts("a 🦋b"))
    assert found["a 🦋b"] == Answer("at://0", {"prob_toxic": 0.5, "prob_toxic_spans": stored})


@pytest.mark.parametrize(
    "given_spans",
    [
        [span(0, 4), span(0, 6)],  # outside
        [span(0, 7)],  # as if in bytes
        [span(-1, 4)],
        [span(3, 3)],
        [span(4, 3)],
        [span(0.0, 4)],
        [span(0, 4.0)],
        [span("0", "4")],
        [span(True, 4)],
        [span(False, True)],
        [span(0, 10**400)],
        [without("end")],
        [without("score")],
        [span(value=1.5)],
        [span(value="0.5")],
        [span(value=float("nan"))],
        [span(value=None)],
        [{**span(), "score": 0.5}],
        [{**span(), "score": {"value": 0.5, "type": "RAW"}}],
        [0.5],
        ["0-4"],
        {"0": span()},
        "none",
        0,
        False,
    ],
    ids=repr,
)
def test_spans_that_do_not_fit_the_text_are_none_of_its_spans(given_spans: Any) -> None:
    body = json.loads(json.dumps(answered(given_spans)))
    assert spans(body, "TOXICITY", "a 🦋b") == "[]"


def test_the_score_of_a_post_is_not_lost_with_its_spans() -> None:
    """A service may count in other units. It cannot be asked again once it has ended."""
    with PerspectiveServer(key=KEY) as server:
        bytes_instead = answered([span(0, 7)])
        server.faults = lambda t, _: Fault(body=bytes_instead) if t == "a 🦋b" else None
        found = verdicts(classifier(server), posts("a 🦋b"))
    assert found["a 🦋b"] == Answer("at://0", {"prob_toxic": 0.5, "prob_toxic_spans": "[]"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["begin", "end", "score", "value", "type"]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


@given(json_values | st.lists(st.builds(span, json_values, json_values, json_values)), st.text())
def test_a_stored_span_always_lies_within_the_text(given_spans: Any, text: str) -> None:
    stored = spans(answered(given_spans), "TOXICITY", text)
    length = sum(2 if ord(letter) > 0xFFFF else 1 for letter in text)
    for begin, end, value in json.loads(stored or "[]"):
        assert type(begin) is int
        assert type(end) is int
        assert 0 <= begin < end <= length
        assert type(value) is float
        assert 0 <= value <= 1
