"""Probabilities of values from their tokens, held against a model that is known exactly."""

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.classifiers.llm.probabilities import BLUR, probability_columns, read_probabilities
from pipeline.model import Column, LabelValue
from tests.pipeline.classifiers.classifier_setup import labels_of

BOOL = labels_of([{"name": "toxic", "type": "bool"}])
CHOICES: list[str | None] = ["left", "lean", "moderate", "more", None]
CHOICE = labels_of([{"name": "side", "type": "choice", "choices": CHOICES}])


def token(text: str | bytes, probability: float, **others: float) -> dict[str, Any]:
    """Return a token with `others` as its alternatives; `_` stands for a quote."""
    return listed(text, {text: probability} | {k.replace("_", '"'): p for k, p in others.items()})


def listed(chosen: str | bytes, options: Mapping[Any, float]) -> dict[str, Any]:
    def entry(text: str | bytes, probability: float) -> dict[str, Any]:
        raw = text.encode() if isinstance(text, str) else text
        shown = raw.decode(errors="replace")
        return {"token": shown, "bytes": list(raw), "logprob": math.log(probability)}

    top = [entry(text, probability) for text, probability in options.items()]
    return {**entry(chosen, options[chosen]), "top_logprobs": top}


def plain(*texts: str) -> list[dict[str, Any]]:
    return [token(text, 1.0) for text in texts]


def toxic(*tokens: Any, value: bool = True) -> dict[str, LabelValue]:
    content = b"".join(bytes(entry["bytes"]) for entry in tokens).decode()
    return read_probabilities(tokens, content, BOOL, {"toxic": value})


def side(*tokens: Any, value: str | None = "left") -> tuple[Any, dict[str, Any] | None]:
    content = b"".join(bytes(entry["bytes"]) for entry in tokens).decode()
    probabilities = read_probabilities(tokens, content, CHOICE, {"side": value})
    each = probabilities["side_probs"]
    return probabilities["side_prob"], json.loads(each) if isinstance(each, str) else None


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
    tokens = [*plain('{"side":'), token('""', 0.6, null=0.2), *plain("}")]
    probabilities = read_probabilities(tokens, '{"side":""}', declared, {"side": ""})
    assert json.loads(str(probabilities["side_probs"])) == {"": 0.75, "null": 0.25}


@pytest.mark.parametrize("value", [True, False])
def test_the_probability_of_a_bool_is_that_of_true(value: bool) -> None:
    options = {"true": 0.6, "false": 0.2, "maybe": 0.1}
    probabilities = toxic(*plain('{"toxic":'), listed("true" if value else "false", options),
                  *plain("}"), value=value)  # fmt: skip
    assert probabilities == {"toxic_prob": pytest.approx(0.75)}


def test_the_spellings_of_a_value_are_summed() -> None:
    options = {" true": 0.5, "true": 0.1, " tr": 0.04, "\ttrue}": 0.06, " false": 0.2, " True": 0.1}
    probabilities = toxic(*plain('{"toxic":'), listed(" true", options), *plain("}"))
    assert probabilities == {"toxic_prob": pytest.approx(0.7 / 0.9)}


def test_a_value_that_is_not_listed_is_unknown_and_not_0() -> None:
    probability, each = side(
        *plain('{"side":'), token('"left', 0.6, _moderate=0.2, _right=0.1), *plain('"}')
    )
    assert probability == pytest.approx(0.75)
    assert each == {"left": 0.75, "moderate": 0.25, "lean": None, "more": None, "null": None}


@pytest.mark.parametrize(("value", "share"), [(True, 1.0), (False, 0.0)])
def test_a_value_above_99_percent_is_known_even_if_listed_alone(value: bool, share: float) -> None:
    """A confident model lists only blanks and other spellings of the same value beside it."""
    word = "true" if value else "false"
    options = {word: 0.99, " " + word: 0.004, "\n": 0.001}
    probabilities = toxic(*plain('{"toxic":'), listed(word, options), *plain("}"), value=value)
    assert probabilities == {"toxic_prob": pytest.approx(share)}
    probability, each = side(*plain('{"side":'), token('"', 0.999), token("left", 0.995),
                             *plain('"}'))  # fmt: skip
    assert (probability, (each or {}).get("left")) == (1.0, 1.0)
    assert {share for choice, share in (each or {}).items() if choice != "left"} == {None}


def test_a_value_that_is_listed_alone_is_unknown() -> None:
    assert toxic(*plain('{"toxic":'), token("true", 0.9, maybe=0.05), *plain("}")) == {
        "toxic_prob": None
    }
    assert side(*plain('{"side":'), token('"left', 0.9), *plain('"}')) == (None, None)


