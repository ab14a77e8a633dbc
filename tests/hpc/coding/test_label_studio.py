"""Label Studio's tasks, labeling configuration and exports."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hpc.coding.codebook import parse_labels
from hpc.coding.label_studio import Task, read_export, write_configuration, write_tasks
from pipeline.errors import InputError

LABELS = parse_labels("toxic:bool,side:left|<b>right</b> & more,score:number:0:1,note:text")
NAMES = tuple(label.name for label in LABELS)


def export(path: Path, tasks: object) -> Path:
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def result(name: str, kind: str, value: object) -> dict[str, object]:
    return {"from_name": name, "to_name": "text", "type": kind, "value": {kind: value}}


def test_coders_see_the_model_only_if_they_are_shown_its_labels() -> None:
    blind = json.loads(write_tasks([Task(uri="a", text="hi 😊", model={})], LABELS, "llm"))
    assert blind == [{"data": {"uri": "a", "text": "hi 😊"}}]
    model = {"toxic": True, "score": 0.5, "side": "left", "note": None, "prob": 0.1}
    (shown,) = json.loads(write_tasks([Task(uri="a", text="hi", model=model)], LABELS, "llm"))
    assert shown["data"]["model_prob"] == 0.1
    (prediction,) = shown["predictions"]
    assert prediction["model_version"] == "llm"
    assert {each["from_name"]: each["value"] for each in prediction["result"]} == {
        "toxic": {"choices": ["true"]},
        "side": {"choices": ["left"]},
        "score": {"number": 0.5},
    }


def test_the_labeling_configuration_names_every_label_and_its_values() -> None:
    view = ElementTree.fromstring(write_configuration(LABELS))
    assert {element.attrib.get("name") for element in view if "name" in element.attrib} == {
        "text",
        *NAMES,
    }
    side = next(element for element in view if element.attrib.get("name") == "side")
    assert [choice.attrib["value"] for choice in side] == ["left", "<b>right</b> & more"]
    score = next(element for element in view if element.attrib.get("name") == "score")
    assert (score.attrib["min"], score.attrib["max"]) == ("0", "1")


def test_an_export_gives_a_row_for_each_task_and_coder(tmp_path: Path) -> None:
    annotations = [
        {
            "completed_by": {"id": 1, "email": "anna@example.org"},
            "result": [
                result("toxic", "choices", ["true"]),
                result("score", "number", 0.25),
                result("note", "text", ["sarcasm"]),
                result("other", "choices", ["x"]),
            ],
        },
        {"completed_by": 2, "result": [result("side", "choices", ["left", "right"])]},
        {"completed_by": 3, "was_cancelled": True, "result": []},
    ]
    data = {"uri": "a", "text": "hi"}
    tasks = [{"data": data, "annotations": annotations}, {"data": {**data, "uri": "b"}}]
    rows = read_export(export(tmp_path / "e.json", tasks), NAMES)
    blank = dict.fromkeys(NAMES, "")
    assert [(row.uri, row.place, row.coder, row.typed) for row in rows] == [
        (
            "a",
            "task 1",
            "anna@example.org",
            {**blank, "toxic": "true", "score": "0.25", "note": "sarcasm"},
        ),
        ("a", "task 1", "2", {**blank, "side": "left | right"}),
        ("b", "task 2", "", blank),
    ]


def test_a_minimal_export_is_read(tmp_path: Path) -> None:
    tasks = [
        {"id": 7, "uri": "a", "text": "hi", "toxic": "false", "score": 1, "annotator": 4},
        {"id": 8, "uri": "b", "text": "ho", "side": {"choices": ["left", "right"]}},
    ]
    rows = read_export(export(tmp_path / "e.json", tasks), NAMES)
    assert [(row.uri, row.coder, row.typed["toxic"], row.typed["score"]) for row in rows] == [
        ("a", "4", "false", "1"),
        ("b", "", "", ""),
    ]
    assert rows[1].typed["side"] == "left | right"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"data": {}}]', "[" * 3000, '[{"a":1,"a":2}]'])
def test_what_is_no_export_is_rejected(tmp_path: Path, text: str) -> None:
    path = tmp_path / "e.json"
    path.write_text(text)
    with pytest.raises(InputError):
        read_export(path, NAMES)
