"""A new run respects the labels that its name already has, or supersedes them on request."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest

from hpc.run.exit_codes import WRONG
from pipeline.classifiers.valence import Valence
from pipeline.errors import InputError, RunError
from pipeline.model import Column
from tests.hpc.cli_bench import exit_code
from tests.hpc.growing_backlog import GrowingBacklog, post
from tests.hpc.in_process import Done, call_verb
from tests.hpc.snapshot import BacklogSnapshot
from tests.pipeline import run_builders
from tests.pipeline.run_builders import FIRST_TIME, SourcePost


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> BacklogSnapshot:
    backlog = GrowingBacklog(tmp_path_factory.mktemp("labeled"))
    backlog.arrive(post(1, 1), post(2, 2), SourcePost(run_builders.uri(3), "meh", FIRST_TIME))
    run, _ = backlog.submit()
    assert run
    backlog.bench.hpc("supervise", run.folder)
    assert backlog.labeled().total() == 3
    return BacklogSnapshot(backlog)


@pytest.fixture
def labeled_backlog(snapshot: BacklogSnapshot) -> GrowingBacklog:
    """Three posts with a row each: two labels, and one text that was too short."""
    return snapshot.restore()


def configure(labeled_backlog: GrowingBacklog, **backlog: object) -> None:
    folder = labeled_backlog.bench.folder
    labeled_backlog.bench.config(
        classifier={"type": "valence"},
        backlog=backlog,
        storage={"run_root": str(folder / "runs"), "database": str(folder / "labels.duckdb")},
    )


def test_another_labeling_setup_under_the_same_name_is_rejected(
    labeled_backlog: GrowingBacklog,
) -> None:
    configure(labeled_backlog, min_text_length=2)
    with pytest.raises(InputError):
        labeled_backlog.submit()
    assert len(labeled_backlog.runs()) == 1


def test_a_deleted_run_without_labels_binds_nobody(labeled_backlog: GrowingBacklog) -> None:
    """For example, its server could not be started: its configuration binds nobody."""
    configure(labeled_backlog, min_text_length=2)
    run, _ = labeled_backlog.submit(supersede=True)
    assert run
    shutil.rmtree(run.folder)
    configure(labeled_backlog)
    labeled_backlog.arrive(post(4, 4))
    assert labeled_backlog.submit()[0] is not None


def test_another_setup_is_rejected_even_if_the_runs_were_deleted(
    labeled_backlog: GrowingBacklog,
) -> None:
    run = labeled_backlog.runs()[0]
    shutil.rmtree(run.folder)
    configure(labeled_backlog, min_text_length=2)
    with pytest.raises(InputError, match=f"run {run.run_id} differs"):
        labeled_backlog.submit()
    configure(labeled_backlog)
    assert labeled_backlog.submit()[0] is None


def test_the_newest_setup_counts_even_if_its_folder_is_gone(
    labeled_backlog: GrowingBacklog,
) -> None:
    configure(labeled_backlog, min_text_length=2)
    run, _ = labeled_backlog.submit(supersede=True)
    assert run
    labeled_backlog.finish(run)
    shutil.rmtree(run.folder)
    labeled_backlog.arrive(post(4, 4))
    assert labeled_backlog.submit()[1].counts.posts == 1
    configure(labeled_backlog)
    with pytest.raises(InputError):
        labeled_backlog.submit()


def test_superseding_labels_the_posts_again_and_keeps_the_old_rows(
    labeled_backlog: GrowingBacklog,
) -> None:
    configure(labeled_backlog, min_text_length=2)
    labeled_backlog.arrive(post(4, 4))
    run, draft = labeled_backlog.submit(supersede=True)
    assert run
    assert (draft.since, draft.counts.posts) == (None, 4)
    assert labeled_backlog.bench.hpc("supervise", run.folder).returncode == 0
    assert sorted(labeled_backlog.labeled().elements()) == [
        run_builders.uri(n) for n in (1, 2, 3, 4)
    ]
    rows = labeled_backlog.query("SELECT DISTINCT run_id FROM labels_test")
    assert rows == [(run.run_id,)]
    old = labeled_backlog.query("SELECT uri, run_id FROM superseded_test ORDER BY uri")
    first = labeled_backlog.runs()[0].run_id
    assert old == [(run_builders.uri(number), first) for number in (1, 2, 3)]
    nothing, _ = labeled_backlog.submit()
    assert nothing is None
    assert labeled_backlog.bench.document("gather", run.folder)["rows_added"] == 0


def test_labels_of_another_type_are_rejected_before_they_are_paid_for(
    labeled_backlog: GrowingBacklog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if they supersede the others: a column of the table has one type."""
    configure(labeled_backlog, min_text_length=2)
    changed = (Column("compound", "flag"), Column("valence_label", "text"))
    monkeypatch.setattr(Valence, "columns", changed)
    with pytest.raises(InputError):
        labeled_backlog.submit(supersede=True)
    assert len(labeled_backlog.runs()) == 1
    monkeypatch.setattr(Valence, "columns", (*changed[1:], Column("more", "flag")))
    assert labeled_backlog.submit(supersede=True)[0]


def test_superseding_in_pieces_continues_with_the_next_posts(
    labeled_backlog: GrowingBacklog,
) -> None:
    configure(labeled_backlog, min_text_length=2)
    for _ in range(3):
        run, _ = labeled_backlog.submit(supersede=True, limit=1)
        assert run
        labeled_backlog.finish(run)
    nothing, _ = labeled_backlog.submit(supersede=True)
    assert nothing is None
    assert labeled_backlog.query("SELECT count(*) FROM superseded_test") == [(3,)]


