"""Measure both layouts of labels at several sizes, for the slopes in docs/scale.md.

    python -m benchmarks.layouts [--sizes 200000,1000000,5000000] [--shard 10000] [--rounds 1]
                                 [--keep FOLDER] [--results FILE.json]

For each size, plan a run and publish its outputs once. Then, in turns for the two layouts: gather
all of it into a new database, audit the backlog, plan the next run, and export the labels. The
figures are CPU seconds, peak memory and bytes. A slope is the difference between two sizes per
million posts: it leaves out what a command takes to start.
"""

import argparse
import itertools
import shutil
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import msgspec

from benchmarks.paired import Figure, Took, child, python, report
from benchmarks.valence_run import PLAN, publish
from hpc.run.exit_codes import UNDER_WAY
from hpc.runs import find_runs
from pipeline.config.sections import LAYOUTS
from pipeline.run_files import manifest

CONFIG = """\
name: bench
backlog: {{source: {folder}/posts.parquet}}
sharding: {{rows_per_shard: {shard}}}
classifier: {{type: valence}}
cluster: {{executor: local, grace_seconds: 0}}
storage: {{run_root: {folder}/runs, database: {folder}/labels.duckdb, layout: {layout}}}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What one command took at one size and layout: medians over the rounds."""

    posts: int
    layout: str
    command: str
    seconds: float
    cpu_seconds: float
    peak_mb: float
    stored_mb: float
    """What the database and its files take on the disk afterwards, in MB."""
    files: int
    """How many files these are."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="200000,1000000,5000000")
    parser.add_argument("--shard", type=int, default=10_000, help="posts of a shard")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="hpc-bench-") as name:
        for size in map(int, options.sizes.split(",")):
            folder = (options.keep or Path(name)).absolute() / str(size)
            if not (folder / "ready").exists():
                lay_out(folder, size, options.shard)
            measured += measure(folder, size, options.shard, options.rounds)
            for line in describe([each for each in measured if each.posts == size]):
                print(line, flush=True)
            if not options.keep:
                shutil.rmtree(folder)
    for line in slopes(measured):
        print(line)
    report("Both layouts of labels", compare(measured, options.rounds), options.results)


def lay_out(folder: Path, posts: int, shard: int) -> None:
    """Plan a run of as many posts with short texts, and publish all its outputs."""
    folder.mkdir(parents=True)
    duckdb.connect().execute(
        "COPY (SELECT format('at://did:plc:{:024d}/app.bsky.feed.post/{:013d}', i, i) AS uri, "
        "'post ' || i || ' ' || repeat(md5(i::VARCHAR), 3) AS text, "
        "strftime(TIMESTAMP '2020-05-31' + to_seconds(i), '%Y-%m-%d-%H:%M:%S') "
        f"AS preprocessing_timestamp FROM range({posts}) t(i)) TO '{folder}/posts.parquet'"
    )
    config = choose(folder, shard, LAYOUTS[0])
    child(*python("-c", PLAN, config, "new"))()
    planned = find_runs.find(folder / "runs", None)
    publish(planned, len(planned.manifest.shards))
    (folder / "ready").touch()


def choose(folder: Path, shard: int, layout: str) -> Path:
    """Give the configuration, and the run if there is one, a layout; return the configuration."""
    config = folder / "bench.yaml"
    config.write_text(CONFIG.format(folder=folder, shard=shard, layout=layout))
    for each in (folder / "runs").glob("[0-9]*"):
        made = manifest.read(each)
        manifest.write(each, msgspec.structs.replace(made, layout=layout))
    return config


def measure(folder: Path, posts: int, shard: int, rounds: int) -> list[Measured]:
    """Run every command for both layouts in turns."""
    took: dict[tuple[str, str], list[Took]] = {}
    stored: dict[str, tuple[float, int]] = {}
    for _ in range(rounds):
        for layout in LAYOUTS:
            config = choose(folder, shard, layout)
            for name, command in commands(folder, config).items():
                took.setdefault((layout, name), []).append(command())
            stored[layout] = stored_files(folder)
    return [
        Measured(
            posts=posts,
            layout=layout,
            command=command,
            seconds=statistics.median(each.seconds for each in rounds_of),
            cpu_seconds=statistics.median(each.cpu_seconds for each in rounds_of),
            peak_mb=max(each.peak_mb for each in rounds_of),
            stored_mb=stored[layout][0],
            files=stored[layout][1],
        )
        for (layout, command), rounds_of in took.items()
    ]


def compare(measured: list[Measured], rounds: int) -> list[Figure]:
    """Compare the CPU seconds of the other layout with those of the first, size by size."""
    reference, other = LAYOUTS
    by_layout = {(each.posts, each.command, each.layout): each for each in measured}
    return [
        Figure(
            name=f"{posts:,} posts: {command}, layout {other}",
            reference=f"layout {reference}",
            ratio=ours.cpu_seconds / by_layout[posts, command, reference].cpu_seconds,
            rounds=rounds,
            details={
                "seconds": ours.seconds,
                "CPU seconds": ours.cpu_seconds,
                "reference CPU seconds": by_layout[posts, command, reference].cpu_seconds,
                "peak MB": ours.peak_mb,
                "stored MB": ours.stored_mb,
                "files": ours.files,
            },
        )
        for (posts, command, layout), ours in by_layout.items()
        if layout == other
    ]


def commands(folder: Path, config: Path) -> dict[str, Callable[[], Took]]:
    """Return the commands, of which the first makes a new database."""
    export = ("export", "bench", "--to", folder / "out.parquet", "--force", "--config", config)
    return {
        "gather": child(
            *python("-m", "hpc", "gather", "--run-root", folder / "runs"),
            prepare=lambda: remove_labels(folder),
        ),
        "audit": child(*python("-m", "hpc", "audit", "--config", config)),
        # Nothing is left to submit, which planning finds out by an anti-join.
        "plan the next run": child(
            *python("-m", "hpc", "submit", "--config", config, "--dry-run", "--backfill"),
            exit_codes=frozenset({0, UNDER_WAY}),
        ),
        "export": child(*python("-m", "hpc", *export)),
    }


def remove_labels(folder: Path) -> None:
    """Delete the database, what a killed gather left of it, and its files."""
    for path in folder.glob("labels.duckdb*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def stored_files(folder: Path) -> tuple[float, int]:
    """Return what the labels take on the disk in MB, and how many files they are."""
    places = folder.glob("labels.duckdb*")
    files = [file for place in places for file in (place, *place.rglob("*")) if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6, len(files)


def describe(measured: list[Measured]) -> list[str]:
    """Return a line for each command."""
    return [
        f"{each.posts:>11,} posts  {each.layout:<8} {each.command:<18} {each.seconds:8.1f} s "
        f"{each.cpu_seconds:8.1f} s of CPU  {each.peak_mb:6.0f} MB memory  "
        f"{each.stored_mb:8.0f} MB in {each.files} files"
        for each in measured
    ]


def slopes(measured: list[Measured]) -> list[str]:
    """Return for each command what a million posts add, between one size and the next."""
    lines = []
    for layout, command in dict.fromkeys((each.layout, each.command) for each in measured):
        points = [each for each in measured if (each.layout, each.command) == (layout, command)]
        cpu = differences(points, lambda each: each.cpu_seconds)
        stored = differences(points, lambda each: each.stored_mb)
        lines.append(f"{layout:<8} {command:<18} {cpu} s of CPU, {stored} MB for a million posts")
    return lines


def differences(points: list[Measured], value: Callable[[Measured], float]) -> str:
    """Return the slopes between neighboring sizes, as text."""
    pairs = itertools.pairwise(points)
    return ", ".join(
        f"{(value(after) - value(before)) / (after.posts - before.posts) * 1e6:.2f}"
        for before, after in pairs
    )


if __name__ == "__main__":
    main()
