"""Shares of labels by the tokens that could have said them, held against a model that is known."""

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.classifiers.llm.probabilities import BLUR, probability_columns, read_probabilities
from pipeline.model import Column, LabelValue
from tests.pipeline.classifiers.asking import labels_of

BOOL = labels_of([{"name": "toxic", "type": "bool"}])
CHOICES: list[str | None] = ["left", "lean", "moderate", "more", None]
CHOICE = labels_of([{"name": "side", "type": "choice", "choices": CHOICES}])


def token(said: str | bytes, probability: float, **others: float) -> dict[str, Any]:
    """`others`: what else was listed, `_` standing for a quote."""
    return listed(said, {said: probability} | {k.replace("_", '"'): p for k, p in others.items()})


def listed(said: str | bytes, options: Mapping[Any, float]) -> dict[str, Any]:
    def one(text: str | bytes, probability: float) -> dict[str, Any]:
        raw = text.encode() if isinstance(text, str) else text
        shown = raw.decode(errors="replace")
        return {"token": shown, "bytes": list(raw), "logprob": math.log(probability)}

    top = [one(text, probability) for text, probability in options.items()]
    return {**one(said, options[said]), "top_logprobs": top}


def plain(*texts: str) -> list[dict[str, Any]]:
    return [token(text, 1.0) for text in texts]


def toxic(*said: Any, value: bool = True) -> dict[str, LabelValue]:
    content = b"".join(bytes(one["bytes"]) for one in said).decode()
    return read_probabilities(said, content, BOOL, {"toxic": value})


def side(*said: Any, value: str | None = "left") -> tuple[Any, dict[str, Any] | None]:
    content = b"".join(bytes(one["bytes"]) for one in said).decode()
    found = read_probabilities(said, content, CHOICE, {"side": value})
    each = found["side_probs"]
    return found["side_prob"], json.loads(each) if isinstance(each, str) else None


def test_the_columns_of_each_type() -> None:
    declared = labels_of(
        [
            {"name": "toxic", "type": "bool"},
            {"name": "side", "type": "choice", "choices": ["a", "b"]},
            {"name": "anger", "type": "number", "minimum": None, "maximum": None},
            {"name": "topic", "type": "text"},
        ]
    )
    assert probability_columns(declared) == (
        Column("toxic_prob", "number"),
        Column("side_prob", "number"),
        Column("side_probs", "text"),
    )


def test_an_empty_choice_is_not_null() -> None:
    declared = labels_of([{"name": "side", "type": "choice", "choices": ["", None]}])
    said = [*plain('{"side":'), token('""', 0.6, null=0.2), *plain("}")]
    found = read_probabilities(said, '{"side":""}', declared, {"side": ""})
    assert json.loads(str(found["side_probs"])) == {"": 0.75, "null": 0.25}


@pytest.mark.parametrize("value", [True, False])
def test_a_bools_is_the_probability_of_true_whatever_was_said(value: bool) -> None:
    options = {"true": 0.6, "false": 0.2, "maybe": 0.1}
    found = toxic(*plain('{"toxic":'), listed("true" if value else "false", options),
                  *plain("}"), value=value)  # fmt: skip
    assert found == {"toxic_prob": pytest.approx(0.75)}


def test_a_labels_variants_are_summed() -> None:
    options = {" true": 0.5, "true": 0.1, " tr": 0.04, "\ttrue}": 0.06, " false": 0.2, " True": 0.1}
    found = toxic(*plain('{"toxic":'), listed(" true", options), *plain("}"))
    assert found == {"toxic_prob": pytest.approx(0.7 / 0.9)}


def test_a_label_that_is_not_listed_is_unknown_and_not_zero() -> None:
    probability, each = side(
        *plain('{"side":'), token('"left', 0.6, _moderate=0.2, _right=0.1), *plain('"}')
    )
    assert probability == pytest.approx(0.75)
    assert each == {"left": 0.75, "moderate": 0.25, "lean": None, "more": None, "null": None}


