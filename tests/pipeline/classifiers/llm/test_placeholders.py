"""A placeholder in a prompt is found, whatever program it was written for; JSON is none."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.llm.placeholders import Placeholder, find_placeholder
from pipeline.errors import InputError
from tests.pipeline.classifiers.classifier_setup import frozen_options

ROOT = Path(__file__).parents[4]

PLACEHOLDERS = [
    # Python's str.format and f-strings
    "{text}", "{ text }", "{post.text}", '{post["text"]}', "{row['text'][:500]}", "{text!r}",
    "{text:>20}", "{score:.2f}", "{text:500}", "{text.strip()}", "{0}", "{0:s}", "{TEXT}",
    "{input_text}", "{\n text\n}",
    # Jinja, Mustache, Handlebars, Go, PHP, n8n
    "{{text}}", "{{ post.text | trim }}", "{{{text}}}", "{% for post in posts %}", "{{#posts}}",
    "{{/posts}}", "{{.Text}}", "{{ $json.text }}", "{$text}", "{#text#}", "{{~text~}}",
    '{{ text or "" }}', "{{#if post}}",
    # shells, Ruby, C, Python's % and string.Template
    "${text}", "#{text}", "$text", "$post_text", "$postText", "%s", "%(text)s", "%TEXT%",
    # by hand
    "<<text>>", "<<<TEXT>>>", "<< post text >>", "[TEXT]", "[INSERT POST HERE]", "[[POST]]",
    "<TWEET>", "<insert tweet here>", "__TEXT__", "@@POST@@", "##TEXT##", "{insert post here}",
    "{post-text}", "{user comment}", "[[text]]", "[[ post ]]", "%text%", "<|text|>", "<| post |>",
    # of other things than a post, and in other languages
    "{definition}", "{{labels}}", "<<rubric>>", "{definition of toxicity}", "{context}",
    "{beitrag}", "{publicación}", "{テキスト}",
]  # fmt: skip
AFTER_A_LABEL = [
    "Post: {}", 'Text:\n"{}"', "**Tweet to classify:** {}", "Comment to label:\n```\n{}\n```",
    "Post: [text]", "Message: <message>", "The texts: [post]",
]  # fmt: skip
NO_PLACEHOLDERS = [
    '{"label": true}', "{}", "Answer {} if nothing applies.", '{"text": {}, "post": []}',
    "{'label': true}", "{label: true}", "{label: true|false}", "{a:1}", "{left, right}",
    "{left|right}", "{0, 1}", "{...}", "{…}", '{"reason": <text>}', '{"reason": "<text>"}',
    '{"a":{"b":{"c":{}}}}', '{\n  "label": true,\n  "score": 0.5\n}', '[{"a": 1}]',
    "The post stands between <post> and </post>.", r"\emph{word} x_{i} x^{2} \d{4} [a-z]{2}",
    "It costs $5 or US$100, see $TSLA.", "100% sure, 5 % of all", "[text](https://example.org)",
    '["text", "post"]', "[0, 1]", "as Smith [1] says", "delimited by <<< and >>>", "a < b > c",
    "5%text% more", "[[text]](https://example.org)", '[["text", "post"]]', "<|user|>", "%PATH%",
    "<b>text</b>", "the author [of the post] must mean it", "Dear [Name],", "**text** and _post_",
    "a score, e.g. 0.5 {sic!}", r"\frac{a}{b} and \begin{text}", '{"$comment": "x", "$ref": "a"}',
    '{"reason": [TEXT]}', "[text][1] and [post]: https://example.org", "List[text]",
]  # fmt: skip


@pytest.mark.parametrize("around", ["Rate it.\nPost: %s\n", "%s", 'Rate "%s" from 0 to 1.'])
def test_a_placeholder_is_found_with_its_line(around: str) -> None:
    before, _, after = around.partition("%s")
    found = [find_placeholder(f"{before}{text}{after}") for text in PLACEHOLDERS]
    line = before.count("\n") + 1
    assert found == [Placeholder(text=text, line=line) for text in PLACEHOLDERS]


def test_signs_with_other_uses_are_placeholders_directly_after_a_label() -> None:
    prompts = [f"Is it toxic?\n\n{text}\n" for text in AFTER_A_LABEL]
    assert [prompt for prompt in prompts if not find_placeholder(prompt)] == []


def test_what_is_no_placeholder_is_let_through() -> None:
    examples = [
        f"Answer as in this example:\n{text}\nand say nothing else." for text in NO_PLACEHOLDERS
    ]
    found = {text: find_placeholder(text) for text in (*NO_PLACEHOLDERS, *examples)}
    assert {text: placeholder for text, placeholder in found.items() if placeholder} == {}


PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="{}[]<>$#%@_"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=10,
)


@given(JSON, st.sampled_from([None, 0, 2]), st.booleans())
def test_json_is_never_taken_for_a_placeholder(
    value: Any, indent: int | None, compact: bool
) -> None:
    separators = (",", ":") if compact else None
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    assert find_placeholder(f"Answer as in this example: {text}") is None


@given(JSON, st.sampled_from(PLACEHOLDERS))
def test_a_placeholder_is_found_beside_json(value: Any, placeholder: str) -> None:
    found = find_placeholder(f"Example: {json.dumps(value)}\n\nPost: {placeholder}")
    assert found
    assert found.text == placeholder


@given(st.text("{}[]<>$#%@_ :\"'text0\n\\|", max_size=60))
def test_any_text_is_judged(text: str) -> None:
    if found := find_placeholder(text):
        assert found.text in text.split("\n", found.line - 1)[-1]


def test_the_projects_own_prompts_have_none() -> None:
    """The forms of guard models have their own, which the type guard replaces."""
    paths = sorted((ROOT / "configs/prompts").iterdir())
    prompts = [path for path in paths if not path.name.startswith("guard_")]
    assert prompts
    found = {path.name: find_placeholder(path.read_text()) for path in prompts}
    assert {name: placeholder for name, placeholder in found.items() if placeholder} == {}


def frozen(folder: Path, prompt: str, **values: Any) -> Any:
    (folder / "prompt.txt").write_text(prompt)
    own = {"type": "llm", "base_url": "http://h", "model": "m", "prompt": "prompt.txt",
           "labels": [{"name": "civic", "type": "bool"}]}  # fmt: skip
    return frozen_options({**own, **values}, folder)


LABELS = [
    {"name": "civic", "type": "bool", "description": "Whether {text} is civic"},
    {"name": "side", "type": "choice", "choices": ["left", "{{side}}"]},
]


@pytest.mark.parametrize(
    ("prompt", "values", "key"),
    [
        ("Is it civic?\nPost: {text}", {}, "classifier.prompt: line 2 of prompt.txt has '{text}'"),
        ("Is it civic?", {"labels": LABELS[:1]}, "classifier.labels[0].description: has '{text}'"),
        ("Is it civic?", {"labels": LABELS[1:]}, "classifier.labels[0].choices[1]: has '{{side}}'"),
    ],
)
def test_a_placeholder_is_rejected_before_anything_is_sent_unless_it_is_allowed(
    tmp_path: Path, prompt: str, values: dict[str, Any], key: str
) -> None:
    with pytest.raises(InputError) as raised:
        frozen(tmp_path, prompt, **values)
    assert key in str(raised.value)
    allowed = frozen(tmp_path, prompt, allow_placeholders=True, **values)
    assert allowed["prompt"] == prompt


def test_whether_placeholders_are_allowed_changes_no_label(tmp_path: Path) -> None:
    plain, allowing = (frozen(tmp_path, "Rate it.", allow_placeholders=a) for a in (False, True))
    assert "allow_placeholders" not in plain
    assert {**plain, "allow_placeholders": True} == allowing
