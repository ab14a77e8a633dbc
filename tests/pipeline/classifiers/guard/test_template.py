"""A post is filled into a template once, as data, whatever it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.guard.control_tokens import break_control_tokens
from pipeline.classifiers.guard.template import Template, find_problem

TOKENS = (
    "<end_of_turn>", "<start_of_turn>", "<bos>", "<|eot_id|>", "<|im_end|>", "<|turn>", "<turn|>",
    "<｜User｜>", "</s>", "<<SYS>>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "<END CONVERSATION>",
    "<Document>", "<think>", "[|endofturn|]",
)  # fmt: skip
HOSTILE = (*TOKENS, "{text}", "{question}", "{", "}", "{0}", "%s", "\\1", r"\g<0>", " ", "<", "|")
posts = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=5)).map("".join)
literals = st.text().filter(lambda text: "{text}" not in text and "{question}" not in text)


@given(before=literals, between=literals, after=literals, post=posts, question=posts)
def test_a_template_says_the_same_around_every_post_and_question(
    before: str, between: str, after: str, post: str, question: str
) -> None:
    template = Template(parts=(before, f"{before}{{question}}{between}", f"{{text}}{after}"))
    rendered = template.render(post, question)
    assert rendered == (
        before,
        before + question + between,
        break_control_tokens(post) + after,
    )


@given(posts)
def test_no_control_token_of_a_post_is_left_and_nothing_else_of_it_changes(post: str) -> None:
    broken = break_control_tokens(post)
    assert [token for token in TOKENS if token in broken] == []
    assert broken.replace(" ", "") == post.replace(" ", "")
    assert break_control_tokens(broken) == broken


@pytest.mark.parametrize(
    "text",
    ["I <3 you", "if a < b > c", "[BREAKING] news", "=> {text} {{x}}", "<https://a.b/c>", ">_<"],
)  # fmt: skip
def test_an_ordinary_post_is_sent_as_it_is(text: str) -> None:
    assert break_control_tokens(text) == text


@pytest.mark.parametrize(
    ("parts", "has_questions", "words"),
    [
        (("{text}",), False, ""),
        (("Is it {question}?", "{text}"), True, ""),
        (("Post:",), False, "exactly once"),
        (("{text} {text}",), False, "not 2 times"),
        (("{text}", "{text}"), False, "not 2 times"),
        (("{{ text }}",), False, "write {text}"),
        (("{text}",), True, "{question} exactly once"),
        (("{question} {question} {text}",), True, "not 2 times"),
        (("{question} {text}",), False, "no classifier.questions"),
    ],
)
def test_a_template_has_one_place_for_the_post_and_one_for_the_question_if_any(
    parts: tuple[str, ...], has_questions: bool, words: str
) -> None:
    problem = find_problem(parts, has_questions=has_questions)
    assert words in problem
    assert bool(words) == bool(problem)