@pytest.mark.parametrize(("value", "share"), [(True, 1.0), (False, 0.0)])
def test_a_label_that_leaves_no_hundredth_to_all_others_is_known_alone(
    value: bool, share: float
) -> None:
    """A sure model: what else is listed are blanks and other ways to write the same."""
    word = "true" if value else "false"
    options = {word: 0.99, " " + word: 0.004, "\n": 0.001}
    found = toxic(*plain('{"toxic":'), listed(word, options), *plain("}"), value=value)
    assert found == {"toxic_prob": pytest.approx(share)}
    probability, each = side(*plain('{"side":'), token('"', 0.999), token("left", 0.995),
                             *plain('"}'))  # fmt: skip
    assert (probability, (each or {}).get("left")) == (1.0, 1.0)
    assert {share for choice, share in (each or {}).items() if choice != "left"} == {None}


def test_of_a_label_that_is_listed_alone_nothing_is_known() -> None:
    assert toxic(*plain('{"toxic":'), token("true", 0.9, maybe=0.05), *plain("}")) == {
        "toxic_prob": None
    }
    assert side(*plain('{"side":'), token('"left', 0.9), *plain('"}')) == (None, None)


def test_a_blank_before_the_value_says_nothing_of_it() -> None:
    options = {" true": 0.3, " false": 0.1, " ": 0.3, "\n": 0.1, "": 0.1}
    found = toxic(*plain('{"toxic":'), listed(" true", options), *plain("}"))
    assert found == {"toxic_prob": pytest.approx(0.75)}


def test_a_value_may_begin_within_a_token() -> None:
    options = {'": true': 0.3, '": false': 0.1, '":\n true': 0.1, "s: false": 0.3, "false": 0.1}
    found = toxic(*plain('{"toxic'), listed('": true', options), *plain("}"))
    assert found == {"toxic_prob": pytest.approx(0.8)}


def test_what_was_said_counts_though_it_was_not_among_the_top() -> None:
    """Sampled from further down: OpenAI and vLLM give it beside the list."""
    chosen = token("true", 0.2, false=0.6)
    chosen["top_logprobs"] = [one for one in chosen["top_logprobs"] if one["token"] != "true"]
    found = toxic(*plain('{"toxic":'), chosen, *plain("}"))
    assert found == {"toxic_prob": pytest.approx(0.25)}


def test_two_tokens_of_one_text_are_two() -> None:
    """A byte and a character, as some vocabularies have them."""
    chosen = token("true", 0.2, false=0.6)
    chosen["top_logprobs"].append(token("true", 0.1)["top_logprobs"][0])
    assert toxic(*plain('{"toxic":'), chosen, *plain("}")) == {
        "toxic_prob": pytest.approx(0.3 / 0.9)
    }


def test_minus_9999_is_said_of_what_is_unlikely_and_is_no_zero() -> None:
    chosen = token("true", 0.9)
    chosen["top_logprobs"].append({"token": "false", "bytes": None, "logprob": -9999.0})
    assert toxic(*plain('{"toxic":'), chosen, *plain("}")) == {"toxic_prob": None}


def test_labels_that_begin_alike_are_told_apart_where_they_part() -> None:
    probability, each = side(
        *plain('{"side": '),
        token('"', 0.8, null=0.2),
        token("l", 0.5, m=0.5),
        token("e", 1.0),
        token("f", 0.25, a=0.75),
        *plain('t"', "}"),
    )
    assert probability == pytest.approx(0.1)
    assert each == {"left": 0.1, "lean": 0.3, "moderate": None, "more": None, "null": 0.2}


def test_what_two_labels_could_go_on_with_is_theirs_and_no_third_ones() -> None:
    """Else the null of a tenth would seem to be nine tenths."""
    probability, each = side(
        *plain('{"side":'), token("null", 0.1, _le=0.8, _left=0.1), *plain("}"),
        value=None,
    )  # fmt: skip
    assert probability == pytest.approx(0.1)
    assert each == {"left": None, "lean": None, "moderate": None, "more": None, "null": 0.1}


def test_a_label_ends_where_its_quote_does() -> None:
    """`left` and `leftmost` are told apart by the quote."""
    (label,) = labels_of([{"name": "side", "type": "choice", "choices": ["left", "leftmost"]}])
    said = [*plain('{"side":', ' "', "left"), listed('"}', {'"}': 0.3, "most": 0.6, "ish": 0.1})]
    found = read_probabilities(said, '{"side": "left"}', (label,), {"side": "left"})
    assert found["side_prob"] == pytest.approx(1 / 3)


def test_a_literal_ends_where_json_goes_on() -> None:
    options = {"true": 0.4, "true,": 0.1, "true ": 0.1, "trueish": 0.1, "false": 0.2}
    found = toxic(*plain('{"toxic":'), listed("true", options), *plain("}"))
    assert found == {"toxic_prob": pytest.approx(0.75)}


