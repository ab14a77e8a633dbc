"""Write tasks and the labeling configuration for Label Studio, and read its exports."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from hpc.coding.codebook import CodedKind, CodedLabel, as_typed
from hpc.coding.spreadsheet import TEXT, URI, ParsedRow
from pipeline import limits, strict_json
from pipeline.errors import InputError
from pipeline.model import JsonObject, LabelValue, as_object
from pipeline.strict_json import InvalidJson

_MOST_BYTES = 512 << 20
_TRUE, _FALSE = "true", "false"


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One post for a coder."""

    uri: str
    text: str
    model: Mapping[str, LabelValue]
    """The model's labels by column; empty for coders who must not see them."""


def write_tasks(tasks: Sequence[Task], labels: Sequence[CodedLabel], model_name: str) -> bytes:
    """Return tasks as Label Studio imports them.

    Args:
        tasks: the posts, in the order in which they are coded.
        labels: what is coded.
        model_name: the name whose labels coders may see, for their predictions.
    """
    documents = []
    for task in tasks:
        shown = {f"model_{column}": value for column, value in task.model.items()}
        document: dict[str, object] = {"data": {URI: task.uri, TEXT: task.text, **shown}}
        results = [
            _prediction(label, task.model[label.name])
            for label in labels
            if task.model.get(label.name) is not None
        ]
        if results:
            document["predictions"] = [{"model_version": model_name, "result": results}]
        documents.append(document)
    return (json.dumps(documents, ensure_ascii=False, indent=1) + "\n").encode(
        "utf-8", "surrogatepass"
    )


def _prediction(label: CodedLabel, value: LabelValue) -> JsonObject:
    shown: JsonObject
    if label.kind in (CodedKind.NUMBER, CodedKind.INTEGER):
        kind, shown = "number", {"number": value}
    elif label.kind is CodedKind.TEXT:
        kind, shown = "textarea", {"text": [str(value)]}
    else:
        kind, shown = "choices", {"choices": [as_typed(value)]}
    return {"from_name": label.name, "to_name": TEXT, "type": kind, "value": shown}


def write_configuration(labels: Sequence[CodedLabel]) -> bytes:
    """Return the labeling configuration, to be pasted into the project's settings."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Text", name=TEXT, value=f"${TEXT}")
    for label in labels:
        ElementTree.SubElement(view, "Header", value=label.name)
        common: dict[str, str] = {"name": label.name, "toName": TEXT}
        if label.kind is CodedKind.TEXT:
            ElementTree.SubElement(view, "TextArea", common)
        elif label.kind in (CodedKind.NUMBER, CodedKind.INTEGER):
            number = {"step": "1" if label.kind is CodedKind.INTEGER else "any"}
            if label.least is not None and label.most is not None:
                number |= {"min": f"{label.least:g}", "max": f"{label.most:g}"}
            ElementTree.SubElement(view, "Number", common | number)
        else:
            words = label.choices or (_TRUE, _FALSE)
            choice = {"choice": "single-radio", "showInline": "true"}
            choices = ElementTree.SubElement(view, "Choices", common | choice)
            for word in words:
                ElementTree.SubElement(choices, "Choice", value=word)
    ElementTree.indent(view)
    return f"{ElementTree.tostring(view, encoding='unicode')}\n".encode()


def read_export(path: Path, labels: Sequence[str]) -> list[ParsedRow]:
    """Return the annotations of an export, JSON or JSON-MIN: one row for each task and coder.

    A task that nobody annotated, or that a coder skipped, is a row in which all is blank.

    Args:
        path: the file.
        labels: the names of what was coded; other results are ignored.

    Raises:
        InputError: it is not such an export.
        OSError: it cannot be read.
    """
    content = limits.read_file(path, _MOST_BYTES)
    try:
        document = strict_json.parse(content.decode("utf-8-sig"))
    except (InvalidJson, UnicodeDecodeError) as error:
        raise InputError(f"{path}: it is not JSON: {error}") from None
    if not isinstance(document.value, list) or document.has_duplicates:
        raise InputError(
            f"{path}: it is not an export of Label Studio, which is a list of tasks. In the "
            "project, choose Export, and JSON or JSON-MIN"
        )
    rows: list[ParsedRow] = []
    for number, task in enumerate(document.value, 1):
        rows += _read_task(path, number, as_object(task), labels)
    return rows


def _read_task(
    path: Path, number: int, task: JsonObject, labels: Sequence[str]
) -> Iterator[ParsedRow]:
    data = as_object(task.get("data")) if "data" in task else task
    uri, text = data.get(URI), data.get(TEXT)
    if not isinstance(uri, str):
        raise InputError(
            f"{path}, task {number}: it has no uri. Import the tasks that hpc sample wrote"
        )
    found = [_read_min(task, labels)] if data is task else list(_read_full(task, labels))
    for coder, typed in found or [("", {})]:
        yield ParsedRow(
            file=path,
            place=f"task {number}",
            uri=uri.strip(),
            text=text if isinstance(text, str) else None,
            coder=coder,
            typed={label: typed.get(label, "") for label in labels},
        )


def _read_min(task: JsonObject, labels: Sequence[str]) -> tuple[str, dict[str, str]]:
    values = {label: _as_typed(task.get(label)) for label in labels}
    return _coder(task.get("annotator")), values


def _read_full(task: JsonObject, labels: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    annotations = task.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else []:
        each = as_object(annotation)
        if each.get("was_cancelled"):
            continue
        results = each.get("result")
        values: dict[str, str] = {}
        for result in results if isinstance(results, list) else []:
            item = as_object(result)
            name = item.get("from_name")
            if name in labels:
                values[str(name)] = _as_typed(next(iter(as_object(item.get("value")).values()), ""))
        yield _coder(each.get("completed_by")), values


def _coder(value: object) -> str:
    person = as_object(value)
    named = person.get("email") or person.get("id") if person else value
    return "" if named is None else str(named)


def _as_typed(value: object) -> str:
    """Return a value as a coder would type it; several choices become an invalid one."""
    if isinstance(value, dict):
        value = next(iter(value.values()), "")
    if isinstance(value, list):
        return " | ".join(map(_as_typed, value))
    if value is None:
        return ""
    return as_typed(value)
