"""Measure what a run of many shards costs the login node, and how many files it keeps.

    python -m benchmarks.many_shards [--shards 10000] [--attempts 3] [--rounds 3]
                                     [--executor slurm] [--keep FOLDER] [--results FILE.json]

Lay out a run in a temporary folder as its tasks would have left it: earlier attempts of each shard
failed, and of the last ones half have published. Slurm's answers are files that stand-ins for
squeue and sacct print, so the parsers do their real work. Then measure `status`, or one round of
`supervise`: seconds, CPU seconds, peak memory, and calls of Slurm's commands. The reference is a
bare listing of the same folders with the attributes of each file.
"""

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.paired import Figure, Took, python, report, run_child
from hpc.run import run_folder
from hpc.run.model.arrays import ArrayPlan, Submission
from hpc.run.model.run import Run
from hpc.run.submissions import write_submission
from pipeline import __version__
from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.errors import Cause
from pipeline.model import REASON, SHARD_SCHEMA, JsonObject, Shard, output_schema
from pipeline.run_files import heartbeat, last_words, manifest
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.manifest import Manifest
from pipeline.run_files.responses import PUBLICATION

POSTS = 10  # of a shard; what is measured does not depend on it
ARRAY_SIZE = 1001  # Slurm's default
NOW = datetime.now(UTC).replace(microsecond=0)
RESOURCES: JsonObject = {
    "partition": None, "account": None, "time_min": 60, "mem_gb": None, "cpus": 1, "gres": None,
    "qos": None, "constraint": None, "exclude": None, "python": sys.executable, "setup": [],
    "extra": {},
}  # fmt: skip
TRACEBACK = "".join(
    f'  File "/project/pipeline/worker/step_{line}.py", line {line}, in step_{line}\n'
    for line in range(20)
)
SQUEUE = '#!/bin/sh\necho squeue >>"{calls}"\ncat "{answer}"\n'
SACCT = '#!/bin/sh\necho sacct >>"{calls}"\ncat "{answer}"\n'
# One round of a supervisor that neither waits nor submits, because its run is under way.
ROUND = """
import sys
from pathlib import Path
from hpc.display.live.plain_lines import PlainLines
from hpc.executors.factory import executor_of
from hpc.reconcile.loop import supervise
from hpc.locks import run_lock
from hpc.run import run_folder
run = run_folder.load(Path(sys.argv[1]))
with run_lock.lock_run(run) as lock:
    supervise(run, executor_of(run), lock, PlainLines(lambda line: None), once=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--attempts", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--executor", choices=("slurm", "local"), default="slurm")
    parser.add_argument("--keep", type=Path, help="lay the run out in this folder, and keep it")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hpc-bench-") as name:
        figures = measure(options.keep or Path(name), options)
    report(
        f"{options.shards:,} shards, {options.attempts} attempts each, executor {options.executor}",
        figures,
        options.results,
    )


def measure(folder: Path, options: argparse.Namespace) -> list[Figure]:
    """Return the figures, in the order of the steps."""
    run = lay_out(folder, options.shards, options.attempts, options.executor)
    bare = statistics.median(bare_listing(run.folder)[1] for _ in range(options.rounds))
    files = bare_listing(run.folder)[0]
    status = python("-m", "hpc.status", run.folder)
    steps: dict[str, tuple[str, ...]] = {
        "status, first look": status,
        "status, again": status,
        "status --json, again": (*status, "--json"),
    }
    if options.executor == "slurm":
        steps["supervise, one round"] = python("-c", ROUND, run.folder)
        steps["supervise, next round"] = python("-c", ROUND, run.folder)
    figures: list[Figure] = []
    for step, command in steps.items():
        rounds = 1 if "first" in step or "one" in step else options.rounds
        (folder / "calls").write_text("")
        took = [timed(command, folder) for _ in range(rounds)]
        calls = (folder / "calls").read_text().split()
        figures.append(describe(step, took, bare, calls, files))
    return figures


def describe(step: str, took: list[Took], bare: float, calls: list[str], files: int) -> Figure:
    """Compare a step with a bare listing of the run's folder."""
    return Figure(
        name=step,
        reference="bare listing",
        ratio=statistics.median(each.seconds for each in took) / bare,
        rounds=len(took),
        details={
            "seconds": statistics.median(each.seconds for each in took),
            "reference seconds": bare,
            "CPU seconds": statistics.median(each.cpu_seconds for each in took),
            "peak MB": max(each.peak_mb for each in took),
            "calls of squeue": calls.count("squeue") / len(took),
            "calls of sacct": calls.count("sacct") / len(took),
            "files": files,
        },
    )


