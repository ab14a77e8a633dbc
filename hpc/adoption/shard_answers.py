"""Publish the answers of one shard after the other, or keep those of a shard that lacks some."""

from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from hpc.adoption.adoption_number import set_aside_name
from hpc.adoption.kept_answers import KeptAnswers
from hpc.adoption.match_answers import COPIES, FRESH, KEPT, POSTS, SHARD, UNANSWERED, WHY
from pipeline import files
from pipeline.model import UTC_TIMESTAMP
from pipeline.run_files import output
from pipeline.run_files.answer_row import part_schema
from pipeline.run_files.checkpoints import parts
from pipeline.run_files.manifest import output_path, shard_path, work_path
from pipeline.run_files.output import ShardLabels
from pipeline.run_files.read_parquet import read_table


class ShardAnswers:
    """The answers that `AnswerMatch` has matched with the posts of a run."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        model: str,
        kept: KeptAnswers,
        adopted_at: datetime,
        reopened: frozenset[int],
    ) -> None:
        """Keep the matched answers.

        Args:
            connection: the staging database, after `AnswerMatch.match`.
            model: what labels, for the column `model`.
            kept: the run's answers that were adopted before.
            adopted_at: the time (UTC) that labels get.
            reopened: the published shards in which answers replace the reason of missing ones.
        """
        self._connection = connection
        self._run = kept.run
        self._model = model
        self._columns = kept.columns
        self._schema = part_schema(kept.columns)
        self._kept, self._kept_shards = kept, frozenset(kept.shards) | reopened
        self._reopened = reopened
        self.adopted_at = adopted_at

    def publish(self, index: int, number: int, missing: str) -> None:
        """Publish a shard, and delete what was kept of it.

        Args:
            index: the shard.
            number: of the adoption.
            missing: the reason for posts without an answer.

        Raises:
            DamagedError: the shard's file has changed since the run was planned.
            OSError: the disk is full.
        """
        if index in self._reopened:
            self._reopen(index, number)
        manifest = self._run.manifest
        path = shard_path(self._run.folder, index)
        tables = [self._fresh(index), self._unlabeled_rows(index, missing)]
        kept = self._kept.load(index) if index in self._kept_shards else None
        if kept:
            tables.append(kept.all_answers())
        labels = ShardLabels(
            posts=read_table(path, sha256=manifest.shards[index].sha256),
            answers=pa.concat_tables(tables),
            columns=self._columns,
            model=self._model,
            attempt=number,
            copied_from=self._copies(index),
        )
        output.publish(self._run.folder, manifest, index, labels)
        if kept:
            kept.discard()

    def _reopen(self, index: int, number: int) -> None:
        """Keep the answers of an output that stay, as before it was published, and set it aside.

        The answers are in the work folder before the output has another name, so whatever ends
        this process, the same command continues.
        """
        path = output_path(self._run.folder, index)
        published = read_table(path, columns=self._schema.names)
        query = f"SELECT uri FROM {KEPT} JOIN {POSTS} USING (uri) WHERE {SHARD} = ?"
        own = self._connection.sql(query, params=[index]).to_arrow_table()["uri"]
        is_own = pc.is_in(published["uri"], value_set=own.combine_chunks())
        parts.write_part(
            work_path(self._run.folder, index),
            published.filter(is_own).cast(self._schema),
            metadata=self._run.manifest.part_metadata(index),
            attempt=number,
        )
        kept = path.with_name(set_aside_name(path.name, number))
        path.rename(files.name_to_keep(path) if kept.exists() else kept)

    def keep(self, index: int, number: int) -> None:
        """Keep the new answers to a shard that lacks others; the arguments are as above."""
        fresh = self._fresh(index)
        if fresh.num_rows:
            parts.write_part(
                work_path(self._run.folder, index),
                fresh,
                metadata=self._run.manifest.part_metadata(index),
                attempt=number,
            )

    def _fresh(self, index: int) -> pa.Table:
        return self._rows(f"SELECT * FROM {FRESH} WHERE {SHARD} = ?", index)

    def _unlabeled_rows(self, index: int, missing: str) -> pa.Table:
        rows = f"SELECT uri, coalesce({WHY}, ?) AS reason FROM {UNANSWERED} WHERE {SHARD} = ?"
        return self._rows(rows, missing, index)

    def _rows(self, query: str, *parameters: object) -> pa.Table:
        """Return answers in `part_schema`; label columns that the query lacks are null."""
        rows: pa.Table = self._connection.sql(query, params=parameters).to_arrow_table()
        made = {
            "was_successfully_labeled": pc.is_null(rows["reason"]),
            "label_timestamp": pa.repeat(pa.scalar(self.adopted_at, UTC_TIMESTAMP), len(rows)),
        }
        columns = [
            made[field.name]
            if field.name in made
            else rows[field.name].cast(field.type)
            if field.name in rows.column_names
            else pa.nulls(len(rows), field.type)
            for field in self._schema
        ]
        return pa.table(columns, schema=self._schema)

    def _copies(self, index: int) -> dict[str, str]:
        query = f"SELECT uri, origin FROM {COPIES} WHERE {SHARD} = ?"
        return dict(self._connection.execute(query, [index]).fetchall())
