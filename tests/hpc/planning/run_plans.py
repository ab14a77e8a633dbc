"""Create runs in this process, without submitting them."""

from typing import Any

from hpc.config import run_config
from hpc.database.gather_outputs import gather
from hpc.executors.local.executor import LocalExecutor
from hpc.planning.new_run import create_run
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.run_spec import RunSpec, Selection, validate
from hpc.reconcile.look import look
from hpc.run.model.run import Run
from tests.hpc.cli_bench import Bench
from tests.pipeline import run_builders

VALENCE = {"type": "valence"}


def spec_of(bench: Bench, **sections: Any) -> RunSpec:
    """The validated configuration of this working folder."""
    bench.config(**{"classifier": VALENCE, **sections})
    return validate(run_config.load(bench.path))


def plan_run(
    bench: Bench, limit: int | None = None, *, backfill: bool = False, **sections: Any
) -> tuple[Run | None, RunDraft]:
    """Create a run of the valence classifier, unless there is nothing to label."""
    selection = Selection(backfill=backfill, limit=limit)
    spec = spec_of(bench, **sections)
    return create_run.create_run(spec, selection, (bench.folder,), "name: test\n")


def created(bench: Bench, limit: int | None = None, **sections: Any) -> Run:
    """Create a run; there must be something to label."""
    run, draft = plan_run(bench, limit, **sections)
    assert run is not None, draft
    return run


def uris_of(run: Run) -> list[list[str]]:
    """The uris in each shard of a run."""
    return [
        run_builders.read_shard(run.folder, shard.index)["uri"].to_pylist()
        for shard in run.manifest.shards
    ]


def gather_run(run: Run) -> None:
    now = look(run, LocalExecutor())
    gather(run, now.observation, now.judgements)
