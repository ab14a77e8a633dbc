"""What killed tasks kept counts as done, and a look opens each of their journals once."""

from pathlib import Path

import pytest

from hpc.run.model.run import Run
from hpc.traces.task_files import TaskFiles
from pipeline.classifiers.valence import Valence
from pipeline.model import Answer
from pipeline.run_files.checkpoints.checkpoint import Checkpoint
from pipeline.run_files.manifest import work_path
from tests.hpc.cli_bench import valence_run
from tests.hpc.file_reads import counted_reads


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return valence_run(tmp_path, 40)


def answer(run: Run, attempt: int, parts: int, journal: int) -> None:
    """A task of shard 0 kept so many answers in a part and in its journal, and was killed."""
    saved = Checkpoint(
        work_path(run.folder, 0),
        metadata=run.manifest.part_metadata(0),
        columns=Valence.columns,
        attempt=attempt,
    )
    for count in (parts, journal):
        saved.flush()
        for row in range(count):
            saved.add(Answer(f"at://{row}", {"compound": 0.0, "valence_label": "neutral"}))


def test_answers_in_parts_and_journals_are_counted_by_attempt(run: Run) -> None:
    answer(run, 1, parts=5, journal=2)
    answer(run, 2, parts=0, journal=3)
    answer(run, 3, parts=4, journal=0)
    kept = [TaskFiles(run).kept_rows(attempt, 0) for attempt in range(5)]
    assert kept == [0, 7, 3, 4, 0]


def test_a_journal_is_opened_again_only_if_it_has_changed(run: Run) -> None:
    answer(run, 1, parts=0, journal=2)

    def look() -> tuple[int, int]:
        task_files = TaskFiles(run)
        with counted_reads(run.folder / "work") as reads:
            kept = task_files.kept_rows(1, 0)
        task_files.remember()
        return kept, len(reads)

    assert [look(), look()] == [(2, 1), (2, 0)]
    answer(run, 1, parts=0, journal=3)
    assert look() == (5, 1)
