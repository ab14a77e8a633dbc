"""Read the sample that the posts of a page are from, with the weight of each post."""

from collections.abc import Sequence

import pyarrow as pa

from hpc.html_report.facts import SampleFacts
from hpc.run.model.run import Run
from pipeline.errors import DamagedError, InputError, UnreadableError
from pipeline.late_imports import arrow_compute as pc
from pipeline.run_files import sample_file


def read_sample(runs: Sequence[Run]) -> tuple[SampleFacts | None, pa.Table | None]:
    """Return the sample of these runs, and its rows with columns `uri` and `weight`.

    Both are None where no run is of a sample. There are no weights where only some runs are, or
    where the file of the sample is gone: then every post counts as one.
    """
    names = {run.manifest.sample for run in runs}
    samples = sorted(name for name in names if name)
    if not samples:
        return None, None
    shown = ", ".join(samples)
    if len(names) > 1:
        problem = "the posts come from several samples, or only in part from one"
        return SampleFacts(description=None, name=shown, is_weighted=False, problem=problem), None
    path = sample_file.path_of(runs[-1].folder.parent, samples[0])
    try:
        found = sample_file.read(path)
    except (FileNotFoundError, DamagedError, UnreadableError, InputError):
        problem = f"the file samples/{path.name} below the run root is gone or damaged"
        return SampleFacts(description=None, name=shown, is_weighted=False, problem=problem), None
    rows = found.rows
    weight = pc.divide(pc.cast(rows["posts"], pa.float64()), rows["inclusion_probability"])
    weights = pa.table({"uri": rows["uri"], "weight": weight})
    return SampleFacts(description=found.sample, name=shown, is_weighted=True), weights
