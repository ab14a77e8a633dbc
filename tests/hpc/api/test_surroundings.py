"""A function leaves the process of its caller as it was, wherever it is called."""

import asyncio
import gc
import os
import signal
import threading
from pathlib import Path

import duckdb
import pytest

from hpc import api
from hpc.api.call.surroundings import library_call
from tests.hpc.api.conftest import CONFIG, POSTS

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def settings() -> tuple[object, ...]:
    """Return what belongs to the process."""
    umask = os.umask(0)
    os.umask(umask)
    handlers = [signal.getsignal(number) for number in SIGNALS]
    return umask, handlers, gc.get_threshold(), Path.cwd(), dict(os.environ)


def call_everything() -> None:
    api.preview(CONFIG)
    run = api.submit(CONFIG, selection=api.Selection(limit=5), overrides=["name=more"])
    assert run.end is not None
    api.wait(run)
    api.gather(run)
    api.status(run)
    api.cancel(run)
    api.resubmit(run)
    api.runs()
    api.labels("more")
    assert not api.audit(CONFIG).is_whole
    with pytest.raises(api.InputError):
        api.submit("nowhere.yaml")


def test_nothing_is_printed_or_left_changed(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = settings()
    call_everything()
    assert settings() == before
    assert capfd.readouterr() == ("", "")


def test_the_files_of_a_run_are_closed_to_others(project: Path) -> None:
    before = os.umask(0o022)
    try:
        run = api.submit(CONFIG, selection=api.Selection(limit=5), overrides=["name=more"])
        assert run.run_dir is not None
        modes = {path.stat().st_mode & 0o007 for path in run.run_dir.rglob("*")}
    finally:
        os.umask(before)
    assert modes == {0}


def test_calls_that_overlap_in_threads_restore_the_umask(project: Path) -> None:
    before = os.umask(0o022)
    try:
        barrier = threading.Barrier(4)

        def look() -> None:
            barrier.wait()
            for _ in range(3):
                api.status()

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_function_works_within_a_running_event_loop(project: Path) -> None:
    async def cell() -> tuple[int, int]:
        here = api.gather().rows_after
        return here, await asyncio.to_thread(lambda: api.labels("valence").num_rows)

    assert asyncio.run(cell()) == (POSTS, POSTS)


def test_messages_and_looks_are_handed_over(project: Path) -> None:
    messages: list[str] = []
    seen: list[api.StatusResult] = []
    run = api.find_run()
    for output in (run.folder / "outputs").glob("00001*"):
        output.unlink()
    end = api.wait(run, progress=seen.append, say=messages.append)
    assert end.is_complete
    assert [each.posts_done for each in seen][-1] == POSTS
    assert seen[0].posts_done < POSTS
    assert any("gathered" in message for message in messages)


def test_a_run_is_found_by_whatever_names_it(project: Path) -> None:
    run = api.find_run()
    choices = (None, run, run.run_id, "valence", str(run.folder), run.folder, api.status())
    assert {api.status(choice).run_id for choice in choices} == {run.run_id}


def test_without_a_post_there_is_no_run_to_wait_for(project: Path) -> None:
    nothing = api.submit(CONFIG, selection=api.Selection(limit=5, only_labeled_by="valence",
                         where="false"), overrides=["name=more"])  # fmt: skip
    assert nothing.run is None
    with pytest.raises(api.InputError):
        api.wait(nothing)


@pytest.mark.parametrize(
    "selection",
    [
        api.Selection(limit=0),
        api.Selection(limit=5, sample=api.DrawRequest(size=5, seed=1)),
        api.Selection(limit=5, sample_name="s"),
        api.Selection(supersede=True, retry_reason="text_too_short"),
        api.Selection(where="true"),
    ],
)
def test_a_selection_that_contradicts_itself_is_an_input_error(
    project: Path, selection: api.Selection
) -> None:
    with pytest.raises(api.InputError):
        api.preview(CONFIG, selection=selection)


# The condition of the first row interrupts, and the others take hours.
INTERRUPTED_QUERY = """
SELECT count(*) FROM range(100000000000) AS numbers (number)
WHERE CASE WHEN number = 0 THEN interrupt() ELSE hash(number) % 7 END = 3
"""


def interrupt_in_a_query() -> None:
    """Run a query on behalf of a caller, who interrupts it once it has begun."""

    def interrupt() -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return 1

    # With more threads, DuckDB may call the function in another one, and go on here.
    with library_call(), duckdb.connect(config={"threads": 1}) as connection:
        connection.create_function(
            "interrupt", interrupt, [], duckdb.type("INTEGER"), side_effects=True
        )
        connection.execute(INTERRUPTED_QUERY).fetchall()


def test_an_interruption_in_the_middle_of_a_query_is_one_for_the_caller() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupt_in_a_query()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_that_nobody_interrupted_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="mine"), library_call():
        raise RuntimeError("mine")
