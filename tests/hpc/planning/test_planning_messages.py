"""Why a new run is rejected, in words: each message names the problem and the way out."""

import shutil
from pathlib import Path

import pytest

from pipeline.classifiers.valence import Valence
from pipeline.errors import InputError
from pipeline.model import Column, ColumnKind
from tests.hpc.growing_backlog import GrowingBacklog, post


@pytest.fixture
def planned(tmp_path: Path) -> GrowingBacklog:
    """A labeled post under the name test, and a post without a row."""
    planned = GrowingBacklog(tmp_path)
    planned.arrive(post(1, 1))
    run, _ = planned.submit()
    assert run
    planned.finish(run)
    planned.arrive(post(2, 2))
    return planned


def configure(planned: GrowingBacklog, **backlog: object) -> None:
    folder = planned.bench.folder
    planned.bench.config(
        classifier={"type": "valence"},
        backlog=backlog,
        storage={"run_root": str(folder / "runs"), "database": str(folder / "labels.duckdb")},
    )


def rejection(planned: GrowingBacklog, **selection: object) -> str:
    """The message with which a submit is rejected."""
    with pytest.raises(InputError) as rejected:
        planned.submit(**selection)
    return str(rejected.value)


def test_another_labeling_setup(planned: GrowingBacklog) -> None:
    configure(planned, min_text_length=2)
    run = planned.runs()[0]
    problem = "the labels under the name test were made with another configuration"
    remedy = (
        "give this one a new name; or run submit --supersede, which labels those posts again and "
        "keeps the old rows in table superseded_test"
    )
    differs = f"{problem} (run {{}} differs in min_text_length): {remedy}"
    assert rejection(planned) == differs.format(run.run_id)
    shutil.rmtree(run.folder)
    assert rejection(planned) == (
        f"{problem} (run {run.run_id} differs in its code or options): {remedy}"
    )


def test_only_a_run_that_has_no_row_may_be_deleted_to_free_the_name(
    planned: GrowingBacklog,
) -> None:
    configure(planned, min_text_length=2)
    planned.arrive(post(3, 3))
    trial, _ = planned.submit(supersede=True)
    assert trial
    advice = f"; or delete {trial.folder} if nothing in it is worth keeping"
    configure(planned, min_text_length=4)
    assert advice not in rejection(planned), "the first run would still be in the way"
    configure(planned)
    assert rejection(planned).endswith(advice)
    shutil.rmtree(trial.folder)
    assert planned.submit()[0] is not None


def test_labels_of_another_type(planned: GrowingBacklog, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = (Column("compound", ColumnKind.FLAG), Column("valence_label", ColumnKind.TEXT))
    monkeypatch.setattr(Valence, "columns", columns)
    assert rejection(planned) == (
        "table labels_test: column compound is DOUBLE, but this configuration's labels are "
        "BOOLEAN: give it a new name"
    )


def test_a_misspelled_reason_to_retry(planned: GrowingBacklog) -> None:
    planned.arrive(post(3, 3)._replace(text="meh"))
    run, _ = planned.submit()
    assert run
    assert planned.bench.hpc("supervise", run.folder).returncode == 0
    assert rejection(planned, retry_reason="text_to_short") == (
        "retry_reason='text_to_short': no post under the name test has that reason (did you "
        "mean 'text_too_short'?); there are: text_too_short"
    )


def test_a_reason_to_retry_that_no_post_ever_had(planned: GrowingBacklog) -> None:
    _, draft = planned.submit(retry_reason="http_500")
    assert draft.notes == (
        "retry_reason='http_500': no post under the name test has that reason; there are: none",
    )


def test_another_name_that_has_no_labels(planned: GrowingBacklog) -> None:
    assert rejection(planned, only_labeled_by="tests") == (
        f"only_labeled_by='tests': {planned.bench.folder}/labels.duckdb has no labels of that "
        "name (did you mean 'test'?); it has: test"
    )
    assert rejection(planned, only_labeled_by="test") == (
        "only_labeled_by='test': this is the configuration's own name"
    )
    (planned.bench.folder / "labels.duckdb").unlink()
    assert rejection(planned, only_labeled_by="other") == (
        f"only_labeled_by='other': there is no database {planned.bench.folder}/labels.duckdb yet"
    )
