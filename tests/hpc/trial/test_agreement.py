"""The agreement of two sides in a few labels."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.trial.agreement import Agreement, Measure, Side, measure_agreement
from pipeline.model import Column, ColumnKind

FLAG, NUMBER = Column("toxic", ColumnKind.FLAG), Column("score", ColumnKind.NUMBER)


def side(title: str, *columns: Column, **values: dict[str, Any]) -> Side:
    return Side(title=title, columns=columns, values=values)


def test_equal_values_are_counted_and_numbers_are_subtracted() -> None:
    gold = side(
        "gold", FLAG, NUMBER,
        a={"toxic": True, "score": 0.5}, b={"toxic": False, "score": 1.0},
        c={"toxic": True, "score": None}, only_gold={"toxic": True, "score": 0.0},
    )  # fmt: skip
    llm = side(
        "llm", FLAG, NUMBER,
        a={"toxic": True, "score": 0.25}, b={"toxic": True, "score": 0.25},
        c={"toxic": True, "score": 0.9}, only_llm={"toxic": True, "score": 0.0},
    )  # fmt: skip
    assert measure_agreement(gold, llm) == [
        Agreement(a="gold", b="llm", label="toxic", measure=Measure.SHARE_EQUAL, posts=3,
                  value=2 / 3),
        Agreement(a="gold", b="llm", label="score", measure=Measure.MEAN_ABSOLUTE_ERROR, posts=2,
                  value=0.5),
    ]  # fmt: skip


def test_without_a_post_in_common_there_is_no_value() -> None:
    one, other = side("a", FLAG, x={"toxic": True}), side("b", FLAG, y={"toxic": True})
    (agreement,) = measure_agreement(one, other)
    assert (agreement.posts, agreement.value) == (0, None)


@pytest.mark.parametrize(
    "column",
    [
        Column("toxic", ColumnKind.TEXT),
        Column("score", ColumnKind.FLAG),
        Column("llm_prompt_tokens", ColumnKind.COUNT),
        Column("moderation_model", ColumnKind.TEXT),
        Column("dropped", ColumnKind.TEXT, fact=True),
    ],
)
def test_what_is_no_common_label_is_left_out(column: Column) -> None:
    mine = side("a", FLAG, NUMBER, *([column] if column.name not in ("toxic", "score") else []))
    assert measure_agreement(mine, side("b", column)) == []


LABELS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.fixed_dictionaries({"toxic": st.none() | st.booleans(), "score": st.none() | st.floats()}),
)


@given(LABELS, LABELS)
def test_agreement_does_not_depend_on_the_side_and_is_perfect_with_oneself(
    mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    a, b = side("a", FLAG, NUMBER, **mine), side("b", FLAG, NUMBER, **theirs)
    forth, back = measure_agreement(a, b), measure_agreement(b, a)
    assert [each.posts for each in forth] == [each.posts for each in back]
    assert [each.value for each in forth] == pytest.approx([each.value for each in back])
    assert {each.value for each in measure_agreement(a, a)} <= {None, 0.0, 1.0}
