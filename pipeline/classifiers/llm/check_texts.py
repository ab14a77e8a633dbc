"""Check what a configuration sends with every post: the prompt, the labels, the added fields."""

import json
from collections.abc import Iterator

from pipeline.classifiers.llm.options import LlmOptions
from pipeline.classifiers.llm.placeholders import find_placeholder
from pipeline.config.input_files import InputFiles
from pipeline.config.secret import report_key_in
from pipeline.terminal import one_line

_ADVICE = (
    "which looks like a placeholder, and nothing fills it in: the post is sent after the prompt, "
    "as a message of its own. Delete it, or write what it stands for; if the model should read it "
    "as it stands, set classifier.allow_placeholders: true"
)


def check_texts(options: LlmOptions, prompt: str, inputs: InputFiles) -> None:
    """Report placeholders that nothing fills in, and the API key where it would be sent and kept.

    Args:
        options: the options, with the path of the prompt's file.
        prompt: the text of that file.
        inputs: gets what is wrong.
    """
    if not options.allow_placeholders:
        _report_placeholders(options, prompt, inputs)
    texts = {"prompt": prompt, "request": json.dumps(dict(options.request))}
    report_key_in(texts, options.api_key_env, options.api_key_file, inputs)


def _report_placeholders(options: LlmOptions, prompt: str, inputs: InputFiles) -> None:
    if placeholder := find_placeholder(prompt):
        where = f"line {placeholder.line} of {options.prompt}"
        inputs.report("prompt", f"{where} has {one_line(placeholder.text)!r}, {_ADVICE}")
    for key, text in _texts_of_labels(options):
        if placeholder := find_placeholder(text):
            inputs.report(key, f"has {one_line(placeholder.text)!r}, {_ADVICE}")


def _texts_of_labels(options: LlmOptions) -> Iterator[tuple[str, str]]:
    for number, label in enumerate(options.labels):
        yield f"labels[{number}].description", label.description
        for position, choice in enumerate(label.choices):
            yield f"labels[{number}].choices[{position}]", choice or ""
