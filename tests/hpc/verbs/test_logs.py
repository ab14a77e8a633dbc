"""What `logs` prints: every attempt of a shard, the newest last. The module of its words."""

import json
import re
import shutil
import socket
from pathlib import Path

import pytest

from pipeline import files
from pipeline.run_files.last_words import path_of
from tests.hpc.cli_bench import Bench, Done, outcome, valence_run

HERE = socket.gethostname()
STAMP = re.compile(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC, ran \d+ s\n")


def printed(done: Done) -> str:
    """What a verb printed that went well, without the times, which differ from run to run."""
    assert (done.returncode, done.stderr) == (0, ""), done
    return STAMP.sub("WHEN\n", done.stdout)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that `blocked_run` is a copy of."""
    bench = Bench(tmp_path_factory.mktemp("original"))
    bench.config(posts=8, sharding={"shards": 4}, retry={"max_attempts": 2})
    for shard, words in {1: "fail fail", 2: "die refuse-shard", 3: "fail fail"}.items():
        bench.script(shard, words)
    assert outcome(bench.submit()) == (1, "")
    (run,) = bench.runs()
    return run


@pytest.fixture
def blocked_run(bench: Bench, original: Path) -> Path:
    """A run whose shard 0 is done, 1 and 3 failed alike, 2 was killed and then refused."""
    return Path(shutil.copytree(original, bench.folder / "runs" / original.name))


def test_logs_shows_all_attempts_with_the_newest_last(blocked_run: Path, bench: Bench) -> None:
    done = bench.hpc("logs", "1-2", "--lines", 2)
    assert printed(done) == (
        "shard 1: blocked (crashed): this was scripted; no attempts left (2 of 2)\n"
        "\n"
        f"attempt 1 (submission 1): local process on {HERE}, submitted WHEN\n"
        "  process: failed, exit code 1\n"
        "  crashed: this was scripted\n"
        '  |     raise RuntimeError("this was scripted")\n'
        "  | RuntimeError: this was scripted\n"
        f"  log: {blocked_run}/logs/0001/00001.log\n"
        "\n"
        f"attempt 2 (submission 2): local process on {HERE}, submitted WHEN\n"
        "  process: failed, exit code 1\n"
        "  crashed: this was scripted\n"
        '  |     raise RuntimeError("this was scripted")\n'
        "  | RuntimeError: this was scripted\n"
        f"  log: {blocked_run}/logs/0002/00001.log\n"
        "\n"
        "shard 2: blocked (refused): no more of this one\n"
        "\n"
        "attempt 1 (submission 1): local process, submitted WHEN\n"
        "  process: killed by SIGKILL, exit code -9\n"
        f"  the end of {blocked_run}/logs/0001/00002.log:\n"
        "  | shard 2: 2 posts, 0 already answered\n"
        "\n"
        f"attempt 2 (submission 2): local process on {HERE}, submitted WHEN\n"
        "  process: failed, exit code 1\n"
        "  refused: no more of this one\n"
        f"  log: {blocked_run}/logs/0002/00002.log\n"
    )


def test_failed_shows_the_last_attempt_and_groups_identical_failures(
    blocked_run: Path, bench: Bench
) -> None:
    assert printed(bench.hpc("logs", "--failed", "--lines", 1)) == (
        "shard 1: blocked (crashed): this was scripted; no attempts left (2 of 2)\n"
        "\n"
        f"attempt 2 (submission 2): local process on {HERE}, submitted WHEN\n"
        "  process: failed, exit code 1\n"
        "  crashed: this was scripted\n"
        "  | RuntimeError: this was scripted\n"
        f"  log: {blocked_run}/logs/0002/00001.log\n"
        "\n"
        "shard 3: the same\n"
        "\n"
        "shard 2: blocked (refused): no more of this one\n"
        "\n"
        f"attempt 2 (submission 2): local process on {HERE}, submitted WHEN\n"
        "  process: failed, exit code 1\n"
        "  refused: no more of this one\n"
        f"  log: {blocked_run}/logs/0002/00002.log\n"
    )


def test_the_document_has_every_attempt(blocked_run: Path, bench: Bench) -> None:
    done = bench.hpc("logs", 2, "--lines", 1, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    refused = document["shards"][0]["attempts"][1]
    assert refused.pop("traceback") == ""
    killed = {
        "attempt": 1,
        "task": None,
        "slurm_state": "killed by SIGKILL",
        "exit_code": "-9",
        "node": None,
        "mem_gb": None,
        "max_rss_mb": None,
        "words": None,
        "traceback": None,
        "log": f"{blocked_run}/logs/0001/00002.log",
        "server_log": None,
        "tail": ["shard 2: 2 posts, 0 already answered"],
    }
    words = {"cause": "refused", "message": "no more of this one"}
    assert document == {
        "run_id": blocked_run.name,
        "shards": [
            {
                "index": 2,
                "state": "blocked",
                "cause": "refused",
                "attempts": [
                    killed,
                    {
                        "attempt": 2,
                        "task": None,
                        "slurm_state": "failed",
                        "exit_code": "1",
                        "node": HERE,
                        "mem_gb": None,
                        "max_rss_mb": None,
                        "words": words,
                        "log": f"{blocked_run}/logs/0002/00002.log",
                        "server_log": None,
                        "tail": ["no more of this one"],
                    },
                ],
            }
        ],
    }
    failed = json.loads(bench.hpc("logs", "--failed", "--json").stdout)["shards"]
    attempts = {
        shard["index"]: [attempt["attempt"] for attempt in shard["attempts"]] for shard in failed
    }
    assert attempts == {1: [2], 2: [2], 3: [2]}


def test_a_done_shard_shows_its_log_or_that_the_log_is_missing(
    blocked_run: Path, bench: Bench
) -> None:
    head = (
        "shard 0: done\n\n"
        "attempt 1 (submission 1): local process, submitted WHEN\n  process: ended, "
    )
    assert printed(bench.hpc("logs", 0)) == (
        f"{head}exit code 0\n"
        f"  the end of {blocked_run}/logs/00000.log:\n"
        "  | shard 0: 2 posts, 0 already answered\n"
        "  | shard 0: published\n"
    )
    log = blocked_run / "logs" / "00000.log"  # it is gathered, so its files are packed
    log.write_text("")
    assert printed(bench.hpc("logs", 0)) == f"{head}exit code 0\n  its log is empty: {log}\n"
    log.unlink()
    assert printed(bench.hpc("logs", 0)) == f"{head}exit code 0\n  no log to read: {log}\n"


def test_failed_attempts_of_a_complete_run_can_still_be_read(bench: Bench) -> None:
    bench.config(posts=4)
    bench.script(1, "fail")
    assert outcome(bench.submit()) == (0, "")
    (run,) = bench.runs()
    assert printed(bench.hpc("logs", 1, "--lines", 1)) == (
        "shard 1: done\n"
        "\n"
        f"attempt 1 (submission 1): local process on {HERE}, submitted WHEN\n"
        "  process: failed, exit code 1\n"
        "  crashed: this was scripted\n"
        "  | RuntimeError: this was scripted\n"
        f"  log: {run}/logs/00001.log\n"
        "\n"
        "attempt 2 (submission 2): local process, submitted WHEN\n"
        "  process: ended, exit code 0\n"
        f"  the end of {run}/logs/00001.log:\n"
        "  | shard 1: published\n"
    )


def test_control_characters_in_a_log_do_not_reach_the_terminal(
    blocked_run: Path, bench: Bench
) -> None:
    words = path_of(blocked_run, 2, 1)
    values = json.loads(words.read_text())
    evil = "\x1b[2Jall\nis \u202ewell\x07"
    files.write_json(words, {**values, "message": evil, "traceback": f"{evil}\n"})
    output = printed(bench.hpc("logs", 1, "--lines", 1))
    assert output.startswith("shard 1: blocked (crashed): all is well; no attempts left (2 of 2)\n")
    assert output.endswith(
        f"  crashed: all is well\n  | is well\n  log: {blocked_run}/logs/0002/00001.log\n"
    )
    (shard,) = json.loads(bench.hpc("logs", 1, "--json").stdout)["shards"]
    assert shard["attempts"][1]["words"]["message"] == "all\nis well"
    assert shard["attempts"][1]["traceback"] == "all\nis well\n"


def test_a_shard_that_was_never_submitted_says_so(bench: Bench) -> None:
    run = valence_run(bench.folder, 4)
    assert printed(bench.hpc("logs", 1)) == "shard 1: planned: not submitted yet\n"
    assert printed(bench.hpc("logs", "--failed")) == (
        f"run {run.run_id} has no failed or blocked shards\n"
    )
    document = json.loads(bench.hpc("logs", "--failed", "--json").stdout)
    assert document == {"run_id": run.run_id, "shards": []}


def test_the_run_is_named_before_the_index_or_by_an_option(bench: Bench) -> None:
    older = valence_run(bench.folder, 4)
    newer = valence_run(bench.folder, 2, shards=1, run_id="20240602T120000-valence-89abcdef")
    second = "shard 1: planned: not submitted yet\n"
    for arguments in ([older.run_id, 1], [older.folder, 1], ["--run", older.run_id, 1]):
        assert printed(bench.hpc("logs", *arguments)) == second
    assert json.loads(bench.hpc("logs", older.run_id, "--failed", "--json").stdout)["run_id"] == (
        older.run_id
    )
    assert printed(bench.hpc("logs", "--run", older.run_id, 0, 1)).endswith(f"\n{second}")
    assert outcome(bench.hpc("logs", 0, 1)) == (
        2,
        "error: there is no shard 1: this run has shards 0-0\n",
    )
    assert outcome(bench.hpc("logs", 1)) == (
        2,
        "error: there is no shard 1: this run has shards 0-0\n",
    )
    assert printed(bench.hpc("logs", 0)) == "shard 0: planned: not submitted yet\n"
    newer.folder.rename(bench.folder / newer.run_id)
    assert printed(bench.hpc("logs", 1)) == second
    away = ["--run-root", bench.folder, 0]
    assert printed(bench.hpc("logs", *away)) == "shard 0: planned: not submitted yet\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name the shards, such as: hpc logs 7, hpc logs 3,7-9, hpc logs --failed"),
        (["x"], "INDEX: 'x' is not a list of indices such as 3,7-9"),
        (["0,2-4"], "there is no shard 2-4: this run has shards 0-1"),
        (["a", "b", "1"],
         "expected one run and one list of shards, as in hpc logs [RUN] 3,7-9, not a b 1"),
        (["--run", "a", "b", "1"],
         "expected one run and one list of shards, as in hpc logs [RUN] 3,7-9, not b 1"),
    ],
)  # fmt: skip
def test_wrong_usage_exits_with_code_2(bench: Bench, arguments: list[str], message: str) -> None:
    valence_run(bench.folder, 4)
    assert outcome(bench.hpc("logs", *arguments)) == (2, f"error: {message}\n")


def test_numbers_apart_are_shards_unless_the_first_is_the_name_of_a_run(bench: Bench) -> None:
    valence_run(bench.folder, 4)
    both = json.loads(bench.hpc("logs", 0, 1, "--json").stdout)["shards"]
    assert [shard["index"] for shard in both] == [0, 1]
    assert json.loads(bench.hpc("logs", "0,1", 1, "--json").stdout)["shards"] == both
    run_id = "20240601T130000-0-89abcdef"
    valence_run(bench.folder, 2, shards=2, run_id=run_id)
    one = json.loads(bench.hpc("logs", 0, 1, "--json").stdout)
    assert (one["run_id"], [shard["index"] for shard in one["shards"]]) == (run_id, [1])


@pytest.mark.parametrize("word", ["2024", "valence", "valence-01"])
def test_a_word_that_means_a_run_gets_the_commands_that_name_its_shards(
    bench: Bench, word: str
) -> None:
    valence_run(bench.folder, 4)
    done = bench.hpc("logs", word)
    assert done.returncode == 2
    assert done.stderr.endswith(
        f". If {word} means a run, also name its shards: hpc logs {word} 0, "
        f"or hpc logs {word} --failed\n"
    )
    assert printed(bench.hpc("logs", word, 0)) == "shard 0: planned: not submitted yet\n"


def test_zero_lines_are_rejected(bench: Bench) -> None:
    refused = bench.hpc("logs", 1, "--lines", 0)
    assert refused.returncode == 2
    assert refused.stderr.endswith(
        "error: argument --lines: should be a whole number, 1 or more, not '0'\n"
    )
