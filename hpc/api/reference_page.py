"""Write the reference page of the library from its signatures and docstrings.

python -m hpc.api.reference_page >docs/reference/python.md
"""

import ast
import dataclasses
import enum
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping

from hpc import api

_INTRODUCTION = """\
# Python

<!-- Made by .ci/generate from the docstrings in hpc/api. Edit them there. -->

`from hpc import api` gives programs and notebooks what the commands of `hpc` do.
[Use hpc from Python](../how-to/use-from-python.md) shows it in use.

All arguments after `*` have to be named.
Nothing is printed: messages go to `say`, a function that receives a text.
`say=print` prints them, and `say=api.notebook()` shows them in a notebook, with bars.
Every function returns a frozen value.

The functions may be called from any thread, and within the event loop of Jupyter.
They block until they are done.
While one runs, the process's umask closes new files to other users; it is restored at the end.
As for a command, API keys come from the environment, and paths start from the working folder.

Some types have names:

- `Say`: a function that receives a message, such as `print`.
- `Run`: a run, with its `run_id` and its `folder`, as `runs` and `find_run` return it.
- `RunChoice`: a `Run`, a result about one, or its id, name or folder; `None` is the newest run.
- `Overrides`: values by the path of their key, such as `{"cluster.mem_gb": 4}`.
  A list of texts works too, such as `["cluster.mem_gb=4"]`, which `--set` takes.
"""
_ERRORS = """\
## Errors

| error | a command exits with | means |
|---|---|---|
| `InputError` | 2 | Usage, configuration or input is wrong (a wrong type: also a `TypeError`). |
| `RunError` | 1 | Something failed or needs a person. |
| `BusyError` | 1 | A `RunError`: somebody else holds what is needed. Try again later. |
| `Interruption` | 130 | A `KeyboardInterrupt` whose message says how to continue. |
| `OSError` | 1 | The disk is full, or a file is closed to this user. |
"""
_FUNCTIONS = (
    "check", "try_posts", "submit", "plan", "preview", "wait", "watch", "status",
    "efficiency", "logs", "ls", "runs",
    "find_run", "gather", "adopt", "resubmit", "cancel", "labels", "labels_batches", "export",
    "export_for_estimator",
    "sample", "gold", "compare", "audit", "explain_post", "report", "clean", "restore", "notebook",
)  # fmt: skip
_VALUES = (
    "Place", "CheckResult", "TrySettings", "TryResult", "Selection", "DrawRequest", "Canary",
    "SubmitResult", "StatusResult", "ShardStatus", "RunEfficiency", "LogsResult",
    "ShardLogs", "AttemptLog",
    "RunList", "GatherResult", "AdoptSettings", "AdoptResult", "ResubmitSettings",
    "ResubmitResult", "CancelResult", "LabelQuery", "ExportResult", "EstimatorQuery",
    "EstimatorTableResult", "SampleSettings",
    "SampleResult", "GoldSettings", "GoldResult", "CompareSettings", "CompareResult",
    "AuditResult", "PostResult", "ReportResult", "CleanResult", "RestoreResult",
)  # fmt: skip
_ENUMS = ("State", "RunState", "Cause", "Allocation")
_SHORTER = {
    "pyarrow.lib.": "pyarrow.",
    "str | os.PathLike[str]": "str | Path",
    "collections.abc.Callable[[str], NoneType]": "Say",
    "collections.abc.Callable[[str], None]": "Say",
}
_NEXT_SENTENCE = re.compile(r"(?<=[\w`)])\. (?=[A-Z`])")
_SECTION = re.compile(r"^(Args|Raises|Returns):\n", re.MULTILINE)
_ITEM = re.compile(r"^(\*?\w+): ", re.MULTILINE)


def reference_page() -> str:
    """Return the reference page of the library, in Markdown."""
    lines = [_INTRODUCTION, "## Functions", ""]
    for name in _FUNCTIONS:
        lines += _describe_function(name, getattr(api, name))
    lines += ["## Values", ""]
    for name in _VALUES:
        lines += _describe_value(name, getattr(api, name))
    lines += ["## Words", ""]
    for name in _ENUMS:
        lines += _describe_enum(name, getattr(api, name))
    lines.append(_ERRORS)
    return "\n".join(lines).rstrip() + "\n"


