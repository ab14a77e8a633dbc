"""An output that cannot be read now stays where it is, and nobody pays for it again."""

import errno
from pathlib import Path

import pytest

from tests.attack.faults import Faults
from tests.hpc.cli_bench import Bench, ended, exit_code, once
from tests.hpc.snapshot import Snapshot

POSTS = 6


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    made = Bench(tmp_path_factory.mktemp("complete"))
    made.config(posts=POSTS)
    assert exit_code(made.submit()) == 0
    (made.folder / "labels.duckdb").unlink()
    return Snapshot(made)


@pytest.fixture
def bench(snapshot: Snapshot) -> Bench:
    """A complete run of two shards; its database is gone, so that it is to be gathered again."""
    made = snapshot.restore()
    assert exit_code(made.hpc("status")) == 0  # the files are new, and this remembers them
    return made


def call(bench: Bench, faults: Faults, *words: object) -> int:
    """Return the exit code of a verb, as a process under faults that printed no traceback."""
    verb, *arguments = words
    # Long enough for the retries on a slow machine.
    return exit_code(faults.hpc(bench, str(verb), *arguments))


def outputs(bench: Bench) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (bench.runs()[0] / "outputs").iterdir()}


def labels(bench: Bench) -> int:
    return int(bench.query("SELECT count(*) FROM labels_test")[0][0])


def forget_looks(bench: Bench) -> None:
    (bench.runs()[0] / ".seen-outputs.json").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("operation", "error", "remembered"),
    [
        ("open", errno.EIO, True),
        ("open", errno.EACCES, False),
        ("open", errno.EMFILE, False),
        ("read", errno.ESTALE, True),
        ("read", errno.ENOMEM, False),
        ("stat", errno.ESTALE, False),
    ],
)
def test_nothing_is_moved_or_paid_again_and_all_else_is_gathered(
    bench: Bench, faults: Faults, operation: str, error: int, remembered: bool
) -> None:
    before = outputs(bench)
    if not remembered:
        forget_looks(bench)
    fault = faults.fail(operation, "*/outputs/00000.parquet", error)
    assert call(bench, faults, "gather") == 1
    assert fault.injected
    assert labels(bench) == POSTS // 2
    assert call(bench, faults, "supervise", "--once") == 1
    # With what an earlier look remembers, the run is complete, and nothing is to be resubmitted.
    assert call(bench, faults, "resubmit", "--force") == (0 if remembered else 1)
    assert outputs(bench) == before
    assert bench.asked() == once(POSTS)
    faults.clear()
    assert call(bench, faults, "gather") == 0
    assert labels(bench) == POSTS
    assert outputs(bench) == before


@pytest.mark.parametrize(
    ("operation", "pattern"),
    [
        ("open", "*/outputs/0*.parquet"),
        ("read", "*/outputs/0*.parquet"),
        ("list", "*/outputs"),
        ("open", "*/shards/0*.parquet"),
    ],
)
def test_an_error_that_passes_costs_nothing(
    bench: Bench, faults: Faults, operation: str, pattern: str
) -> None:
    forget_looks(bench)
    fault = faults.fail(operation, pattern, errno.ESTALE, times=1)
    assert call(bench, faults, "gather") == 0
    assert fault.injected == 1
    assert labels(bench) == POSTS


def test_supervise_does_not_wait_without_end_for_an_output(bench: Bench, faults: Faults) -> None:
    """A round that could not read one has failed, and the supervisor counts such rounds."""
    forget_looks(bench)
    faults.fail("read", "*/outputs/00000.parquet", errno.ESTALE)
    process = bench.start("supervise", "--once", env=faults.environment())
    done = ended(process)
    assert exit_code(done) == 1
    assert done.stderr.startswith("error: ")
    assert bench.asked() == once(POSTS)


def test_a_folder_that_cannot_be_listed_makes_no_shard_unfinished(
    bench: Bench, faults: Faults
) -> None:
    faults.fail("list", "*/outputs", errno.EIO)
    assert call(bench, faults, "status") == 0
    assert call(bench, faults, "supervise", "--once") == 0
    assert labels(bench) == POSTS
    assert bench.asked() == once(POSTS)


def test_a_shard_whose_own_file_cannot_be_read_is_gathered_and_named(
    bench: Bench, faults: Faults
) -> None:
    faults.fail("read", "*/shards/00001.parquet", errno.EIO)
    assert call(bench, faults, "gather") == 1
    assert labels(bench) == POSTS
    assert call(bench, faults, "gather") == 0


def test_what_only_a_person_can_make_readable_is_blocked_and_forced_by_nobody(
    bench: Bench, tmp_path: Path
) -> None:
    path = bench.runs()[0] / "outputs" / "00000.parquet"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to("/not/mounted")
    status = bench.document("status", code=1)
    assert [shard["state"] for shard in status["shards"]] == ["blocked", "done"]
    gathered = bench.document("gather", code=1)
    assert (gathered["rows_after"], len(gathered["unreadable_files"])) == (POSTS // 2, 1)
    for words in (
        ("resubmit", "--force"),
        ("resubmit", "--force", "--indices", "0"),
        ("supervise", "--once"),
    ):
        assert exit_code(bench.hpc(*words)) == 1
    assert bench.asked() == once(POSTS)
    # Moving the file away is how a person says that the shard is to be labeled again.
    path.unlink()
    assert exit_code(bench.hpc("supervise")) == 0
    assert labels(bench) == POSTS
