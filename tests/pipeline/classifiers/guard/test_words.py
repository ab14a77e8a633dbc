"""An answer is one of the declared words, in the ways that models write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.guard.words import read_categories, read_word, spellings_of
from pipeline.classifiers.llm.answer_problems import AnswerProblem, InvalidAnswer

WORDS = {"unsafe": True, "safe": False, "да": True, "1": True, "safe with care": False}
BLANKS = st.text(alphabet=" \t\r\n\u00a0\u3000", max_size=4)


@given(
    word=st.sampled_from(sorted(WORDS)).flatmap(
        lambda word: st.sampled_from([(word, way) for way in spellings_of(word)])
    ),
    before=BLANKS,
    prefix=st.sampled_from(["", "Safety:", "✓ "]),
    between=BLANKS,
    after=st.sampled_from(["", "\nS1,S10", ".", ", because", "<|eot_id|>", "\ufffd", " 5"]),
)
def test_a_declared_word_is_read_in_any_case_after_blanks_and_before_other_signs(
    word: tuple[str, str], before: str, prefix: str, between: str, after: str
) -> None:
    declared, way = word
    answer = before + prefix + between + way + after
    found = read_word(answer, WORDS, prefix)
    assert (found.value, found.after) == (WORDS[declared], after)
    assert answer[found.start :] == way + after


OTHER, UNFINISHED = AnswerProblem.OTHER_WORD, AnswerProblem.WORD_UNFINISHED


@pytest.mark.parametrize(
    ("answer", "prefix", "problem"),
    [
        ("I cannot judge this: safe or unsafe", "", OTHER),
        ("safety first", "", OTHER),
        ("safe-ish", "", OTHER),
        ("1.5", "", OTHER),
        ("10", "", OTHER),
        ("**safe**", "", OTHER),
        ("Safety: safe", "", OTHER),
        ("safe", "Safety:", OTHER),
        ("un", "", UNFINISHED),
        ("Saf", "Safety:", UNFINISHED),
        ("Safety: ", "Safety:", UNFINISHED),
        (" \n ", "", AnswerProblem.NO_CONTENT),
    ],
)
def test_any_other_answer_is_no_label(answer: str, prefix: str, problem: AnswerProblem) -> None:
    with pytest.raises(InvalidAnswer) as raised:
        read_word(answer, WORDS, prefix)
    assert raised.value.problem is problem


@pytest.mark.parametrize(
    ("after", "categories"),
    [
        ("", None),
        (". It is rude", None),
        ("\nS1,S10", "S1,S10"),
        ("\n\n S1\nmore", "S1"),
        ("\r\nCategories: Violent, PII", "Violent, PII"),
        ("\ncategory:\n", None),
        ("\nhalf \ud83d", "half ?"),
    ],
)
def test_the_line_after_the_word_has_the_categories(after: str, categories: str | None) -> None:
    assert read_categories(after) == categories
