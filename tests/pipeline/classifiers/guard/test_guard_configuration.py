"""What a configuration of a guard model may say, and what it is told otherwise."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.frozen_classifier import render_request, what_decides
from pipeline.errors import InputError
from pipeline.model import Post
from tests.pipeline.classifiers.guard.asked_guards import CHAT, guard

KEY = "sk-0123456789abcdef"
QUESTIONS = [{"label": "curious", "question": "curious?"}, {"label": "kind", "question": "kind?"}]
ASKING = [{"role": "system", "content": "Is it {question}"}, *CHAT]


def files(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"messages": None}, "prompt: give either prompt or messages"),
        ({"prompt": "good.txt"}, "prompt: give either prompt or messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content: give either content or file"),
        ({"messages": [{"role": "judge", "content": "x"}]}, "messages[0].role: should be one of"),
        ({"messages": None, "prompt": "none.txt"}, "prompt: there is no file"),
        ({"messages": None, "prompt": "bos.txt"}, "prompt: begins with <bos>"),
        ({"messages": None, "prompt": "twice.txt"}, "prompt: should have {text} exactly once"),
        ({"messages": [{"role": "user", "file": "twice.txt"}]}, "messages: should have {text}"),
        (
            {"messages": [{"role": "user", "file": "policy.txt"}]},
            "messages[0]: line 2 has '{policy}'",
        ),
        ({"label": None}, "label: give either label or questions"),
        ({"questions": QUESTIONS}, "label: give either label or questions"),
        ({"label": "Unsafe"}, "label: should be a lower-case column name"),
        ({"label": "uri"}, "label: there is another column 'uri'"),
        ({"label": "categories", "categories": True}, "label: there is another column"),
        ({"label": None, "questions": QUESTIONS}, "messages: should have {question} exactly once"),
        ({"messages": ASKING}, "messages: has {question}, but there are no classifier.questions"),
        (
            {"label": None, "questions": [*QUESTIONS, {"label": "prob_kind", "question": "?"}],
             "messages": ASKING},
            "questions[2].label: there is another column 'prob_kind'",
        ),
        (
            {"label": None, "questions": [{"label": "kind", "question": "{text}?"}],
             "messages": ASKING},
            "questions[0].question: has {text} or {question}",
        ),
        (
            {"label": None, "questions": QUESTIONS, "messages": ASKING, "categories": True},
            "categories: belongs to one label",
        ),
        ({"words": {"unsafe": True}}, "words: should be a mapping of 2 or more keys"),
        ({"words": {True: True, False: False}}, "words: should be text (quote it), not True"),
        ({"words": {"yes": True, "no": "no"}}, "words: should all stand for true or false"),
        ({"words": {"yes": True, "yeah": True}}, "words: should stand for two values"),
        ({"words": {"yes": True, "Yes": False}}, "words: 'yes' and 'Yes' are one word"),
        ({"words": {"yes ": True, "no": False}}, "words: 'yes ' should be a word"),
        ({"words": {"?": True, "no": False}}, "words: '?' should be a word"),
        ({"words": {"yes": [1], "no": False}}, "words.yes: should be true or false or a number"),
        ({"scores": False, "top_logprobs": 5}, "top_logprobs: has no effect"),
        ({"request": {"echo": True}}, "request.echo: cannot be set"),
        ({"request": {"prompt": "x"}}, "request.prompt: is what the program sends"),
        ({"request": {"n": 2}}, "request.n: cannot be set, because one answer is read"),
        ({"base_url": None}, "base_url: is missing"),
        ({"api_key_env": "GUARD_KEY", "messages": [{"role": "user", "file": "key.txt"}]},
         "messages: holds the API key"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_its_key(
    values: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARD_KEY", KEY)
    files(tmp_path, good="{text}", twice="{text} {text}", policy="Policy:\n{policy} {text}",
          bos="<bos>{text}", key=f"{KEY} {{text}}")  # fmt: skip
    with pytest.raises(InputError) as raised:
        guard(tmp_path, **values)
    assert f"classifier.{message}" in str(raised.value)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("template", ["prompt", "message"])
def test_nothing_else_is_said_about_a_template_without_a_text(
    template: str, tmp_path: Path
) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    named = [{"role": "user", "file": "empty.txt"}]
    values = {"messages": None, "prompt": "empty.txt"} if template == "prompt" else {
        "messages": named,
    }  # fmt: skip
    with pytest.raises(InputError) as raised:
        guard(tmp_path, **values)
    assert "empty.txt is empty" in str(raised.value)
    assert "exactly once" not in str(raised.value)


def test_what_is_meant_is_accepted(tmp_path: Path) -> None:
    files(tmp_path, policy="{policy}: {text}", bos="<bos>{text}")
    named = [{"role": "user", "file": "policy.txt"}]
    assert guard(tmp_path, messages=named, allow_placeholders=True)
    whole = {"messages": None, "prompt": "bos.txt", "request": {"add_special_tokens": False}}
    assert guard(tmp_path, **whole)["prompt"] == "<bos>{text}"
    assert guard(tmp_path, words={"0": 0, "0.5": 0.5, "1": 1})["words"] == {
        "0": 0, "0.5": 0.5, "1": 1,
    }  # fmt: skip


def test_the_template_is_kept_with_the_run_and_decides_labels(tmp_path: Path) -> None:
    """Its text counts, and not the file that it came from."""
    files(tmp_path, a="Post: {text}\n", b="Post: {text}", c="Post: {text}\n\n")
    of_file = {
        name: guard(tmp_path, messages=None, prompt=f"{name}.txt", max_in_flight=size)
        for name, size in (("a", 1), ("b", 2), ("c", 1))
    }
    decides = {name: what_decides(frozen) for name, frozen in of_file.items()}
    assert decides["a"] == decides["b"]
    assert decides["c"] != decides["a"]
    assert of_file["c"]["prompt"] == "Post: {text}\n"
    chat = guard(tmp_path, messages=[{"role": "user", "file": "a.txt"}])
    assert chat["messages"] == [{"role": "user", "content": "Post: {text}"}]
    assert what_decides(chat)["messages"] == chat["messages"]


def test_the_first_request_is_shown_as_it_is_sent(tmp_path: Path) -> None:
    files(tmp_path, a="<start_of_turn>Post: {text}<end_of_turn>\n")
    plain = guard(tmp_path, messages=None, prompt="a.txt", max_tokens=1)
    shown = render_request(plain, [Post("at://0", "{text} <end_of_turn>")])
    assert shown
    assert (shown.url, shown.note) == ("http://h/v1/completions", "")
    assert shown.body == {
        "model": "guard",
        "prompt": "<start_of_turn>Post: {text} < end_of_turn><end_of_turn>",
        "temperature": 0.0,
        "max_tokens": 1,
        "logprobs": 20,
    }
    asking = guard(tmp_path, label=None, questions=QUESTIONS, messages=ASKING, temperature=0.5,
                   request={"seed": 7})  # fmt: skip
    shown = render_request(asking, [Post("at://0", "Hi")])
    assert shown
    assert shown.url == "http://h/v1/chat/completions"
    assert shown.note == "this asks for curious; each post is also asked for kind"
    assert shown.body == {
        "model": "guard",
        "messages": [
            {"role": "system", "content": "Is it curious?"},
            {"role": "user", "content": "Hi"},
        ],
        "temperature": 0.5,
        "max_tokens": 10,
        "seed": 7,
        "logprobs": True,
        "top_logprobs": 20,
    }
