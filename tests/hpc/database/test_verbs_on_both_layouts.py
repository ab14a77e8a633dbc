"""Every verb that reads labels says the same about them, whether they are a table or files."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.sections import LAYOUTS
from tests.hpc.cli_bench import Bench
from tests.hpc.growing_backlog import GrowingBacklog, post
from tests.pipeline.run_builders import uri

CONFIG = ("--config", "run.yaml")
VERBS = {
    "submit": ("submit", *CONFIG, "--dry-run"),
    "submit of posts that labels choose": (
        *("submit", *CONFIG, "--dry-run", "--set", "name=third"),
        *("--only-labeled-by", "other", "--where", "compound > 0"),
    ),
    "superseding": ("submit", *CONFIG, "--dry-run", "--supersede"),
    "gather": ("gather",),
    "audit": ("audit", *CONFIG),
    "audit of a post": ("audit", *CONFIG, "--post", uri(2)),
    "compare": ("compare", "test", "other", *CONFIG),
    "export": ("export", "test", "--to", "labels.csv", "--where", "uri > (SELECT '')"),
    "report": ("report", "test", *CONFIG),
    "sample": (
        "sample",
        "test",
        "--n",
        "2",
        "--seed",
        "1",
        "--out",
        "sample.csv",
        "--labels",
        "toxic:bool",
    ),
    "ls": ("ls",),
}
# Ids and times differ from run to run, and so do the sizes of files with them.
_RUN_ID = re.compile(r"\d{8}T\d{6}-(\w+)-[0-9a-f]{8}")
_VARYING = re.compile(r'"(bytes|created_at|outputs_digest|file|sample)": ("[^"]*"|\d+)')


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> list[Bench]:
    """A project in each layout: labels of two names, and a post that is new."""
    made = []
    for layout in LAYOUTS:
        folder = tmp_path_factory.mktemp(layout)
        backlog = GrowingBacklog(folder)
        backlog.arrive(*(post(number, number) for number in range(1, 7)))
        for name in ("other", "test"):
            backlog.bench.config(
                name=name,
                classifier={"type": "valence"},
                storage={
                    "layout": layout,
                    "run_root": str(folder / "runs"),
                    "database": str(folder / "labels.duckdb"),
                },
            )
            run, _ = backlog.submit()
            assert run
            backlog.finish(run)
        backlog.arrive(post(9, 9))
        made.append(backlog.bench)
    return made


def comparable(document: str, folder: Path) -> Any:
    same = _RUN_ID.sub(r"\1", document.replace(str(folder), ""))
    values = json.loads(_VARYING.sub(r'"\1": null', same))
    return {key: value for key, value in values.items() if key != "checks"}  # of the disk's room


@pytest.mark.parametrize("what", VERBS)
def test_a_verb_gives_the_same_result(projects: list[Bench], what: str) -> None:
    table, files = (
        (done.returncode, comparable(done.stdout, bench.folder), len(done.stderr.splitlines()))
        for bench in projects
        for done in [bench.hpc(*VERBS[what], "--json")]
    )
    assert table == files
    assert table[0] in (0, 3)
    assert len(json.dumps(table[1])) > 50


def test_the_layouts_are_what_they_say(projects: list[Bench]) -> None:
    places = [bench.folder / "labels.duckdb.parquet" for bench in projects]
    assert [place.is_dir() for place in places] == [False, True]
    assert sorted(path.name for path in places[1].iterdir()) == ["labels_other", "labels_test"]


def test_exported_rows_are_the_same(projects: list[Bench]) -> None:
    rows = []
    for bench in projects:
        columns = "uri,text,preprocessing_timestamp,compound,valence_label,shard_index,copied_from"
        target = bench.folder / "rows.csv"
        done = bench.hpc("export", "test", "--to", target, "--columns", columns, "--force")
        assert done.returncode == 0, done
        rows.append(list(csv.reader(target.open())))
    assert rows[0] == rows[1]
    assert len(rows[0]) == 7
