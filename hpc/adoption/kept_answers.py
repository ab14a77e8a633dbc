"""Read the answers that were adopted into a shard before it was complete."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from hpc.run.model.run import Run
from pipeline.model import Column
from pipeline.run_files.checkpoints.checkpoint import Checkpoint
from pipeline.run_files.manifest import work_path


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptAnswers:
    """The answers in the work folders of a run, of one shard at a time: all may not fit memory."""

    run: Run
    columns: tuple[Column, ...]
    """The run's label columns."""
    shards: tuple[int, ...]
    """The shards that have a work folder and no output."""

    def tables(self) -> Iterator[pa.Table]:
        """Yield the answers to one shard after the other, in `part_schema`.

        Raises:
            UnreadableError: a file cannot be read now.
        """
        return (self.load(index).all_answers() for index in self.shards)

    def load(self, index: int) -> Checkpoint:
        """Return the answers to a shard; `discard` deletes their files.

        Raises:
            UnreadableError: a file cannot be read now.
        """
        kept = Checkpoint(
            work_path(self.run.folder, index),
            metadata=self.run.manifest.part_metadata(index),
            columns=self.columns,
            attempt=0,
        )
        kept.load()
        return kept


def find_kept(run: Run, columns: tuple[Column, ...], published: frozenset[int]) -> KeptAnswers:
    """Return the answers that are kept of shards that are not published."""
    return KeptAnswers(
        run=run,
        columns=columns,
        shards=tuple(
            shard.index
            for shard in run.manifest.shards
            if shard.index not in published and work_path(run.folder, shard.index).is_dir()
        ),
    )