def _describe_function(name: str, function: Callable[..., object]) -> Iterator[str]:
    summary, *sections = _SECTION.split(inspect.getdoc(function) or "")
    yield from (f"### {name}", "", "```python", *_signature(name, function), "```", "")
    yield from (*_paragraphs(summary), "")
    for title, text in zip(sections[::2], sections[1::2], strict=True):
        for item, words in _items(text):
            yield f"- {'raises ' if title == 'Raises' else ''}`{item}`: {words}"
        yield ""


def _signature(name: str, function: Callable[..., object]) -> Iterator[str]:
    signature = inspect.signature(function)
    if not signature.parameters:
        yield f"def {name}() -> {_type(signature.return_annotation)}: ..."
        return
    yield f"def {name}("
    is_after_star = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not is_after_star:
            yield "    *,"
        is_after_star |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        yield f"    {_parameter(parameter)},"
    yield f") -> {_type(signature.return_annotation)}: ..."


def _parameter(parameter: inspect.Parameter) -> str:
    star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
    text = f"{star}{parameter.name}: {_type(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    default = parameter.default
    # A settings value is long, and equal to one without arguments.
    is_value = dataclasses.is_dataclass(default)
    shown = f"{type(default).__name__}()" if is_value else repr(default)
    return f"{text} = {shown.replace(chr(39), chr(34))}"


def _type(annotation: object) -> str:
    """Return an annotation as a reader would write it."""
    for name in ("RunChoice", "Overrides"):
        if annotation == getattr(api, name):
            return name
    shown = inspect.formatannotation(annotation)
    for longer, shorter in _SHORTER.items():
        shown = shown.replace(longer, shorter)
    return re.sub(r"\b(?:hpc|pipeline|collections|typing|pathlib|datetime)\.(?:\w+\.)*", "", shown)


def _paragraphs(text: str) -> list[str]:
    """Return text with a line for each sentence."""
    blocks = [" ".join(block.split()) for block in text.strip().split("\n\n")]
    return _NEXT_SENTENCE.sub(".\n", "\n\n".join(blocks)).split("\n")


def _items(text: str) -> Iterator[tuple[str, str]]:
    """Yield each name of a section and what is said about it."""
    _, *parts = _ITEM.split(textwrap.dedent(text))
    for name, words in zip(parts[::2], parts[1::2], strict=True):
        yield name, " ".join(words.split())


def _describe_value(name: str, kind: type) -> Iterator[str]:
    yield from (f"### {name}", "", *_paragraphs(inspect.getdoc(kind) or ""), "")
    yield from ("| field | type | default | |", "|---|---|---|---|")
    sentences = _sentences(kind)
    for field in dataclasses.fields(kind):
        shown = _type(_annotations(kind)[field.name])
        yield _row(field.name, shown, _default(field), sentences[field.name])
    for attribute, value in vars(kind).items():
        # What settings derive from their fields is for the program.
        if isinstance(value, property) and name.endswith("Result"):
            returned = _type(inspect.signature(value.fget).return_annotation) if value.fget else ""
            yield _row(attribute, returned, "", inspect.getdoc(value) or "")
    yield ""


def _row(name: str, kind: str, default: str, sentence: str) -> str:
    cells = (f"`{name}`", f"`{kind}`", default, " ".join(sentence.split()))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(field: "dataclasses.Field[object]") -> str:
    if field.default is dataclasses.MISSING:
        return ""
    shown = field.default.value if isinstance(field.default, enum.Enum) else field.default
    return f"`{shown!r}`"


def _annotations(kind: type) -> Mapping[str, object]:
    return inspect.get_annotations(kind, eval_str=True)


def _sentences(kind: type) -> dict[str, str]:
    """Return the sentence below each field, which only the source has."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    found: dict[str, str] = {}
    for before, after in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
            found[before.target.id] = _text_of(after)
    return found


def _text_of(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""


def _describe_enum(name: str, kind: type[enum.StrEnum]) -> Iterator[str]:
    words = ", ".join(f"`{each.value}`" for each in kind)
    yield from (f"### {name}", "", *_paragraphs(inspect.getdoc(kind) or ""), "", words, "")


if __name__ == "__main__":
    print(reference_page(), end="")
