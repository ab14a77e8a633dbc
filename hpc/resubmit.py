"""`python -m hpc.resubmit`: failed shards again, at the same array indices."""

import argparse
import time
from typing import Any

from hpc import cli
from hpc.database.gather_outputs import is_gathered
from hpc.executors.local import executor
from hpc.reconcile import caretaker
from hpc.reconcile.run_status import (
    arrays_for,
    describe_submission,
    look,
    resume_submissions,
    slurm_of,
    submit_shards,
)
from hpc.report.console import Printer
from hpc.report.next_step import describe_next_step
from hpc.report.run_summary import show_status
from hpc.run import plan, run_folder, submissions
from hpc.run.array_indices import parse_indices
from hpc.run.model import ResourceRequest, Run, State, Submission
from hpc.run.plan import resubmittable
from hpc.verb import Verb, chosen_run
from pipeline.errors import InputError, RunError


def arguments(parser: argparse.ArgumentParser) -> None:
    cli.run_arguments(parser)
    parser.add_argument("--indices", help="these shards only, such as 3,7-9")
    parser.add_argument("--force", action="store_true", help="also blocked shards that have ended")
    parser.add_argument(
        "--mem-gb", type=cli.above_zero, help="this much memory, whatever the remedy says"
    )
    parser.add_argument(
        "--time-min", type=cli.at_least(1), help="so many minutes, whatever the remedy says"
    )
    parser.add_argument(
        "--caretaker", action="store_true", help="add a Slurm job that supervises from here on"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be submitted")


def act(given: argparse.Namespace, say: Printer) -> tuple[int, dict[str, Any]]:
    run = chosen_run(given)
    slurm = slurm_of(run)
    wanted = _indices(given.indices)
    override = ResourceRequest(mem_gb=given.mem_gb, time_min=given.time_min or 0)
    with run_folder.lock_run(run) as lock:
        if slurm is not None and not given.dry_run:
            resume_submissions(run, slurm, say)
        now = look(run, slurm, lock_is_ours=True)
        shards, refusal = resubmittable(now.judgements, indices=wanted, force=given.force)
        if refusal:
            raise RunError(refusal)
        stopped = plan.find_rejection(now.observation)
        if stopped and not given.force:
            raise RunError(
                f"the run stands still since shard {stopped.shard} was refused: {stopped.message}\n"
                "  once that is mended, --force goes on with all that is not done"
            )
        if not shards:
            say(f"no shard of run {run.run_id} is failed: nothing to submit again")
            say(describe_next_step(now, is_gathered=is_gathered(run, now.observation)))
        elif given.dry_run:
            plans = arrays_for(run, slurm, now, shards, override)
            for one in submissions.plan_intents(run, plans, now.observation.at, {}):
                say(f"would submit {describe_submission(one)}")
        sent = (
            ()
            if given.dry_run
            else submit_shards(run, slurm, shards, now, say, forced=given.force, override=override)
        )
        if given.caretaker and slurm is not None and not given.dry_run:
            caretaker.submit_caretaker(run, slurm, say)
        code = _to_the_end(run, sent, lock, say) if slurm is None and sent else 0
    jobs = [one.array_job_id for one in sent if one.array_job_id is not None]
    return code, {"run_id": run.run_id, "shards": list(shards), "array_jobs": jobs}


def _to_the_end(run: Run, sent: tuple[Submission, ...], lock: int, say: Printer) -> int:
    """Runs local tasks, and says what became of them."""
    for one in sent:
        time.sleep(one.plan.delay_s)
        executor.run_array(run, one, lock, say)
    end = look(run, None, lock_is_ours=True)
    show_status(end, say, is_gathered=is_gathered(run, end.observation))
    shards = [shard for one in sent for shard in one.plan.shards]
    return cli.FAILED if any(end.judgements[at].state is not State.DONE for at in shards) else 0


def _indices(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return parse_indices(text)
    except ValueError as error:
        raise InputError(f"--indices: {error}") from None


VERB = Verb(name="resubmit", example="hpc resubmit --dry-run", arguments=arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
