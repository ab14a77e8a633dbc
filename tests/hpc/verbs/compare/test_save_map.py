"""`hpc.compare --save-map`: a successor's labels on the scale of what it replaces."""

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from hpc.database.convert_database import convert_if_newer
from pipeline.run_files import score_map
from tests.hpc.cli_bench import Bench, exit_code, outcome
from tests.hpc.database.test_published_labels import held
from tests.hpc.growing_backlog import GrowingBacklog
from tests.hpc.in_process import Done, call_verb
from tests.hpc.verbs.compare.test_names import label

POSTS = 120
SAVE = ("perspective", "llm", "--save-map", "--resamples", "10", "--config", "run.yaml")
VIEW = "labels_llm_as_perspective"
Row = tuple[Any, ...]


class Project:
    """A project with the labels of two names."""

    def __init__(self, folder: Path, bench: Bench) -> None:
        self.folder = folder
        self._bench = bench

    @property
    def map_file(self) -> Path:
        return score_map.path_of(self.folder / "runs", "llm_as_perspective")

    def hpc(self, verb: str, *arguments: object) -> Done:
        return call_verb(
            verb, arguments, folder=self.folder, env=self._bench.env, modules=self._bench.site
        )

    def document(self, verb: str, *arguments: object) -> dict[str, Any]:
        done = self.hpc(verb, *arguments, "--json")
        assert exit_code(done) == 0, done
        parsed: dict[str, Any] = json.loads(done.stdout)
        return parsed

    def query(self, sql: str) -> list[Row]:
        with duckdb.connect(str(self.folder / "labels.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def change(self, sql: str) -> None:
        with duckdb.connect(str(self.folder / "labels.duckdb")) as connection:
            connection.execute(sql)


@pytest.fixture(scope="module")
def labeled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """B's scores are the square roots of A's; the last 20 posts have no label of A."""
    growing = GrowingBacklog(tmp_path_factory.mktemp("map"))
    scores = np.linspace(0, 1, POSTS).round(4).tolist()
    label(growing, "perspective", dict(enumerate(scores[:-20])))
    label(growing, "llm", {number: score**0.5 for number, score in enumerate(scores)})
    return growing.bench.folder


@pytest.fixture
def project(labeled_folder: Path, bench: Bench, tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    shutil.copytree(labeled_folder, folder, symlinks=True)
    config = folder / "run.yaml"
    config.write_text(config.read_text().replace(str(labeled_folder), str(folder)))
    return Project(folder, bench)


def test_the_mapped_labels_have_the_other_scale_and_the_originals(project: Project) -> None:
    found = project.document("compare", *SAVE)["map"]
    assert (found["name"], found["is_shown"], found["replaced"]) == (
        "llm_as_perspective", True, None
    )  # fmt: skip
    assert [(one["a"], one["posts"]) for one in found["columns"]] == [("compound", 100)]
    assert json.loads(project.map_file.read_text())["columns"] == found["columns"]
    rows = project.query(
        f"SELECT v.compound, compound_original, valence_label FROM {VIEW} AS v JOIN labels_llm "
        "AS l USING (uri, valence_label) ORDER BY compound_original"
    )
    expected = [min(original**2, rows[POSTS - 21][1] ** 2) for _, original, _ in rows]
    assert [row[0] for row in rows] == pytest.approx(expected, abs=0.002)
    as_name = project.document("compare", "perspective", "llm_as_perspective", "--resamples", 10)
    assert as_name["comparisons"][0]["measures"]["mean_difference"]["value"] == pytest.approx(0)


def test_gathering_and_rebuilding_keep_the_view(project: Project) -> None:
    project.document("compare", *SAVE)
    before = project.query(f"FROM {VIEW} ORDER BY uri")
    project.document("gather")
    project.document("gather", "--rebuild")
    assert project.query(f"FROM {VIEW} ORDER BY uri") == before
    project.change(f"DROP VIEW {VIEW}")
    project.document("gather")
    assert project.query(f"FROM {VIEW} ORDER BY uri") == before


def test_a_second_map_replaces_the_first_and_keeps_it(project: Project) -> None:
    project.document("compare", *SAVE)
    first = project.map_file.read_text()
    found = project.document("compare", *SAVE)
    assert Path(found["map"]["replaced"]).read_text() == first
    assert exit_code(project.hpc("gather")) == 0


def test_while_the_database_is_in_use_the_next_gather_shows_the_map(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpc.comparison.save_map.WAIT_S", 0.2)
    with held(project.folder / "labels.duckdb", read_only=True):
        done = project.hpc("compare", *SAVE)
    assert (done.returncode, "hpc gather" in done.stdout) == (1, True), done
    assert project.map_file.is_file()
    project.document("gather")
    assert len(project.query(f"FROM {VIEW}")) == POSTS


def test_scores_of_another_labeling_setup_are_not_mapped(project: Project) -> None:
    project.document("compare", *SAVE)
    project.change("UPDATE labels_llm SET config_hash = 'another' WHERE uri LIKE '%5'")
    ((mapped, unmapped),) = project.query(
        f"SELECT count(compound), count(*) - count(compound) FROM {VIEW}"
    )
    assert (mapped + unmapped, unmapped > 0) == (POSTS, True)


DAMAGE = {
    "no JSON": "{",
    "descending": None,
    "a column that is not there": None,
    "another name": None,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_map_that_is_wrong_is_named_and_everything_else_is_gathered(
    project: Project, damage: str
) -> None:
    project.document("compare", *SAVE)
    text = project.map_file.read_text()
    made = json.loads(text)
    if damage == "descending":
        made["columns"][0]["knots"][-1][1] = -1.0
    elif damage == "a column that is not there":
        made["columns"][0]["b"] = "gone"
    elif damage == "another name":
        made["name"] = "valence_as_perspective"
    project.map_file.write_text(DAMAGE[damage] or json.dumps(made))
    done = project.hpc("gather", "--json")
    assert (done.returncode, str(project.map_file) in done.stderr) == (1, True), done
    assert json.loads(done.stdout)["rows_after"] == POSTS


def test_labels_cannot_get_the_name_of_mapped_ones(project: Project, bench: Bench) -> None:
    project.document("compare", *SAVE)
    done = project.hpc("submit", "--config", "run.yaml", "--set", "name=llm_as_perspective")
    code, error = outcome(done)
    assert (code, "llm_as_perspective" in error) == (2, True), error
    code, error = outcome(project.hpc("compare", "perspective", "llm_as_perspective", "--save-map"))
    assert (code, "original" in error) == (2, True), error


def test_mapped_labels_are_exported_also_those_that_are_not_gathered(project: Project) -> None:
    project.document("compare", *SAVE)
    export = ("export", "llm_as_perspective", "--config", "run.yaml", "--force", "--to")
    gathered = project.document(*export, project.folder / "out.parquet")
    assert (gathered["rows"], "compound_original" in gathered["columns"]) == (POSTS, True)
    project.change(f"DELETE FROM shards; DELETE FROM labels_llm; DROP VIEW {VIEW}")
    exported = project.document(*export, project.folder / "again.parquet")
    assert exported["posts_not_gathered"] == POSTS
    one, other = (
        duckdb.sql(f"FROM '{project.folder / name}' ORDER BY uri").fetchall()
        for name in ("out.parquet", "again.parquet")
    )
    assert one == other


def test_a_map_that_the_database_does_not_show_yet_is_exported_after_a_gather(
    project: Project,
) -> None:
    project.document("compare", *SAVE)
    project.change(f"DROP VIEW {VIEW}")
    export = ("export", "llm_as_perspective", "--config", "run.yaml", "--to", "out.parquet")
    code, error = outcome(project.hpc(*export))
    assert (code, "hpc gather" in error) == (1, True), error
    project.document("gather")
    assert project.document(*export)["rows"] == POSTS


def test_a_database_with_mapped_labels_can_be_converted(project: Project) -> None:
    project.document("compare", *SAVE)
    database = project.folder / "labels.duckdb"
    newer = project.folder / "newer.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{database}' AS old (READ_ONLY); ATTACH '{newer}' AS new "
                           "(STORAGE_VERSION 'latest'); COPY FROM DATABASE old TO new")  # fmt: skip
    newer.replace(database)
    said: list[str] = []
    convert_if_newer(database, said.append)
    assert said[-1].startswith("converted"), said
    assert len(project.query(f"FROM {VIEW}")) == POSTS


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--gold", "perspective"), "itself"),
        (("--map", "valence_label=valence_label"), ""),
        (("--map", "compound=compound"), ""),
    ],
)
def test_a_pair_twice_or_without_numbers_does_not_spoil_the_map(
    project: Project, options: tuple[str, ...], problem: str
) -> None:
    done = project.hpc("compare", *SAVE, *options)
    assert (done.returncode == 2) == bool(problem), done
    assert project.map_file.exists() == (not problem)
