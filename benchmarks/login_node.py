"""Compare the login node's work for a run with DuckDB's bare statements on the same data.

    python -m benchmarks.login_node [--posts 1000000] [--shards 100] [--rounds 3] [--sqlite]
                                    [--folder FOLDER] [--results FILE.json]

Half of the posts, chosen at random, are labeled and gathered first. Then, in turns:

- plan the other half, against a bare anti-join and sort, copied to one Parquet file with zstd;
- gather the labels of the first half, against a bare INSERT … SELECT of the same output files;
- plan 1 % new posts once all posts have a label, against the first planning.

With --sqlite, the backlog is a SQLite table, which the reference reads through ADBC as well. All
files are in a temporary folder, or in a new folder that is named, so that its disk is measured.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.paired import Figure, Took, child, compare, in_turns, python, report
from benchmarks.valence_run import PLAN, publish
from hpc.run.model.run import Run
from hpc.runs import find_runs

CONFIG = """\
name: bench
backlog: {{source: {source}}}
sharding: {{rows_per_shard: {rows}}}
classifier: {{type: valence}}
cluster: {{executor: local}}
storage: {{run_root: {folder}/runs, database: {folder}/labels.duckdb}}
"""
BARE_SESSION = """
import sys
import duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("SET threads = 2; SET memory_limit = '1GB'")
"""
BARE_PLAN = """
source, labels, target = sys.argv[2:]
if source.endswith(".db"):
    import adbc_driver_sqlite.dbapi as sqlite
    cursor = sqlite.connect(f"file:{source}?mode=ro").cursor()
    cursor.execute("SELECT uri, text, preprocessing_timestamp FROM posts")
    rows = cursor.fetch_record_batch()
    source = "rows"
else:
    source = f"'{source}'"