def timed(command: tuple[str, ...], folder: Path) -> Took:
    """Run a command with the stand-ins for Slurm's programs."""
    path = f"{folder / 'programs'}{os.pathsep}{os.environ['PATH']}"
    # `status` of a run that is not complete exits with 1 or 3.
    return run_child(command, {"PATH": path}, exit_codes=frozenset({0, 1, 3}))


def bare_listing(folder: Path) -> tuple[int, float]:
    """Return how many files and folders there are, and the seconds to list them all."""
    start = time.perf_counter()
    count, folders = 1, [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
    return count, time.perf_counter() - start


def lay_out(folder: Path, shards: int, attempts: int, executor: str) -> Run:
    """Return a run as it is in the middle of its last attempts."""
    run = plan(folder, shards, executor)
    write_programs(folder)
    submissions = submit(run, attempts)
    rows: list[str] = []
    queue: list[str] = []
    for submission in submissions:
        (manifest.log_path(run.folder, submission.number)).mkdir(parents=True)
        is_last = submission.number > (attempts - 1) * arrays(run)
        for index in submission.plan.indices:
            end = end_of(submission.plan.offset + index, is_last=is_last)
            leave_files(run, submission, index, end)
            rows += accounting(submission, index, end)
            queue += controller(submission, index, end)
    (folder / "squeue.txt").write_text("".join(queue))
    (folder / "sacct.txt").write_text("".join(rows))
    return run


def end_of(shard: int, *, is_last: bool) -> str:
    """Return how an attempt ended: an earlier one failed, the last one in one of five ways."""
    if not is_last:
        return ("FAILED", "TIMEOUT")[shard % 2]
    return ("COMPLETED", "COMPLETED", "RUNNING", "PENDING", "FAILED")[shard % 5]


def plan(folder: Path, count: int, executor: str) -> Run:
    run_id = f"{NOW:%Y%m%dT%H%M%S}-bench-0123abcd"
    run_dir = folder / "runs" / run_id
    for name in ("shards", "outputs", "work", "logs", "submissions"):
        (run_dir / name).mkdir(parents=True)
    classifier: JsonObject = {"type": "valence"}
    cluster: JsonObject = {
        "executor": executor, "max_parallel": 200, "grace_seconds": 0.0, "poll_seconds": 0.01,
        "resources": RESOURCES, "caretaker": RESOURCES,
    }  # fmt: skip
    frozen = tuple(write_shard(run_dir, index) for index in range(count))
    manifest.write(
        run_dir,
        Manifest(
            format=manifest.FORMAT,
            run_id=run_id,
            name="bench",
            created_at=(NOW - timedelta(days=1)).replace(tzinfo=None).isoformat(),
            version=__version__,
            database=str(folder / "labels.duckdb"),
            classifier=classifier,
            config_hash=manifest.config_hash(classifier, 5),
            min_text_length=5,
            checkpoint_rows=500,
            checkpoint_seconds=60.0,
            retry={"max_attempts": 9},
            cluster=cluster,
            array_size=ARRAY_SIZE,
            shards=frozen,
        ),
    )
    return run_folder.load(run_dir)


def write_shard(run_dir: Path, index: int) -> Shard:
    first = index * POSTS
    table = pa.table(
        [
            [uri(number) for number in range(first, first + POSTS)],
            [f"a fine post {number}" for number in range(first, first + POSTS)],
            [datetime(2024, 6, 1) + timedelta(seconds=n) for n in range(first, first + POSTS)],
            pa.nulls(POSTS, REASON.type),
        ],
        schema=SHARD_SCHEMA,
    )
    path = manifest.shard_path(run_dir, index)
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)
    return Shard(
        index=index,
        posts=POSTS,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        min_preprocessing_timestamp=table["preprocessing_timestamp"][0].as_py().isoformat(),
        max_preprocessing_timestamp=table["preprocessing_timestamp"][-1].as_py().isoformat(),
    )