def test_a_blank_before_the_value_does_not_count() -> None:
    options = {" true": 0.3, " false": 0.1, " ": 0.3, "\n": 0.1, "": 0.1}
    probabilities = toxic(*plain('{"toxic":'), listed(" true", options), *plain("}"))
    assert probabilities == {"toxic_prob": pytest.approx(0.75)}


def test_a_value_may_begin_within_a_token() -> None:
    options = {'": true': 0.3, '": false': 0.1, '":\n true': 0.1, "s: false": 0.3, "false": 0.1}
    probabilities = toxic(*plain('{"toxic'), listed('": true', options), *plain("}"))
    assert probabilities == {"toxic_prob": pytest.approx(0.8)}


def test_the_chosen_token_counts_even_if_it_is_not_among_the_top() -> None:
    """It was sampled from further down; OpenAI and vLLM report it beside the list."""
    chosen = token("true", 0.2, false=0.6)
    chosen["top_logprobs"] = [entry for entry in chosen["top_logprobs"] if entry["token"] != "true"]
    probabilities = toxic(*plain('{"toxic":'), chosen, *plain("}"))
    assert probabilities == {"toxic_prob": pytest.approx(0.25)}


def test_two_tokens_with_the_same_text_both_count() -> None:
    """Some vocabularies have a token for a byte and entry for the same character."""
    chosen = token("true", 0.2, false=0.6)
    chosen["top_logprobs"].append(token("true", 0.1)["top_logprobs"][0])
    assert toxic(*plain('{"toxic":'), chosen, *plain("}")) == {
        "toxic_prob": pytest.approx(0.3 / 0.9)
    }


def test_a_logprob_of_minus_9999_is_unknown_and_not_0() -> None:
    chosen = token("true", 0.9)
    chosen["top_logprobs"].append({"token": "false", "bytes": None, "logprob": -9999.0})
    assert toxic(*plain('{"toxic":'), chosen, *plain("}")) == {"toxic_prob": None}


def test_values_with_a_common_beginning_are_distinguished_later() -> None:
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


def test_a_token_that_fits_two_values_belongs_to_both() -> None:
    """Otherwise a null with a tenth of the probability would seem to have nine tenths."""
    probability, each = side(
        *plain('{"side":'), token("null", 0.1, _le=0.8, _left=0.1), *plain("}"),
        value=None,
    )  # fmt: skip
    assert probability == pytest.approx(0.1)
    assert each == {"left": None, "lean": None, "moderate": None, "more": None, "null": 0.1}


def test_the_closing_quote_ends_a_value() -> None:
    """Only the quote distinguishes `left` from `leftmost`."""
    (label,) = labels_of([{"name": "side", "type": "choice", "choices": ["left", "leftmost"]}])
    tokens = [*plain('{"side":', ' "', "left"), listed('"}', {'"}': 0.3, "most": 0.6, "ish": 0.1})]
    probabilities = read_probabilities(tokens, '{"side": "left"}', (label,), {"side": "left"})
    assert probabilities["side_prob"] == pytest.approx(1 / 3)


def test_the_next_json_sign_ends_a_literal() -> None:
    options = {"true": 0.4, "true,": 0.1, "true ": 0.1, "trueish": 0.1, "false": 0.2}
    probabilities = toxic(*plain('{"toxic":'), listed("true", options), *plain("}"))
    assert probabilities == {"toxic_prob": pytest.approx(0.75)}


def test_reasoning_before_the_answer_is_ignored() -> None:
    thought = [*plain('<think>{"toxic":'), token("true", 0.9, false=0.1), *plain("}</think>")]
    answer = [*plain('{"toxic":'), token("true", 0.3, false=0.6), *plain("}")]
    probabilities = read_probabilities(
        [*thought, *answer, *plain("<|end|>")], '{"toxic":true}', BOOL, {"toxic": True}
    )
    assert probabilities == {"toxic_prob": pytest.approx(1 / 3)}


def test_a_fence_around_the_answer_does_not_matter() -> None:
    tokens = [*plain("```json\n", '{"toxic": '), token("true", 0.3, false=0.6), *plain("}\n```")]
    probabilities = read_probabilities(
        tokens, '```json\n{"toxic": true}\n```', BOOL, {"toxic": True}
    )
    assert probabilities == {"toxic_prob": pytest.approx(1 / 3)}


@pytest.mark.parametrize("with_bytes", [True, False])
def test_a_character_split_into_two_tokens_is_read_from_its_bytes(with_bytes: bool) -> None:
    """If the server gives the bytes, they count; otherwise nothing is guessed."""
    declared = labels_of([{"name": "topic", "type": "text"}, {"name": "toxic", "type": "bool"}])
    butterfly = "🦋".encode()
    tokens = [
        *plain('{"topic": "'), token(butterfly[:2], 1.0), token(butterfly[2:], 1.0),
        *plain('", "toxic":'), token(" true", 0.3, **{" false": 0.6}), *plain("}"),
    ]  # fmt: skip
    if not with_bytes:
        tokens = [{**entry, "bytes": None} for entry in tokens]
    values: dict[str, LabelValue] = {"topic": "🦋", "toxic": True}
    probabilities = read_probabilities(tokens, '{"topic": "🦋", "toxic": true}', declared, values)
    assert probabilities == {"toxic_prob": pytest.approx(1 / 3) if with_bytes else None}