connection.execute(f"ATTACH '{labels}' AS labels (READ_ONLY)")
connection.execute(
    "COPY (SELECT uri, text, strptime(preprocessing_timestamp, '%Y-%m-%d-%H:%M:%S') AS moment "
    f"FROM {source} ANTI JOIN labels.labels_bench USING (uri) ORDER BY moment, uri) "
    f"TO '{target}' (COMPRESSION zstd)"
)
"""
BARE_GATHER = """
connection.execute(f"CREATE TABLE labels AS FROM '{sys.argv[2]}/outputs/*.parquet'")
connection.close()
"""
POSTS = (
    "SELECT format('at://did:plc:{{:024d}}/app.bsky.feed.post/{{:013d}}', i, i) AS uri, "
    "'post ' || i || ' ' || md5(i::VARCHAR) || ' ' || md5((i + 1)::VARCHAR) AS text, "
    "strftime(TIMESTAMP '2024-05-31' + to_seconds({seconds}), '%Y-%m-%d-%H:%M:%S') "
    "AS preprocessing_timestamp FROM range({first}, {end}) t(i)"
)


@dataclass(frozen=True, slots=True)
class World:
    """A project in a folder."""

    folder: Path
    posts: int
    rows_per_shard: int
    in_sqlite: bool

    @property
    def source(self) -> Path:
        """Return the backlog's file."""
        return self.folder / ("posts.db" if self.in_sqlite else "posts.parquet")

    @property
    def database(self) -> Path:
        """Return the gathered labels."""
        return self.folder / "labels.duckdb"

    def config(self, source: Path) -> Path:
        """Write a configuration for a source, and return it."""
        path = self.folder / f"{source.stem}.yaml"
        path.write_text(CONFIG.format(source=source, rows=self.rows_per_shard, folder=self.folder))
        return path

    def plan(self, source: Path, how: str) -> tuple[str, ...]:
        """Return the command that plans a run."""
        return python("-c", PLAN, self.config(source), how)

    def newest(self) -> Run:
        """Return the newest run."""
        return find_runs.find(self.folder / "runs", None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    if options.folder:
        options.folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="hpc-bench-") as name:
        folder = (options.folder or Path(name)).absolute()
        rows = max(1, options.posts // options.shards)
        world = World(folder, options.posts, rows, options.sqlite)
        figures = measure(world, options.rounds)
    kind = "a SQLite table" if options.sqlite else "Parquet"
    report(
        f"{options.posts:,} posts in {kind}, half of them labeled, {rows:,} posts a shard",
        figures,
        options.results,
    )


def measure(world: World, rounds: int) -> list[Figure]:
    """Return the figures, in the order of the work."""
    write_posts(world, world.source, "hash(i) % 10000000", 0, world.posts)
    half = world.folder / "half.parquet"
    duckdb.connect().execute(
        f"COPY ({POSTS.format(seconds='hash(i) % 10000000', first=0, end=world.posts)} "
        f"WHERE hash(i + 7) % 2 = 0) TO '{half}'"
    )
    child(*world.plan(half, "backfill"))()
    first = world.newest()
    publish(first, len(first.manifest.shards))
    bare_database = world.folder / "bare.duckdb"
    took = in_turns(
        {
            "bare INSERT": child(
                *python("-c", BARE_SESSION + BARE_GATHER, bare_database, first.folder),
                prepare=removing(bare_database),
            ),
            "gather": child(
                *python("-m", "hpc.gather", first.folder), prepare=removing(world.database)
            ),
        },
        rounds,
    )
    figures = [compare("gather", "bare INSERT", took, "1.25")]
    planned = in_turns(
        {
            "bare COPY": child(
                *python("-c", BARE_SESSION + BARE_PLAN, ":memory:"),
                *(world.source, world.database, world.folder / "sorted.parquet"),
            ),
            "plan": child(
                *world.plan(world.source, "backfill"), prepare=removing_runs_after(world, first)
            ),
        },
        rounds,
    )
    figures.insert(0, compare("plan", "bare COPY", planned, "1.25"))
    second = world.newest()
    publish(second, len(second.manifest.shards))
    child(*python("-m", "hpc.gather", second.folder))()
    figures.append(second_submit(world, planned, rounds))
    return figures


def second_submit(world: World, planned: dict[str, list[Took]], rounds: int) -> Figure:
    """Compare the planning of 1 % new posts with that of the other half."""
    more = max(1, world.posts // 100)
    later = f"10000000 + i - {world.posts}"
    if world.in_sqlite:
        write_posts(world, world.source, later, world.posts, world.posts + more)
        source = world.source
    else:
        source = world.folder / "both"
        source.mkdir()
        world.source.rename(source / "old.parquet")
        write_posts(world, source / "new.parquet", later, world.posts, world.posts + more)
    last = world.newest()
    again = child(*world.plan(source, "new"), prepare=removing_runs_after(world, last))
    name = "plan 1 % new posts"
    took = {name: [again() for _ in range(rounds)], "first plan": planned["plan"]}
    assert world.newest().manifest.posts == more
    return compare(name, "first plan", took, "0.05")


def write_posts(world: World, path: Path, seconds: str, first: int, end: int) -> None:
    """Write posts to a Parquet file, or append them to the SQLite table."""
    query = POSTS.format(seconds=seconds, first=first, end=end)
    connection = duckdb.connect()
    if not world.in_sqlite:
        connection.execute(f"COPY ({query}) TO '{path}'")
        return
    import adbc_driver_sqlite.dbapi as sqlite

    reader = connection.sql(query).to_arrow_reader(50_000)
    with sqlite.connect(str(path)) as table, table.cursor() as cursor:
        cursor.adbc_ingest("posts", reader, mode="append" if first else "create")
        table.commit()


def removing(database: Path) -> Callable[[], None]:
    """Return what removes a database."""

    def remove() -> None:
        for path in database.parent.glob(f"{database.name}*"):
            path.unlink()

    return remove


def removing_runs_after(world: World, run: Run) -> Callable[[], None]:
    """Return what removes every run that is newer than one."""

    def remove() -> None:
        for folder in find_runs.all_runs(world.folder / "runs"):
            if folder.name > run.run_id:
                shutil.rmtree(folder)

    return remove


if __name__ == "__main__":
    main()
