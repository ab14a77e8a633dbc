"""An adoption that is killed at any of its steps loses nothing, and the same command continues."""

import os
import shutil
import signal
from itertools import count
from pathlib import Path

from tests.hpc.adoption.engine import EXTERNAL, hand_over, label, rows_of, write_lines
from tests.hpc.cli_bench import ROOT, Bench
from tests.hpc.forked_verbs import ForkedVerbs


def kill_at_each_step(bench: Bench, *words: str) -> int:
    """Run a command from the same start, killed before each of its steps in turn, and then again
    to its end; return how many steps it has."""
    start = bench.folder.with_name(f"{bench.folder.name}-start")
    shutil.copytree(bench.folder, start)
    environment = {**bench.env, "PYTHONPATH": f"{ROOT}{os.pathsep}{bench.env['PYTHONPATH']}"}
    log = bench.folder.with_name(f"{bench.folder.name}-log")
    killed = ["-m", "tests.hpc.adoption.killed_verb"]
    expected: object = None
    with ForkedVerbs(bench.folder, environment) as verbs:
        for step in count(1):
            code = verbs.run([*killed, str(step), *words], log, log)
            if code != -signal.SIGKILL:
                assert code == 0, log.read_text()
                assert rows_of(bench) == expected
                return step - 1
            assert verbs.run(list(words), log, log) == 0, log.read_text()
            assert [*bench.folder.glob("runs/*/.tmp-adopt-*")] == []  # what the kill left behind
            expected = expected or rows_of(bench)
            assert rows_of(bench) == expected
            put_back(start, bench.folder)
    raise AssertionError


def put_back(start: Path, folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(start, folder, dirs_exist_ok=True)


def test_an_adoption_killed_at_any_step_is_completed_by_the_same_command(bench: Bench) -> None:
    """The first shard is complete, the second gets the rest of the answers that were kept."""
    bench.config(8, classifier=EXTERNAL)
    run = hand_over(bench)
    rows = label(run)
    write_lines(run / "answers" / "a.jsonl", list(rows[:6]))
    bench.document("adopt", run / "answers", code=3)
    write_lines(run / "answers" / "b.jsonl", list(rows[6:]))
    (run / "outputs" / "00000.parquet").unlink()
    assert kill_at_each_step(bench, "adopt", str(run / "answers")) >= 5
    assert rows_of(bench) == {row["uri"]: {**row, "reason": None} for row in rows}
    assert bench.hpc("audit", "--config", bench.path).returncode == 0


def test_an_adoption_of_a_part_killed_at_any_step_keeps_the_answers(bench: Bench) -> None:
    bench.config(8, classifier=EXTERNAL)
    run = hand_over(bench)
    rows = label(run)
    write_lines(run / "answers" / "a.jsonl", list(rows[:6]))
    words = ("adopt", str(run / "answers"), "--missing", "not_labeled")
    assert kill_at_each_step(bench, *words) >= 4
    assert rows_of(bench)[rows[7]["uri"]]["reason"] == "not_labeled"
