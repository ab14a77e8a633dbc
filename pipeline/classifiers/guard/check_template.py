"""Read the files of a guard model's template, and check what would be sent with every post."""

import json

from msgspec.structs import replace

from pipeline.classifiers.guard.options import GuardOptions, Message
from pipeline.classifiers.guard.template import QUESTION, TEXT, find_problem, without_places
from pipeline.classifiers.llm.placeholders import find_placeholder
from pipeline.config.input_files import InputFiles
from pipeline.config.secret import report_key_in
from pipeline.terminal import one_line

_ADVICE = (
    f"which looks like a placeholder, and only {TEXT} and {QUESTION} are filled in. Write what it "
    "stands for; if the model should read it as it stands, set classifier.allow_placeholders: true"
)
# Servers put these before a prompt themselves.
_STARTS = ("<bos>", "<s>", "<|begin_of_text|>", "<|startoftext|>", "[gMASK]")


def read_template(options: GuardOptions, inputs: InputFiles) -> GuardOptions | None:
    """Return options with the texts of the files in place of their names.

    None, and a problem, if a file has no text.
    """
    if options.prompt is not None:
        text = _without_last_newline(inputs.text("prompt", options.prompt))
        return replace(options, prompt=text) if text.strip() else None
    messages = tuple(
        _read(message, f"messages[{number}].file", inputs)
        for number, message in enumerate(options.messages)
    )
    if None in messages:
        return None
    return replace(options, messages=tuple(filter(None, messages)))


def check_template(options: GuardOptions, inputs: InputFiles) -> None:
    """Report a template whose places or texts are wrong, and the API key where it would be kept.

    Args:
        options: the options with the texts of the template.
        inputs: gets what is wrong.
    """
    key = "prompt" if options.prompt is not None else "messages"
    if problem := find_problem(options.template, has_questions=bool(options.questions)):
        inputs.report(key, problem)
    elif not options.allow_placeholders:
        _report_placeholders(key, options, inputs)
    _report_start(options, inputs)
    texts = {key: "\n".join(options.template), "request": json.dumps(dict(options.request))}
    texts["questions"] = "\n".join(asked.question for asked in options.questions)
    report_key_in(texts, options.api_key_env, options.api_key_file, inputs)


def _read(message: Message, key: str, inputs: InputFiles) -> Message | None:
    if message.file is None:
        return message
    text = _without_last_newline(inputs.text(key, message.file))
    return replace(message, content=text, file=None) if text.strip() else None


def _without_last_newline(text: str) -> str:
    """Return a text without the newline with which editors end a file."""
    return text.removesuffix("\n").removesuffix("\r")


def _report_placeholders(key: str, options: GuardOptions, inputs: InputFiles) -> None:
    for number, part in enumerate(options.template):
        if placeholder := find_placeholder(without_places(part), braces_only=True):
            where = f"{key}[{number}]" if options.messages else key
            shown = one_line(placeholder.text)
            inputs.report(where, f"line {placeholder.line} has {shown!r}, {_ADVICE}")
    for number, asked in enumerate(options.questions):
        if TEXT in asked.question or QUESTION in asked.question:
            problem = f"has {TEXT} or {QUESTION}, which are replaced only in the template"
            inputs.report(f"questions[{number}].question", problem)


def _report_start(options: GuardOptions, inputs: InputFiles) -> None:
    """Report a plain prompt whose first token the server would send twice."""
    start = next((sign for sign in _STARTS if (options.prompt or "").startswith(sign)), "")
    if start and options.request.get("add_special_tokens") is not False:
        inputs.report(
            "prompt",
            f"begins with {start}, which servers add themselves: delete it, or set "
            "classifier.request.add_special_tokens to false if your server knows this field",
        )