def test_options_that_change_no_label_keep_the_setup(tmp_path: Path) -> None:
    labeled_backlog = GrowingBacklog(tmp_path)
    labeled_backlog.arrive(post(1, 1))

    def perspective(**keys: object) -> None:
        key = tmp_path / "key"
        key.write_text("k")
        key.chmod(0o600)
        labeled_backlog.bench.config(
            classifier={"type": "perspective", "api_key_file": str(key), **keys},
            storage={"run_root": str(tmp_path / "runs"), "database": str(tmp_path / "l.duckdb")},
        )

    perspective(requests_per_minute=60)
    assert labeled_backlog.submit()[0]
    perspective(requests_per_minute=6000, max_in_flight=8)
    assert labeled_backlog.submit()[0] is None
    perspective(attributes=["INSULT"])
    with pytest.raises(InputError, match="attributes"):
        labeled_backlog.submit()


def test_unlabelable_posts_are_retried_only_by_their_reason(
    labeled_backlog: GrowingBacklog,
) -> None:
    assert labeled_backlog.submit(backfill=True)[0] is None
    assert labeled_backlog.submit(retry_reason="no_answer")[0] is None
    run, _ = labeled_backlog.submit(retry_reason="text_too_short")
    assert run
    assert run.manifest.posts == 1
    assert labeled_backlog.submit(retry_reason="text_too_short")[0] is None
    labeled_backlog.finish(run)
    assert labeled_backlog.labeled().total() == 3
    assert labeled_backlog.query(
        "SELECT count(*) FROM labels_test WHERE was_successfully_labeled"
    ) == [(3,)]
    assert labeled_backlog.query("SELECT uri, reason FROM superseded_test") == [
        (run_builders.uri(3), "text_too_short")
    ]
    # No post has the reason any more, but a nightly retry must still take new posts.
    labeled_backlog.arrive(post(4, 4))
    run, _ = labeled_backlog.submit(retry_reason="text_too_short")
    assert run
    assert run.manifest.posts == 1


def test_a_misspelled_reason_is_rejected(labeled_backlog: GrowingBacklog) -> None:
    labeled_backlog.arrive(post(4, 4))
    with pytest.raises(InputError):
        labeled_backlog.submit(retry_reason="text_to_short")
    assert len(labeled_backlog.runs()) == 1


def test_a_reason_that_no_post_ever_had_is_noted_and_new_posts_are_taken(
    labeled_backlog: GrowingBacklog,
) -> None:
    labeled_backlog.arrive(post(4, 4))
    run, draft = labeled_backlog.submit(retry_reason="http_500")
    assert run
    assert (run.manifest.posts, len(draft.notes)) == (1, 1)


def test_a_manifest_records_the_code_that_created_the_run(labeled_backlog: GrowingBacklog) -> None:
    made = labeled_backlog.runs()[0].manifest
    assert made.classifier["version"]
    assert made.version
    assert made.commit == "" or len(made.commit.rstrip("+")) == 40


def call_from(folder: Path, backlog: GrowingBacklog, verb: str, *arguments: object) -> Done:
    """Call a verb about the configuration of a backlog in another working folder."""
    folder.mkdir(exist_ok=True)
    every = ("--config", backlog.bench.path, *arguments)
    bench = backlog.bench
    return call_verb(verb, every, folder=folder, env=bench.env, modules=bench.site)


@pytest.mark.parametrize("gone", ["nothing", "runs", "labels.duckdb"])
def test_nothing_is_labeled_again_from_another_working_folder(
    labeled_backlog: GrowingBacklog, gone: str
) -> None:
    bench = labeled_backlog.bench
    bench.config(classifier={"type": "valence"})
    if gone == "runs":
        shutil.rmtree(bench.folder / gone)
    (bench.folder / gone).unlink(missing_ok=True)
    other = bench.folder / "other"
    for arguments in ([], ["--dry-run"]):
        done = call_from(other, labeled_backlog, "submit", *arguments)
        assert exit_code(done) == WRONG
        assert not list(other.iterdir())
        assert str(other) in done.stderr
        assert f"cd {bench.folder} && hpc submit --config run.yaml" in done.stderr
    done = call_from(other, labeled_backlog, "check", "--json")
    wrong = [each["check"] for each in json.loads(done.stdout) if each["level"] == "error"]
    assert (exit_code(done), wrong) == (WRONG, ["database"])


def test_a_working_folder_with_runs_of_its_own_uses_them(labeled_backlog: GrowingBacklog) -> None:
    folder = labeled_backlog.bench.folder
    labeled_backlog.bench.config(classifier={"type": "valence"})
    other = folder / "other"
    shutil.copytree(folder / "runs", other / "runs")
    assert exit_code(call_from(other, labeled_backlog, "submit", "--dry-run")) == 0


@pytest.mark.parametrize("case", ["another name", "absolute paths"])
def test_a_working_folder_may_begin_with_nothing(
    labeled_backlog: GrowingBacklog, case: str
) -> None:
    labeled_backlog.bench.config(classifier={"type": "valence"})
    other = labeled_backlog.bench.folder / "other"
    chosen = [f"storage.run_root={other}/runs", f"storage.database={other}/labels.duckdb"]
    settings = ["name=other"] if case == "another name" else chosen
    options = [word for setting in settings for word in ("--set", setting)]
    done = call_from(other, labeled_backlog, "submit", "--dry-run", *options)
    assert exit_code(done) == 0


def test_the_database_of_another_program_is_rejected_before_planning(tmp_path: Path) -> None:
    labeled_backlog = GrowingBacklog(tmp_path)
    labeled_backlog.arrive(post(1, 1))
    with duckdb.connect(str(tmp_path / "labels.duckdb")) as database:
        database.execute("CREATE TABLE posts (uri VARCHAR)")
    with pytest.raises(RunError):
        labeled_backlog.submit()
    assert labeled_backlog.runs() == []
