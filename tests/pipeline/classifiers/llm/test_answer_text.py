"""What counts as the answer of a model, and what makes it none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.llm.answer_problems import AnswerProblem, InvalidAnswer
from pipeline.classifiers.llm.answer_text import object_text, read_object

OBJECT = {"civic": True, "topic": "trains"}
TEXT = json.dumps(OBJECT)
WRAPPED = [
    "{}", " \n{}\n\n\n", "{}" + " \n\t" * 500,
    "```json\n{}\n```", "```JSON\n{}\n```", "```Json {}```", "```\n{}\n```", "```{}```",
    "````json\n{}\n````", "~~~\n{}\n~~~", "~~~json\n{}\n~~~", "```json5\n{}\n```",
    "\n```jsonc\r\n{}\r\n```\n",
    "<think>Trains?</think>{}", "<think>\n\n</think>\n\n{}", "<thinking>a</thinking> {}",
    "<thought>a</thought>{}", "<seed:think>a</seed:think>{}", "[THINK]a[/THINK]{}",
    "◁think▷a◁/think▷{}",
    "the template opened it</think>\n{}",  # as with DeepSeek R1 and QwQ
    "<think>a</think><think>b</think>{}",
    '<think>The post says "</think>{"civic": false}", but no.</think>{}',
    "<think>```json\n{\"civic\": false}\n```</think>\n```json\n{}\n```",
]  # fmt: skip


@pytest.mark.parametrize("around", WRAPPED)
def test_thinking_before_and_a_fence_around_an_object_do_not_matter(around: str) -> None:
    before, _, after = around.rpartition("{}")
    content = f"{before}{TEXT}{after}"
    assert read_object(content) == OBJECT
    assert object_text(content) == TEXT


INVALID: list[tuple[str, AnswerProblem]] = [
    ("", AnswerProblem.NOT_JSON),
    (f"Here it is: {TEXT}", AnswerProblem.NOT_JSON),
    (f"{TEXT} I hope this helps.", AnswerProblem.NOT_JSON),
    (f"Sure!\n```json\n{TEXT}\n```", AnswerProblem.NOT_JSON),
    (f"```json\n{TEXT}\n```\nDone.", AnswerProblem.NOT_JSON),
    (f"```json\n{TEXT}\n```\n```json\n{TEXT}\n```", AnswerProblem.NOT_JSON),
    (f"```json\n{TEXT}", AnswerProblem.NOT_JSON),
    (f"`{TEXT}`", AnswerProblem.NOT_JSON),
    (f"```json\n{TEXT}\n~~~", AnswerProblem.NOT_JSON),
    (TEXT * 2, AnswerProblem.NOT_JSON),
    (TEXT[:-1], AnswerProblem.NOT_JSON),
    (f"[{TEXT}]", AnswerProblem.NOT_AN_OBJECT),
    ("true", AnswerProblem.NOT_AN_OBJECT),
    (f"{TEXT}<think>or not?</think>", AnswerProblem.ONLY_THINKING),
    (f"<think>{TEXT}", AnswerProblem.ONLY_THINKING),
    (f"<think>{TEXT}</think>", AnswerProblem.ONLY_THINKING),
    (f"<think>{TEXT}</thinking>{TEXT}", AnswerProblem.ONLY_THINKING),
    (f"<think>a</think>{TEXT} or {TEXT}", AnswerProblem.NOT_JSON),
    (f"<think>a</think>I think {TEXT}", AnswerProblem.NOT_JSON),
    (f"<think>a [/THINK]{TEXT}", AnswerProblem.ONLY_THINKING),
]  # fmt: skip


@pytest.mark.parametrize(("content", "problem"), INVALID)
def test_anything_else_around_an_object_makes_it_none(content: str, problem: AnswerProblem) -> None:
    with pytest.raises(InvalidAnswer) as raised:
        read_object(content)
    assert raised.value.problem is problem


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20)
    | st.sampled_from(["</think>", "<think>", "```", "a</think>{", "}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)  # fmt: skip
OBJECTS = st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4)
FENCES = st.sampled_from(
    [("", ""), ("```\n", "\n```"), ("~~~json\n", "\n~~~"), ("```JSON ", "```")]
)
THINKING = st.text(max_size=60).filter(lambda text: "think" not in text.lower())


@given(OBJECTS, FENCES, st.none() | THINKING, st.sampled_from(["", " ", "\n\n\t"]))
def test_every_object_is_read_whatever_its_strings_contain(
    value: dict[str, Any], fence: tuple[str, str], thinking: str | None, blanks: str
) -> None:
    before = "" if thinking is None else f"<think>{thinking}</think>"
    content = f"{before}{blanks}{fence[0]}{json.dumps(value)}{fence[1]}{blanks}"
    assert read_object(content) == value


WORDS = st.text(min_size=1, max_size=20).filter(
    lambda text: text.strip().strip("`~") and not set(text) & set("<>[]◁▷")
)


@given(OBJECTS, WORDS)
def test_words_behind_an_object_make_it_none(value: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidAnswer):
        read_object(json.dumps(value) + words)


@given(st.text(max_size=300) | st.text(alphabet='<>/think`~{}"[]:,\n ', max_size=80))
def test_any_text_is_an_object_or_an_invalid_answer(content: str) -> None:
    try:
        answer = read_object(content)
    except InvalidAnswer as invalid:
        assert invalid.problem in AnswerProblem
    else:
        assert isinstance(answer, dict)
        assert object_text(content) in content
        assert json.loads(object_text(content)) is not None


def test_long_runs_of_tags_take_no_quadratic_time() -> None:
    for tag in ("</think>", "<think>", "`", "~", "```"):
        with pytest.raises(InvalidAnswer):
            read_object(tag * 100_000)
