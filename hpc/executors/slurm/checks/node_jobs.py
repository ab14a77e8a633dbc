"""Run single short Slurm jobs that look at a node as a task would find it."""

import re
import shlex

from hpc.executors.node_jobs import LOG, NO_FOLDER, NodeJob, NodeJobState
from hpc.executors.slurm.answers.reasons import advice
from hpc.executors.slurm.answers.states import meaning
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.commands import SlurmError
from hpc.executors.slurm.setup_lines import guard_setup
from hpc.run.cluster.resources import Resources, SbatchValue, megabytes
from hpc.run.model.attempts import Phase
from pipeline import files

# A node may see a new folder late: NFS keeps what it has listed for up to a minute.
_FOLDER_WAIT_S = 20
_FORGOTTEN = "Invalid job id"


class SlurmNodeJobs:
    """Submits such jobs with sbatch, and asks scontrol about them."""

    def __init__(self, slurm: Slurm) -> None:
        self._slurm = slurm

    def submit(self, job: NodeJob) -> int:
        """Submit a job and return its id.

        Raises:
            SlurmError: sbatch refused the job.
        """
        script = job.folder / "job.sh"
        files.write_text(script, render_job(job))
        return self._slurm.submit(script, job.name)

    def look(self, job: int) -> NodeJobState:
        """Return how far the job has come.

        Raises:
            SlurmError: Slurm does not answer.
        """
        try:
            shown = self._slurm.show("job", str(job), "--oneliner")
        except SlurmError as error:
            if _FORGOTTEN in error.words:  # minutes after its end
                return NodeJobState(phase=Phase.ENDED, words="ended")
            raise
        state, reason = _word("JobState", shown), _word("Reason", shown)
        phase, _ = meaning(state, reason)
        code, _, signal = _word("ExitCode", shown).partition(":")
        is_over = phase is Phase.ENDED
        node = _word("NodeList", shown)
        return NodeJobState(
            phase=phase,
            words=state,
            node="" if node in ("(null)", "None assigned") else node,
            reason="" if is_over or reason == "None" else reason,
            advice="" if is_over else advice(reason),
            exit_code=int(code) if is_over and code.isdecimal() and signal == "0" else None,
        )

    def cancel(self, job: int) -> None:
        """End the job, whatever its state."""
        self._slurm.cancel([job])


def render_job(job: NodeJob) -> str:
    """Return the batch script of a job.

    Its output does not go through Slurm, which fails a job without a word if the node does not see
    the folder. The script looks for the folder, and its exit code says so.
    """
    folder = shlex.quote(str(job.folder))
    command = shlex.join(
        [
            *("srun", "--nodes=1", "--ntasks=1", f"--cpus-per-task={job.resources.cpus}"),
            *(job.resources.python, "-u", "-m", job.module, str(job.folder)),
        ]
    )
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {option}" for option in _options(job)),
        f"for second in $(seq {_FOLDER_WAIT_S}); do [ -d {folder} ] && break; sleep 1; done",
        f"exec >{folder}/{LOG} 2>&1 || exit {NO_FOLDER}",
        *guard_setup(job.resources.setup),
        command,
        "",
    ]
    return "\n".join(lines)


def _options(job: NodeJob) -> list[str]:
    resources: Resources = job.resources
    options: dict[str, SbatchValue] = {
        "job-name": job.name,
        "output": "/dev/null",
        "partition": resources.partition,
        "account": resources.account,
        "qos": resources.qos,
        "time": job.minutes,
        "mem": megabytes(resources.mem_gb),
        "mem-per-cpu": megabytes(resources.mem_per_cpu),
        "cpus-per-task": resources.cpus,
        "gres": resources.gres,
        "constraint": resources.constraint,
        "exclude": resources.exclude,
        "nodes": 1,
        "ntasks": 1,
        **resources.extra,
    }
    return [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in options.items()
        if value is not None and value is not False
    ]


def _word(key: str, shown: str) -> str:
    found = re.search(rf"(?:^|\s){key}=(\S*)", shown)
    return found[1] if found else ""
