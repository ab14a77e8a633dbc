"""The probability of a word among the declared ones, from the tokens that a server lists."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.guard.word_odds import word_shares
from pipeline.classifiers.guard.words import spellings_by_value

YES_NO = {"yes": True, "no": False}
SAFETY = {"unsafe": True, "safe": False}
# Every way to begin each word; what follows may be a part of the word, or what ends it.
OF_VALUE = {
    True: ("yes", "Yes", "YES", " yes", "\n\nYes", "ye", "Y", "yes,", "Yes<"),
    False: ("no", "No", "NO", " no", "\tNo", "n", " N", "no.", "No\n"),
}
OTHERS = ("not", "yesterday", "Nobody", "maybe", " ", "\n", "", "{", "\ufffd")
VALUE_OF = {text: value for value, texts in OF_VALUE.items() for text in texts}
weights = st.floats(min_value=1e-3, max_value=1)


def token(text: str, alternatives: Mapping[str, float], **more: Any) -> dict[str, Any]:
    """A token as servers report it: natural logarithms, the chosen one among the others or not."""
    listed = [{"token": other, "logprob": math.log(p)} for other, p in alternatives.items()]
    return {"token": text, "logprob": math.log(alternatives.get(text, 1e-6)),
            "top_logprobs": listed, **more}  # fmt: skip


def shares(
    tokens: Sequence[Mapping[str, Any]], answer: str, words: Mapping[str, bool] = YES_NO
) -> Any:
    start = len(answer) - len(answer.lstrip())
    return word_shares(tokens, answer, start, spellings_by_value(words))


@st.composite
def distributions(draw: st.DrawFn) -> dict[str, float]:
    """Tokens of both words and of none, in any order, whose probabilities add up to 1."""
    texts = [
        *draw(st.lists(st.sampled_from(OF_VALUE[True]), min_size=1, unique=True)),
        *draw(st.lists(st.sampled_from(OF_VALUE[False]), min_size=1, unique=True)),
        *draw(st.lists(st.sampled_from(OTHERS), unique=True)),
    ]
    drawn = {text: draw(weights) for text in draw(st.permutations(texts))}
    return {text: weight / sum(drawn.values()) for text, weight in drawn.items()}


@given(distributions(), st.data())
def test_all_ways_to_begin_a_word_count_for_it_and_the_shares_of_all_words_add_up_to_1(
    listed: dict[str, float], data: st.DataObject
) -> None:
    chosen = data.draw(st.sampled_from([text for text in listed if text.strip().lower() in YES_NO]
                                       or [" yes"]))  # fmt: skip
    of_words = {value: sum(p for text, p in listed.items() if VALUE_OF.get(text) is value)
                for value in (True, False)}  # fmt: skip
    if chosen not in listed:
        of_words[True] += 1e-6
    found = shares([token(chosen, listed)], chosen)
    total = sum(of_words.values())
    assert found == pytest.approx({value: p / total for value, p in of_words.items()})
    assert sum(found.values()) == pytest.approx(1)
    backwards = dict(reversed(listed.items()))
    assert shares([token(chosen, backwards)], chosen) == pytest.approx(found)


@pytest.mark.parametrize("blank", ["\u2581", "\u0120", "\u010a", " ", "\n", "\u0120\u010a"])
def test_the_signs_with_which_servers_show_a_blank_count_as_one(blank: str) -> None:
    first = token(f"{blank}no", {f"{blank}no": 0.5, f"{blank}Yes": 0.2, "no": 0.1, "maybe": 0.1})
    assert shares([first], "no") == pytest.approx({True: 0.25, False: 0.75})


def test_a_word_of_several_tokens_is_decided_at_the_first_that_tells_it_from_the_others() -> None:
    first = token("un", {"un": 0.7, "safe": 0.2, "Un": 0.05, "unt": 0.05})
    rest = token("safe", {"safe": 0.9, "til": 0.1})
    assert shares([first, rest], "unsafe\nS1", SAFETY) == {}  # these tokens are of another answer
    end = token("\nS1", {"\nS1": 1.0})
    expected = pytest.approx({True: 0.75 / 0.95, False: 0.2 / 0.95})
    assert shares([first, rest, end], "unsafe\nS1", SAFETY) == expected


def test_words_that_begin_alike_are_told_apart_where_they_differ() -> None:
    words = {"safe": False, "sarcastic": True}
    tokens = [token("sa", {"sa": 0.9, "safe": 0.06, "sar": 0.04}),
              token("fe", {"fe": 0.5, "rc": 0.5})]  # fmt: skip
    found = shares(tokens, "safe", words)
    assert found == pytest.approx({False: 0.06 + 0.45, True: 0.04 + 0.45})


def test_blank_tokens_before_the_word_do_not_decide() -> None:
    tokens = [token("\n\n", {"\n\n": 0.6, "unsafe": 0.4}),
              token("safe", {"safe": 0.9, "unsafe": 0.1})]  # fmt: skip
    assert shares(tokens, "\n\nsafe", SAFETY) == pytest.approx({True: 0.1, False: 0.9})


def test_the_last_answer_counts_where_the_model_has_thought_aloud_before() -> None:
    tokens = [token("no", {"no": 1.0}), token(" wait", {" wait": 1.0}),
              token(" no", {" no": 0.6, " yes": 0.4})]  # fmt: skip
    assert shares(tokens, " no") == pytest.approx({True: 0.4, False: 0.6})


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ({"no": 0.9999}, {False: 1.0}),  # whatever is not listed can hardly be "yes"
        ({"no": 0.6, "maybe": 0.3}, {}),  # a tenth is not listed
        ({"no": 0.6, "maybe": 0.4}, {False: 1.0}),
    ],
)
def test_a_word_that_is_not_listed_is_unknown_unless_nothing_is_left_for_it(
    listed: dict[str, float], expected: dict[bool, float]
) -> None:
    assert shares([token("no", listed)], "no") == expected


@pytest.mark.parametrize(
    "tokens",
    [
        [], [None], [{}], [{"token": "no"}], [{"token": "no", "logprob": None, "top_logprobs": []}],
        [{"token": "no", "logprob": float("nan"), "top_logprobs": []}],
        [{"token": "no", "logprob": -0.1, "top_logprobs": [{"token": "no", "logprob": "x"}]}],
        [{"token": "no", "logprob": -0.1, "bytes": "no", "top_logprobs": [7]}],
    ],
)  # fmt: skip
def test_damaged_tokens_say_nothing(tokens: list[Any]) -> None:
    assert shares(tokens, "no") == {}
