"""The page on texts that are asked about once, typed from top to bottom."""

import csv
import json
from pathlib import Path

from tests.docs.test_tutorials import Reader


def test_the_page_on_copies_saves_requests_and_changes_no_label(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.follow("docs/how-to/ask-each-text-once.md")
    copies = list(csv.DictReader((tmp_path / "copies.csv").open(encoding="utf-8", newline="")))
    ((rows, are_same, of_one, of_other),) = reader.query(
        "SELECT count(*), bool_and(once.text = each.text "
        "AND once.compound IS NOT DISTINCT FROM each.compound "
        "AND once.reason IS NOT DISTINCT FROM each.reason), "
        "count(once.copied_from), count(each.copied_from) "
        "FROM labels_valence AS once JOIN labels_each AS each USING (uri)"
    )
    assert (rows, are_same, of_one, of_other) == (2980, True, len(copies), 0)
    assert len(copies) > 400
    (run,) = (tmp_path / "runs").glob("*-valence-*")
    for command in (f"status {run}", "audit --config configs/quickstart.yaml"):
        assert json.loads(reader.type(f"hpc {command} --json"))["copied"] == len(copies), command