def uri(number: int) -> str:
    return f"at://did:plc:{number:024d}/app.bsky.feed.post/{number:013d}"


def arrays(run: Run) -> int:
    """Return how many arrays one attempt of all shards takes."""
    return -(-len(run.manifest.shards) // ARRAY_SIZE)


def submit(run: Run, attempts: int) -> list[Submission]:
    shards = len(run.manifest.shards)
    submissions: list[Submission] = []
    for attempt in range(attempts):
        for offset in range(0, shards, ARRAY_SIZE):
            number = len(submissions) + 1
            at = NOW - timedelta(hours=attempts - attempt)
            array = ArrayPlan(
                offset=offset,
                indices=tuple(range(min(ARRAY_SIZE, shards - offset))),
                throttle=200,
                parallel_tasks=200,
            )
            submission = Submission(
                number=number,
                job_name=f"hpc-{run.run_id}-{number:04d}",
                plan=array,
                intended_at=at,
                array_job_id=4710 + number if run.executor == "slurm" else None,
                released_at=at,
            )
            submissions.append(write_submission(run, submission))
    return submissions


def leave_files(run: Run, submission: Submission, index: int, end: str) -> None:
    """Write what a task of this end leaves behind, with its output."""
    leave_traces(run, submission, index, end)
    if end == "COMPLETED":
        publish(run, submission.plan.offset + index, submission.number)


def leave_traces(run: Run, submission: Submission, index: int, end: str) -> None:
    """Write what a task of this end leaves behind, without its output."""
    number, shard = submission.number, submission.plan.offset + index
    logs, work = manifest.log_path(run.folder, number), manifest.work_path(run.folder, shard)
    if submission.array_job_id is None:
        leave_local_files(logs, shard, end)
    else:
        task = f"{submission.array_job_id}_{index}"
        (logs / f"{task}_submitted.pkl").write_bytes(b"x" * 600)
        if end in ("COMPLETED", "FAILED"):
            (logs / f"{task}_0_result.pkl").write_bytes(b"x" * 80)
        if end != "PENDING":
            (logs / f"{task}_0_log.out").write_text(TRACEBACK)
    if end == "COMPLETED":
        for path in list(work.glob("*")):  # as the task does
            path.unlink()
    elif end != "PENDING":
        work.mkdir(exist_ok=True)
        (work / f"{number:04d}-0123abcd-00000-3.parquet").write_bytes(b"x" * 2000)
        path = heartbeat.path_of(work, number)
        path.write_text(
            f'{{"written_at": "{NOW:%Y-%m-%dT%H:%M:%SZ}", "progress_at": '
            f'"{NOW:%Y-%m-%dT%H:%M:%SZ}", "rows": 3, "posts": {POSTS}, "rate_per_minute": 12.5, '
            '"last_error": "", "node": "n1", "counts": {}, "counts_per_minute": {}}'
        )
    if end == "FAILED":
        words = LastWords(
            cause=Cause.CRASHED,
            message=f"the service answered 503 for the post {uri(shard)}",
            traceback=TRACEBACK,
            node="n1",
            written_at=NOW.isoformat(),
        )
        path = last_words.path_of(run.folder, number, shard)
        path.write_text(json.dumps(words.to_json(), indent=1))


def leave_local_files(logs: Path, shard: int, end: str) -> None:
    started, ended = NOW - timedelta(minutes=30), NOW - timedelta(minutes=10)
    code = {"COMPLETED": "0", "FAILED": "1", "TIMEOUT": "-9"}.get(end)
    if end == "PENDING":
        return
    (logs / f"{shard:05d}.log").write_text(TRACEBACK)
    (logs / f"{shard:05d}.task.json").write_text(
        f'{{\n "started_at": "{started:%Y-%m-%dT%H:%M:%SZ}",\n "ended_at": '
        f'{f"{chr(34)}{ended:%Y-%m-%dT%H:%M:%SZ}{chr(34)}" if code else "null"},\n "exit_code": '
        f'{code or "null"},\n "told_to_stop": false\n}}\n'
    )


def publish(run: Run, index: int, attempt: int) -> None:
    """Write an output as a task does, with the same label for every post, and unsynced."""
    classifier = create(run.manifest.classifier, TaskShare())
    posts = pq.read_table(manifest.shard_path(run.folder, index), partitioning=None)
    values = {
        "was_successfully_labeled": True, "label_timestamp": datetime(2024, 6, 1),
        "compound": 0.5, "valence_label": "positive", "run_id": run.run_id, "shard_index": index,
        "attempt": attempt, "model": classifier.model, "config_hash": run.manifest.config_hash,
    }  # fmt: skip
    schema = output_schema(classifier.columns)
    columns = [
        posts[field.name]
        if field.name in posts.column_names
        else pa.array([values.get(field.name)] * posts.num_rows, field.type)
        for field in schema
    ]
    footer = {
        **run.manifest.receipt(index).metadata(),
        PUBLICATION: f"{index:032x}",
        "hpc.attempt": str(attempt),
    }
    table = pa.table(columns, schema=schema).replace_schema_metadata(footer)
    path = manifest.output_path(run.folder, index)
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def accounting(submission: Submission, index: int, end: str) -> Iterator[str]:
    """Yield what sacct prints of a task: its own row, and one for each step."""
    if end == "PENDING":
        return
    task = f"{submission.array_job_id}_{index}"
    submitted, started = submission.intended_at, submission.intended_at + timedelta(minutes=5)
    ended = (
        "Unknown" if end == "RUNNING" else f"{started + timedelta(minutes=20):%Y-%m-%dT%H:%M:%S}"
    )
    code = {"FAILED": "1:0", "TIMEOUT": "0:0"}.get(end, "0:0")
    times = f"{submitted:%Y-%m-%dT%H:%M:%S}|{started:%Y-%m-%dT%H:%M:%S}|{ended}|1200"
    node = f"n{index % 40:02d}"
    yield f"{task}|{end}|{code}|{times}||{node}|4294967296\n"
    for step, rss in (("batch", "204800000"), ("extern", "0"), ("0", "734003200")):
        yield f"{task}.{step}|{end}|{code}|{times}|{rss}|{node}|\n"


def controller(submission: Submission, index: int, end: str) -> Iterator[str]:
    """Yield what squeue prints of a task that is alive."""
    task = f"{submission.array_job_id}_{index}"
    if end == "RUNNING":
        yield f"{task}|RUNNING|{NOW:%Y-%m-%dT%H:%M:%S}|n{index % 40:02d}|None\n"
    if end == "PENDING":
        yield f"{task}|PENDING|N/A||Resources\n"


def write_programs(folder: Path) -> None:
    programs = folder / "programs"
    programs.mkdir()
    for name, text in (("squeue", SQUEUE), ("sacct", SACCT)):
        path = programs / name
        path.write_text(text.format(calls=folder / "calls", answer=folder / f"{name}.txt"))
        path.chmod(0o755)
    for name in ("sbatch", "scontrol", "scancel", "sinfo"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)


if __name__ == "__main__":
    main()
