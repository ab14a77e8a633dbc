"""`hpc export` writes every published label, also next to an open notebook."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hpc.database import published_labels
from hpc.run.model.run import Run
from pipeline.database import duckdb_file
from pipeline.database.duckdb_file import Patience
from pipeline.run_files import sample_file
from pipeline.run_files.manifest import output_path
from tests.hpc.cli_bench import Bench, exit_code, outcome
from tests.hpc.database.held_database import held
from tests.hpc.growing_backlog import GrowingBacklog, post
from tests.hpc.snapshot import BacklogSnapshot
from tests.pipeline import run_builders


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> BacklogSnapshot:
    made = GrowingBacklog(tmp_path_factory.mktemp("gathered"))
    made.arrive(post(1, 1), post(2, 2))
    first, _ = made.submit()
    assert first
    made.finish(first)
    return BacklogSnapshot(made)


@pytest.fixture
def backlog(snapshot: BacklogSnapshot, monkeypatch: pytest.MonkeyPatch) -> GrowingBacklog:
    """Two posts with labels in the database; whoever finds that in use waits for a moment only."""
    monkeypatch.setattr(published_labels, "SHORT_PATIENCE", Patience(seconds=0.0))
    monkeypatch.setattr(duckdb_file, "LOCK_WAIT_S", 0.3)
    return snapshot.restore()


def submit_and_publish(backlog: GrowingBacklog, number: int = 3) -> Run:
    backlog.arrive(post(number, number))
    run, _ = backlog.submit()
    assert run
    backlog.publish(run)
    return run


def export(backlog: GrowingBacklog, *arguments: object, code: int = 0) -> dict[str, object]:
    target = backlog.bench.folder / "l.parquet"
    document = backlog.bench.document(
        "export", "test", "--to", target, "--force", *arguments, code=code
    )
    rows = pq.read_table(target)
    assert document["rows"] == rows.num_rows
    document["uris"] = sorted(rows["uri"].to_pylist())
    return document


def uris(*numbers: int) -> list[str]:
    return sorted(map(run_builders.uri, numbers))


def test_gathered_labels_are_exported(backlog: GrowingBacklog) -> None:
    document = export(backlog)
    assert document["uris"] == uris(1, 2)
    assert (document["posts_not_gathered"], document["database_in_use"]) == (0, False)


def test_published_labels_that_are_not_gathered_are_exported_too(backlog: GrowingBacklog) -> None:
    submit_and_publish(backlog)
    before = (backlog.bench.folder / "labels.duckdb").read_bytes()
    document = export(backlog)
    assert (document["uris"], document["posts_not_gathered"]) == (uris(1, 2, 3), 1)
    assert (backlog.bench.folder / "labels.duckdb").read_bytes() == before
    assert not list(backlog.bench.folder.glob(".tmp-*"))


def test_posts_without_a_result_are_counted_where_labels_are_read(backlog: GrowingBacklog) -> None:
    submit_and_publish(backlog)
    assert export(backlog)["posts_missing"] == 0
    backlog.arrive(*(post(number, number) for number in (4, 5)))
    assert backlog.submit()[0]
    assert export(backlog)["posts_missing"] == 2
    words = ("sample", "test", "--n", 2, "--labels", "toxic:bool", "--out", "coding.csv")
    drawn = backlog.bench.document(*words)
    assert (drawn["posts_missing"], drawn["not_in_population"]) == (2, 0)
    assert sample_file.read_description(Path(drawn["sample_file"])).posts_missing == 2


@pytest.mark.parametrize("gathers", [True, False])
def test_a_name_without_any_label_yet_is_an_error_with_the_next_command(
    backlog: GrowingBacklog, gathers: bool
) -> None:
    for run in backlog.runs():
        shutil.rmtree(run.folder)
    (backlog.bench.folder / "labels.duckdb").unlink()
    assert backlog.submit()[0]
    if gathers:
        backlog.bench.hpc("gather")
        assert (backlog.bench.folder / "labels.duckdb").exists()
    for words in (
        ("export", "test", "--to", "l.parquet"),
        ("sample", "test", "--n", 1, "--labels", "toxic:bool", "--out", "coding.csv"),
    ):
        code, said = outcome(backlog.bench.hpc(*words))
        assert (code, "hpc status test" in said, "DuckDB" in said) == (2, True, False)
    assert not {"l.parquet", "coding.csv"} & {each.name for each in backlog.bench.folder.iterdir()}


@pytest.mark.parametrize("read_only", [True, False])
def test_labels_are_exported_next_to_an_open_notebook(
    backlog: GrowingBacklog, read_only: bool
) -> None:
    submit_and_publish(backlog)
    with held(backlog.bench.folder / "labels.duckdb", read_only=read_only):
        document = export(backlog)
    assert document["uris"] == uris(1, 2, 3)
    assert document["database_in_use"] is not read_only
    assert document["posts_not_gathered"] == (1 if read_only else 3)


def test_a_shard_that_was_labeled_again_is_exported_as_it_is_now(backlog: GrowingBacklog) -> None:
    (run,) = backlog.runs()
    output_path(run.folder, 0).unlink()
    run_builders.publish_shard(run.folder, run.manifest, 0, attempt=2)
    document = export(backlog, "--where", "attempt = 2")
    assert document["rows"] == run.manifest.shards[0].posts
    assert export(backlog)["uris"] == uris(1, 2)


def test_replaced_rows_are_not_exported(backlog: GrowingBacklog) -> None:
    """By the rules of gathering: a retry replaces the row, whether or not it is gathered."""
    backlog.arrive(run_builders.SourcePost(run_builders.uri(9), "meh", run_builders.FIRST_TIME))
    run, _ = backlog.submit(backfill=True)
    assert run
    backlog.bench.hpc("supervise", run.folder)
    retry, _ = backlog.submit(retry_reason="text_too_short")
    assert retry
    assert export(backlog)["labeled"] == 2
    backlog.publish(retry)
    document = export(backlog)
    assert (document["rows"], document["labeled"]) == (3, 3)
    with held(backlog.bench.folder / "labels.duckdb", read_only=False):
        document = export(backlog)
    assert (document["rows"], document["labeled"]) == (3, 3)


def test_the_first_run_is_exported_before_there_is_a_database(tmp_path: Path) -> None:
    made = GrowingBacklog(tmp_path)
    submit_and_publish(made)
    (tmp_path / "labels.duckdb").unlink()
    assert export(made)["uris"] == uris(3)


def test_a_damaged_output_is_named_and_stays(backlog: GrowingBacklog) -> None:
    run = submit_and_publish(backlog)
    path = output_path(run.folder, 0)
    content = bytearray(path.read_bytes())
    content[40] ^= 0xFF
    path.write_bytes(content)
    document = export(backlog, code=1)
    assert document["uris"] == uris(1, 2)
    assert str(path) in str(document["left_out"])
    assert path.read_bytes() == content


def test_the_labels_of_another_folder_are_found_by_the_database(
    backlog: GrowingBacklog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_and_publish(backlog)
    database = backlog.bench.folder / "labels.duckdb"
    target = tmp_path / "l.csv"
    monkeypatch.setattr(backlog.bench, "folder", tmp_path)
    document = backlog.bench.document("export", "--to", target, "--database", database)
    assert document["rows"] == 3


def test_the_labels_of_runs_without_a_folder_are_exported(backlog: GrowingBacklog) -> None:
    shutil.rmtree(backlog.bench.folder / "runs")
    assert export(backlog)["uris"] == uris(1, 2)


def test_the_name_may_be_left_out(backlog: GrowingBacklog) -> None:
    target = backlog.bench.folder / "l.jsonl"
    for arguments in ((), ("--config", backlog.bench.path)):
        done = backlog.bench.hpc("export", "--to", target, "--force", *arguments)
        assert outcome(done) == (0, "")
    assert len(target.read_text().splitlines()) == 2
    assert json.loads(target.read_text().splitlines()[0])["uri"] in uris(1, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("tset", "--to", "l.csv"),
        ("test'; DROP TABLE runs; --", "--to", "l.csv"),
        ('test"', "--to", "l.csv"),
        ("test", "--to", "l.xls"),
        ("test", "--to", "missing/l.csv"),
        ("test", "--to", "folder.csv"),
        ("test", "--to", "there.csv"),
        ("test", "--to", "runs/l.csv", "--database", "none.duckdb"),
        ("test", "--to", "l.csv", "--columns", "nothing"),
        ("test", "--to", "l.csv", "--where", "nothing"),
    ],
)
def test_what_cannot_be_exported_is_wrong_usage(
    backlog: GrowingBacklog, arguments: tuple[str, ...]
) -> None:
    (backlog.bench.folder / "folder.csv").mkdir()
    (backlog.bench.folder / "there.csv").write_text("precious")
    assert outcome(backlog.bench.hpc("export", *arguments))[0] == 2
    assert (backlog.bench.folder / "there.csv").read_text() == "precious"
    assert not (backlog.bench.folder / "l.csv").exists()


def test_nothing_is_written_into_a_run(backlog: GrowingBacklog) -> None:
    (run,) = backlog.runs()
    path = output_path(run.folder, 0)
    before = path.read_bytes()
    done = backlog.bench.hpc("export", "test", "--to", path, "--force")
    assert outcome(done)[0] == 2
    assert path.read_bytes() == before


def test_columns_of_the_source_are_joined_with_and_without_a_configuration(bench: Bench) -> None:
    bench.config(posts=2)
    assert bench.submit().returncode == 0
    target = bench.folder / "l.parquet"
    for arguments in (("--config", bench.path), ()):
        document = bench.document(
            "export", "--to", target, "--force", "--join", "text,uri", *arguments
        )
        assert (document["rows"], document["posts_not_in_source"]) == (2, 0)
        rows = pq.read_table(target).to_pylist()
        assert all(row["source_text"] == row["text"] for row in rows)
    (bench.folder / "posts.jsonl").rename(bench.folder / "moved.jsonl")
    assert outcome(bench.hpc("export", "--to", target, "--force", "--join", "text"))[0] == 2


@pytest.mark.parametrize("source", ["posts", "posts/*", "posts/posts.jsonl"])
def test_a_file_of_the_source_is_not_replaced(
    bench: Bench, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench.folder)
    bench.config(posts=2)
    (bench.folder / "posts").mkdir()
    posts = (bench.folder / "posts.jsonl").rename(bench.folder / "posts" / "posts.jsonl")
    bench.path.write_text(bench.path.read_text().replace("posts.jsonl", source))
    bench.path.rename(bench.folder / "c.yaml")
    assert bench.hpc("submit", "--config", "c.yaml").returncode == 0
    before = posts.read_bytes()
    for arguments in (("--join", "uri"), ("--config", "c.yaml"), ()):
        refused = bench.hpc("export", "--to", posts, "--force", *arguments)
        assert (exit_code(refused), posts.read_bytes() == before) == (2, True), arguments


@pytest.mark.parametrize("source", ["posts", "posts/*.*", "posts/**/*.csv"])
def test_an_export_that_submit_would_read_as_posts_is_not_written(
    bench: Bench, source: str
) -> None:
    bench.config(posts=2)
    (bench.folder / "posts").mkdir()
    (bench.folder / "posts.jsonl").rename(bench.folder / "posts" / "posts.csv")
    bench.path.write_text(bench.path.read_text().replace("posts.jsonl", source))
    assert bench.submit().returncode == 0
    target, elsewhere = bench.folder / "posts" / "l.csv", bench.folder / "l.csv"
    marks = "uri,text,preprocessing_timestamp,was_successfully_labeled,label_timestamp"
    for config in ((), ("--config", bench.path)):
        arguments = ("export", "--to", target, "--force", *config)
        assert exit_code(bench.hpc(*arguments, "--columns", "uri,text")) == 2, config
        assert not target.exists()
        bench.document("export", "--to", elsewhere, "--force", "--columns", "uri", *config)
        bench.document(*arguments)
        bench.document(*arguments, "--columns", marks)
        assert bench.document("submit", "--config", bench.path, "--dry-run")["files"] == 1
        target.unlink()
