"""Whatever a verb prints, one of a thing is one thing."""

import re

from tests.hpc.cli_bench import Bench, said
from tests.pipeline import run_builders

SEVERAL_OF_ONE = re.compile(
    r"(?<![\d,.:])1 (more )?(posts|shards|tasks|rows|copies|arrays|labels)\b"
)


def test_of_one_post_every_verb_speaks_in_the_singular(bench: Bench) -> None:
    bench.config(sharding={"shards": 1}, cluster={"max_parallel": 1})
    bench.backlog([*run_builders.posts(1), *run_builders.posts(1)])
    plan = bench.submit("--dry-run")
    assert plan.stdout.splitlines()[1:] == [
        f"{bench.folder}/posts.jsonl: 2 rows: 1 copy of a uri, 0 labelled or in an unfinished run, "
        "0 left out by --limit, 1 to label",
        "1 shard of 1 post at most, 1 array, 1 task at once",
    ]
    told = [plan, bench.submit()]
    told += [bench.hpc(verb) for verb in ("status", "cancel", "gather", "supervise", "resubmit")]
    told.append(bench.hpc("audit", "--config", bench.path))
    (run,) = bench.runs()
    for done in told:
        assert said(done) == (0, "")
        assert not SEVERAL_OF_ONE.search(done.stdout), done.stdout
    assert not SEVERAL_OF_ONE.search((run / "logs/0001/00000.log").read_text())
    assert "gathered 1 shard: 0 rows before, 1 added, 1 after\n" in told[1].stdout
    assert "1 of 1 shard done, 1 post\n" in told[1].stdout
