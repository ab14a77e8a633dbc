"""Plan a run, and publish its outputs as tasks do, without running any."""

from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from hpc.run.model.run import Run
from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.run_files import manifest, output
from pipeline.run_files.answer_row import part_schema
from pipeline.run_files.output import ShardLabels

PLAN = """
import sys
from pathlib import Path
from hpc.planning.new_run.create_run import create_run
from hpc.planning.run_spec import Selection, validate
from hpc.config import run_config
from pipeline.arrow.skip_pandas import skip_pandas
skip_pandas()  # as the verbs do
selection = Selection(backfill=sys.argv[2] == "backfill")
create_run(validate(run_config.load(Path(sys.argv[1]))), selection, (Path.cwd(),), "")
"""
"""Python that creates a run of a configuration, from `new` posts or a `backfill`."""


def publish(run: Run, count: int) -> None:
    """Publish the outputs of the first shards, with the same label for every post."""
    classifier = create(run.manifest.classifier, TaskShare())
    labeled_at = pa.scalar(datetime(2024, 6, 1), pa.timestamp("us"))
    for index in range(count):
        posts = pq.read_table(manifest.shard_path(run.folder, index), partitioning=None)
        rows = posts.num_rows
        answers = [posts["uri"], pa.repeat(True, rows), pa.nulls(rows, pa.string())]
        answers += [pa.repeat(labeled_at, rows), pa.repeat(0.5, rows)]
        answers.append(pa.repeat("positive", rows))
        labels = ShardLabels(
            posts=posts,
            answers=pa.table(answers, schema=part_schema(classifier.columns)),
            columns=classifier.columns,
            model=classifier.model,
            attempt=1,
        )
        output.publish(run.folder, run.manifest, index, labels)