def test_what_a_model_thinks_before_it_answers_is_not_its_answer() -> None:
    thought = [*plain('<think>{"toxic":'), token("true", 0.9, false=0.1), *plain("}</think>")]
    answer = [*plain('{"toxic":'), token("true", 0.3, false=0.6), *plain("}")]
    found = read_probabilities(
        [*thought, *answer, *plain("<|end|>")], '{"toxic":true}', BOOL, {"toxic": True}
    )
    assert found == {"toxic_prob": pytest.approx(1 / 3)}


def test_a_fence_around_the_answer_does_not_matter() -> None:
    said = [*plain("```json\n", '{"toxic": '), token("true", 0.3, false=0.6), *plain("}\n```")]
    found = read_probabilities(said, '```json\n{"toxic": true}\n```', BOOL, {"toxic": True})
    assert found == {"toxic_prob": pytest.approx(1 / 3)}


@pytest.mark.parametrize("with_bytes", [True, False])
def test_a_character_may_be_cut_in_two(with_bytes: bool) -> None:
    """Where the server gives the bytes, they are counted; where it doesn't, nothing is guessed."""
    declared = labels_of([{"name": "topic", "type": "text"}, {"name": "toxic", "type": "bool"}])
    butterfly = "🦋".encode()
    said = [
        *plain('{"topic": "'), token(butterfly[:2], 1.0), token(butterfly[2:], 1.0),
        *plain('", "toxic":'), token(" true", 0.3, **{" false": 0.6}), *plain("}"),
    ]  # fmt: skip
    if not with_bytes:
        said = [{**one, "bytes": None} for one in said]
    values: dict[str, LabelValue] = {"topic": "🦋", "toxic": True}
    found = read_probabilities(said, '{"topic": "🦋", "toxic": true}', declared, values)
    assert found == {"toxic_prob": pytest.approx(1 / 3) if with_bytes else None}


def test_a_label_named_in_another_labels_text_is_not_taken_for_it() -> None:
    declared = labels_of([{"name": "topic", "type": "text"}, {"name": "toxic", "type": "bool"}])
    topic = '"toxic": true, {"toxic": true}'
    opening = json.dumps({"topic": topic})[:-1]
    said = [*plain(opening, ', "toxic": '), token("false", 0.6, true=0.3), *plain("}")]
    content = json.dumps({"topic": topic, "toxic": False})
    assert read_probabilities(said, content, declared, {"topic": topic, "toxic": False}) == {
        "toxic_prob": pytest.approx(1 / 3)
    }


def test_a_post_of_several_is_found_under_its_id() -> None:
    said = [
        *plain('{"a7": {"toxic": '), token("true", 0.9, false=0.1),
        *plain('}, "k3": {"toxic": '), token("true", 0.2, false=0.8), *plain("}}"),
    ]  # fmt: skip
    content = '{"a7": {"toxic": true}, "k3": {"toxic": true}}'
    for within, expected in (("a7", 0.9), ("k3", 0.2)):
        found = read_probabilities(said, content, BOOL, {"toxic": True}, within=(within,))
        assert found == {"toxic_prob": pytest.approx(expected)}


ODD_TOKENS: list[Any] = [
    5, None, "true", {}, {"token": "true"}, {"token": "true", "logprob": -0.1},
    {"token": "true", "logprob": None, "top_logprobs": []},
    {"token": "true", "logprob": -0.1, "top_logprobs": None},
    {"token": "true", "logprob": -0.1, "top_logprobs": [5]},
    {"token": "true", "logprob": -0.1, "top_logprobs": [{"token": "false"}]},
    {"token": "true", "logprob": 7.5, "top_logprobs": [{"token": "false", "logprob": 7.0}]},
    {"token": "true", "logprob": 10**400, "top_logprobs": []},
    {"token": "true", "logprob": float("nan"), "top_logprobs": []},
    {"token": "true", "bytes": 10**12, "logprob": -0.1, "top_logprobs": []},
    {"token": "true", "bytes": [300], "logprob": -0.1, "top_logprobs": []},
    {"token": "\ud83d", "logprob": -0.1, "top_logprobs": []},
    {"token": "true", "logprob": -9999.0, "top_logprobs": [{"token": "false", "logprob": -9999}]},
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD_TOKENS, ids=repr)
def test_tokens_of_any_other_shape_tell_nothing(odd: Any) -> None:
    said = [*plain('{"toxic":'), odd, *plain("}")]
    assert read_probabilities(said, '{"toxic":true}', BOOL, {"toxic": True}) == {"toxic_prob": None}