def test_a_label_name_inside_a_text_value_is_not_mistaken_for_the_label() -> None:
    declared = labels_of([{"name": "topic", "type": "text"}, {"name": "toxic", "type": "bool"}])
    topic = '"toxic": true, {"toxic": true}'
    opening = json.dumps({"topic": topic})[:-1]
    tokens = [*plain(opening, ', "toxic": '), token("false", 0.6, true=0.3), *plain("}")]
    content = json.dumps({"topic": topic, "toxic": False})
    assert read_probabilities(tokens, content, declared, {"topic": topic, "toxic": False}) == {
        "toxic_prob": pytest.approx(1 / 3)
    }


def test_the_values_of_several_posts_are_found_by_id() -> None:
    tokens = [
        *plain('{"a7": {"toxic": '), token("true", 0.9, false=0.1),
        *plain('}, "k3": {"toxic": '), token("true", 0.2, false=0.8), *plain("}}"),
    ]  # fmt: skip
    content = '{"a7": {"toxic": true}, "k3": {"toxic": true}}'
    for within, expected in (("a7", 0.9), ("k3", 0.2)):
        probabilities = read_probabilities(tokens, content, BOOL, {"toxic": True}, within=(within,))
        assert probabilities == {"toxic_prob": pytest.approx(expected)}


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
def test_malformed_tokens_give_no_probability(odd: Any) -> None:
    tokens = [*plain('{"toxic":'), odd, *plain("}")]
    assert read_probabilities(tokens, '{"toxic":true}', BOOL, {"toxic": True}) == {
        "toxic_prob": None
    }


def test_no_tokens_give_no_probability() -> None:
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
    """Yield each way to split ` form` or `form` into tokens, with its probability."""
    probabilities: dict[tuple[str, ...], float] = {}

    def cut(rest: str, before: tuple[str, ...], probability: float) -> None:
        if not rest:
            probabilities[before] = probabilities.get(before, 0.0) + probability
            return
        steps = [piece for piece in vocabulary if rest.startswith(piece)]
        for step in steps:
            cut(rest[len(step) :], (*before, step), probability / len(steps))

    cut(form, (), 0.5)
    cut(" " + form, (), 0.5)
    return probabilities


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_shares_are_exact_if_all_tokens_are_listed(data: st.DataObject) -> None:
    vocabulary = data.draw(vocabularies())
    weights = [data.draw(st.floats(0.01, 1)) for _ in CHOICES]
    prior = {choice: w / sum(weights) for choice, w in zip(CHOICES, weights, strict=True)}
    paths = {choice: ways(form, vocabulary) for choice, form in FORMS.items()}
    chosen = data.draw(st.sampled_from(CHOICES))
    path = data.draw(st.sampled_from(sorted(paths[chosen])))
    junk = data.draw(st.floats(0, 0.9))

    tokens: list[dict[str, Any]] = plain('{"side":')
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
        tokens.append(listed(path[step], options))
    probabilities = read_probabilities(
        [*tokens, *plain("}")], '{"side":' + "".join(path) + "}", CHOICE, {"side": chosen}
    )

    each = json.loads(str(probabilities["side_probs"])) if probabilities["side_probs"] else {}
    for choice, share in [(chosen, probabilities["side_prob"]), *((c, each.get(c or "null"))
                                                           for c in CHOICES)]:  # fmt: skip
        if share is not None:
            assert 0 <= share <= 1
            if not junk:
                assert share == pytest.approx(prior[choice], abs=BLUR + 1e-6)
    assert sum(filter(None, each.values())) <= 1 + 1e-5


PIECES = st.text('"ltrue fas,}n', max_size=5)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(PIECES, st.floats(-20, 0), max_size=6), st.sampled_from([" ", "", "  "]))
def test_a_probability_is_between_0_and_1_or_null(options: dict[str, float], blank: str) -> None:
    top = [{"token": text, "logprob": logprob} for text, logprob in options.items()]
    chosen = {"token": blank + "true", "logprob": -1.5, "top_logprobs": top}
    tokens = [*plain('{"toxic":'), chosen, *plain("}")]
    share = read_probabilities(tokens, '{"toxic":' + blank + "true}", BOOL, {"toxic": True})[
        "toxic_prob"
    ]
    assert share is None or 0 <= float(share) <= 1