def test_no_tokens_tell_nothing() -> None:
    assert read_probabilities([], '{"toxic":true}', BOOL, {"toxic": True}) == {"toxic_prob": None}


# A model that is known: each label's probability, and every way to cut it into tokens alike.
FORMS = {choice: json.dumps(choice) for choice in CHOICES}


@st.composite
def vocabularies(draw: st.DrawFn) -> list[str]:
    """Single characters, which make everything sayable, and random pieces of the labels; a blank
    only before something, as tokenizers have it."""
    pieces = {piece for form in FORMS.values() for piece in (*form, " " + form[0])}
    for form in FORMS.values():
        for _ in range(draw(st.integers(0, 4))):
            start = draw(st.integers(0, len(form) - 1))
            end = draw(st.integers(start + 1, len(form)))
            pieces.add(draw(st.sampled_from(["", " "])) + form[start:end])
    return sorted(pieces)


def ways(form: str, vocabulary: list[str]) -> dict[tuple[str, ...], float]:
    """Each way to cut ` form` or `form` into tokens, and its probability: all steps alike."""
    found: dict[tuple[str, ...], float] = {}

    def cut(rest: str, before: tuple[str, ...], probability: float) -> None:
        if not rest:
            found[before] = found.get(before, 0.0) + probability
            return
        steps = [piece for piece in vocabulary if rest.startswith(piece)]
        for step in steps:
            cut(rest[len(step) :], (*before, step), probability / len(steps))

    cut(form, (), 0.5)
    cut(" " + form, (), 0.5)
    return found


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_with_all_tokens_listed_a_share_is_the_models_own(data: st.DataObject) -> None:
    vocabulary = data.draw(vocabularies())
    weights = [data.draw(st.floats(0.01, 1)) for _ in CHOICES]
    prior = {choice: w / sum(weights) for choice, w in zip(CHOICES, weights, strict=True)}
    paths = {choice: ways(form, vocabulary) for choice, form in FORMS.items()}
    chosen = data.draw(st.sampled_from(CHOICES))
    path = data.draw(st.sampled_from(sorted(paths[chosen])))
    junk = data.draw(st.floats(0, 0.9))

    said: list[dict[str, Any]] = plain('{"side":')
    for step in range(len(path)):
        options: dict[str, float] = {}
        for choice, cuts in paths.items():
            for cut, probability in cuts.items():
                if cut[:step] == path[:step] and len(cut) > step:
                    mass = prior[choice] * probability
                    options[cut[step]] = options.get(cut[step], 0.0) + mass
        whole = sum(options.values())
        options = {text: mass / whole * (1 - junk) for text, mass in options.items()}
        if junk:
            options["junk"] = junk
        said.append(listed(path[step], options))
    found = read_probabilities(
        [*said, *plain("}")], '{"side":' + "".join(path) + "}", CHOICE, {"side": chosen}
    )

    each = json.loads(str(found["side_probs"])) if found["side_probs"] else {}
    for choice, share in [(chosen, found["side_prob"]), *((c, each.get(c or "null"))
                                                           for c in CHOICES)]:  # fmt: skip
        if share is not None:
            assert 0 <= share <= 1
            if not junk:
                assert share == pytest.approx(prior[choice], abs=BLUR + 1e-6)
    assert sum(filter(None, each.values())) <= 1 + 1e-5


PIECES = st.text('"ltrue fas,}n', max_size=5)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(PIECES, st.floats(-20, 0), max_size=6), st.sampled_from([" ", "", "  "]))
def test_whatever_is_listed_a_probability_is_one_or_there_is_none(
    options: dict[str, float], blank: str
) -> None:
    top = [{"token": text, "logprob": logprob} for text, logprob in options.items()]
    chosen = {"token": blank + "true", "logprob": -1.5, "top_logprobs": top}
    said = [*plain('{"toxic":'), chosen, *plain("}")]
    share = read_probabilities(said, '{"toxic":' + blank + "true}", BOOL, {"toxic": True})[
        "toxic_prob"
    ]
    assert share is None or 0 <= float(share) <= 1
