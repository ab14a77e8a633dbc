"""Match another engine's rows with the posts of a run, and find everything that is wrong.

DuckDB does the work, in the staging database where `stage_answers` put the rows. Nothing is
written to the run.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from hpc.adoption import adoption_record
from hpc.adoption.answer_files import AnswerFile
from hpc.adoption.row_problems import RowProblems
from hpc.adoption.stage_answers import ANSWERS, FILE, ROW, WRONG
from hpc.run.model.run import Run
from pipeline.backlog.unsent import too_short_sql
from pipeline.classifiers.external import ExternalLabel
from pipeline.errors import RunError
from pipeline.messages.options import MISSING
from pipeline.model import TOO_SHORT
from pipeline.run_files.manifest import output_path, shard_path
from pipeline.sql import (
    fetch_number,
    files_table,
    literal,
    parquet_rows,
    quoted,
    raise_lack_of_space,
)
from pipeline.terminal import one_line

POSTS, FRESH, KEPT = "posts", "fresh", "kept"
"""Tables: the run's posts, the answers to adopt, and those that were adopted before into shards
that are not complete."""
COPIES, UNANSWERED = "copies", "unanswered"
"""Tables: the posts that get the answer to another one, and the posts that have none, with WHY if
they need none."""
SHARD, WHY = '"its shard"', '"why it is unlabeled"'
"""Columns beside the labels, as SQL. Each name has a blank, so no label is called so."""
_FIRST_FILE, _FIRST_ROW = '"first file"', '"first row"'
_PATH = "path of its file"
_SHARD_OF_PATH = (
    f"CAST(regexp_extract({quoted(_PATH)}, '(\\d+)\\.parquet$', 1) AS INTEGER) AS {SHARD}"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Matched:
    """What the rows are to the run."""

    fresh: int
    """Answers that were not adopted before."""
    adopted_before: int
    """Answers that are in the run already."""
    repeated: int
    """Further rows with the same answer."""
    empty: int
    """Rows without any label or reason."""
    not_asked: int
    """Answers to posts that are not labeled, because they have no text or one that is too short."""
    missing: dict[int, int]
    """How many posts of a shard lack an answer, by the index of each shard that is not published,
    or is to be published again."""
    reopened: frozenset[int]
    """The published shards in which answers replace the reason of a missing answer."""
    late: int
    """How many answers do that."""


class AnswerMatch:
    """Compares staged rows with a run."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        run: Run,
        labels: Sequence[ExternalLabel],
        published: Collection[int],
        missing: str = "",
    ) -> None:
        """Prepare to compare.

        Args:
            connection: the staging database, with the table ANSWERS.
            run: the run.
            labels: the labels that it declares.
            published: the shards that have their outputs.
            missing: the reason of posts without an answer. Where it is published, nobody gave it,
                so an answer that comes later replaces it.
        """
        self._missing = missing
        # An engine may give the same reason itself, which is an answer.
        self._given = {each.missing for each in adoption_record.read_all(run.folder)} - {""}
        self._reopened: frozenset[int] = frozenset()
        self._late = 0
        self._connection = connection
        self._run = run
        self._labels = labels
        self._names = [quoted(label.name) for label in labels]
        self._columns = ", ".join([*self._names, "reason"])
        self._published = sorted(published)

    def match(self, answer_files: Sequence[AnswerFile], kept: Iterable[pa.Table]) -> Matched:
        """Check all rows; create the tables FRESH, KEPT and COPIES.

        Args:
            answer_files: the files, for messages.
            kept: the answers that were adopted before, a table for each shard.

        Raises:
            InputError: rows are wrong; the message names the file and row of each.
            RunError: a file of the run cannot be read.
            OSError: the disk is full.
        """
        try:
            self._stage_names(answer_files)
            self._stage_posts()
            self._stage_kept(kept)
            self._stage_usable()
            self._reopen()
            problems = self._find_problems()
            problems.reject(answer_files, advice=self._how_to_replace())
            return self._select()
        except duckdb.Error as error:
            raise_lack_of_space(error, "adopting")
            raise RunError(
                f"the files of run {self._run.run_id} cannot be read, so nothing was adopted: "
                f"{one_line(str(error), 300)}"
            ) from error

    def _stage_names(self, answer_files: Sequence[AnswerFile]) -> None:
        names = [(number, file.name) for number, file in enumerate(answer_files)]
        self._connection.execute("CREATE TABLE files (number INTEGER, name VARCHAR)")
        self._connection.executemany("INSERT INTO files VALUES (?, ?)", names)

    def _stage_posts(self) -> None:
        manifest = self._run.manifest
        paths = [shard_path(self._run.folder, shard.index) for shard in manifest.shards]
        too_short = too_short_sql(manifest.min_text_length)
        self._connection.execute(
            f"CREATE TABLE {POSTS} AS SELECT uri, {_SHARD_OF_PATH}, coalesce(reason, "
            f"CASE WHEN {too_short} THEN {literal(TOO_SHORT)} END) AS {WHY} "
            f"FROM {parquet_rows(paths, path_column=_PATH)}"
        )

    def _stage_kept(self, kept: Iterable[pa.Table]) -> None:
        self._connection.execute(
            f"CREATE TABLE {KEPT} AS SELECT uri, {self._columns} FROM {ANSWERS} LIMIT 0"
        )
        for table in kept:
            answers = table.select(["uri", *(label.name for label in self._labels), "reason"])
            self._connection.register("kept_answers", answers)
            self._connection.execute(f"INSERT INTO {KEPT} SELECT * FROM kept_answers")
            self._connection.unregister("kept_answers")

    def _stage_usable(self) -> None:
        """Create the table of the rows that answer a post which is to be labeled."""
        self._connection.execute(
            f"CREATE TABLE usable AS SELECT a.*, p.{SHARD} FROM {ANSWERS} AS a JOIN {POSTS} AS p "
            f"USING (uri) WHERE a.{WRONG} IS NULL AND p.{WHY} IS NULL "
            f"AND NOT ({self._is_empty('a')})"
        )

    def _reopen(self) -> None:
        """Keep the answers of shards in which the reason of a missing answer is to be replaced."""
        if not self._published or self._missing not in self._given:
            return
        counts = self._connection.execute(
            f"SELECT u.{SHARD}, count(DISTINCT uri) FROM usable AS u JOIN {self._outputs()} AS o "
            f"USING (uri) WHERE o.reason = ? AND ({self._differs('u', 'o')}) GROUP BY 1",
            [self._missing],
        ).fetchall()
        if not counts:
            return
        self._reopened = frozenset(shard for shard, _ in counts)
        self._late = sum(count for _, count in counts)
        paths = [output_path(self._run.folder, index) for index in sorted(self._reopened)]
        # A copied answer is copied again, from whatever has the text then.
        is_own = " AND copied_from IS NULL" if self._run.manifest.ask_each_text_once else ""
        self._connection.execute(
            f"INSERT INTO {KEPT} SELECT uri, {self._columns} "
            f"FROM {parquet_rows(paths)} SEMI JOIN (SELECT uri FROM {POSTS} WHERE {WHY} "
            f"IS NULL) USING (uri) WHERE reason IS DISTINCT FROM ?{is_own}",
            [self._missing],
        )
        self._published = [index for index in self._published if index not in self._reopened]

    def _is_empty(self, table: str) -> str:
        return " AND ".join(f"{table}.{name} IS NULL" for name in (*self._names, "reason"))

    def _find_problems(self) -> RowProblems:
        problems = RowProblems(self._connection)
        problems.add(
            f"SELECT {FILE}, {ROW}, 'the uri is that of no post of this run', "
            f"uri || ' is no post of this run', uri FROM {ANSWERS} "
            f"ANTI JOIN {POSTS} USING (uri) WHERE {WRONG} IS NULL"
        )
        has_label = " OR ".join(f"{name} IS NOT NULL" for name in self._names)
        both = literal("it has a reason and labels")
        problems.add(
            f"SELECT {FILE}, {ROW}, {both}, {both}, NULL FROM {ANSWERS} "
            f"WHERE {WRONG} IS NULL AND reason IS NOT NULL AND ({has_label})"
        )
        for label in self._labels:
            if not label.may_be_null:
                lack = literal(f"{label.name} is missing")
                problems.add(
                    f"SELECT {FILE}, {ROW}, {lack}, {lack}, NULL FROM {ANSWERS} WHERE "
                    f"{WRONG} IS NULL AND reason IS NULL AND {quoted(label.name)} IS NULL AND "
                    f"({has_label})"
                )
        self._find_contradictions(problems)
        return problems

    def _find_contradictions(self, problems: RowProblems) -> None:
        first = (
            f"SELECT uri, {FILE} AS {_FIRST_FILE}, {ROW} AS {_FIRST_ROW}, {self._columns} "
            f"FROM usable QUALIFY row_number() OVER (PARTITION BY uri ORDER BY {FILE}, {ROW}) = 1"
        )
        self._connection.execute(f"CREATE TABLE firsts AS {first}")
        place = f"f.name || ', row ' || {_FIRST_ROW}"
        problems.add(
            f"SELECT u.{FILE}, u.{ROW}, 'another row has another answer to the same post', "
            f"u.uri || ' has another answer in ' || {place}, {place} FROM usable AS u "
            f"JOIN firsts USING (uri) JOIN files AS f ON f.number = {_FIRST_FILE} "
            f"WHERE {self._differs('u', 'firsts')}"
        )
        problems.add(
            f"SELECT u.{FILE}, u.{ROW}, 'the post was adopted before with another answer', "
            "u.uri || ' was adopted before with another answer', u.uri "
            f"FROM usable AS u JOIN {KEPT} AS k USING (uri) WHERE {self._differs('u', 'k')}"
        )
        if self._published:
            how = (
                "CASE WHEN o.reason IS NULL THEN ' was published with another answer' "
                "ELSE ' was published with the reason ' || o.reason END"
            )
            problems.add(
                f"SELECT u.{FILE}, u.{ROW}, 'the post' || {how}, u.uri || {how} || ', in ' || "
                f"regexp_extract(o.{quoted(_PATH)}, 'outputs/.*$'), u.uri FROM usable AS u "
                f"JOIN {self._outputs()} AS o USING (uri) WHERE {self._differs('u', 'o')}"
            )

    def _outputs(self) -> str:
        paths = [output_path(self._run.folder, index) for index in self._published]
        return parquet_rows(paths, path_column=_PATH)

    def _differs(self, one: str, other: str) -> str:
        return " OR ".join(
            f"{one}.{name} IS DISTINCT FROM {other}.{name}" for name in (*self._names, "reason")
        )

    def _how_to_replace(self) -> list[str]:
        """Return how answers replace the reason of earlier missing ones, if any of them could."""
        if not self._published:
            return []
        reasons = self._connection.execute(
            f"SELECT DISTINCT o.reason FROM usable AS u JOIN {self._outputs()} AS o USING (uri) "
            f"WHERE o.reason IS NOT NULL AND ({self._differs('u', 'o')}) ORDER BY 1"
        ).fetchall()
        return [
            f"{reason} is the reason of posts whose answers were missing. To replace it with "
            f"answers that came later, add {MISSING.set_to(reason)}"
            for (reason,) in reasons
            if reason in self._given and reason != self._missing
        ]

    def _select(self) -> Matched:
        is_published = f"{SHARD} IN ({', '.join(map(str, self._published)) or 'NULL'})"
        self._connection.execute(
            f"CREATE TABLE {FRESH} AS SELECT uri, {SHARD}, {self._columns} FROM usable "
            f"JOIN (SELECT uri, {_FIRST_FILE} AS {FILE}, {_FIRST_ROW} AS {ROW} FROM firsts) "
            f"USING (uri, {FILE}, {ROW}) ANTI JOIN {KEPT} USING (uri) "
            f"WHERE NOT coalesce({is_published}, false) ORDER BY {SHARD}"
        )
        missing = self._count_missing(is_published)
        fresh, answered = self._count(FRESH), self._count("firsts")
        of_posts = f"{ANSWERS} AS a JOIN {POSTS} USING (uri) WHERE"
        return Matched(
            fresh=fresh,
            adopted_before=answered - fresh,
            repeated=self._count("usable") - answered,
            empty=self._count(f"{of_posts} {self._is_empty('a')}"),
            not_asked=self._count(f"{of_posts} {WHY} IS NOT NULL AND NOT ({self._is_empty('a')})"),
            missing=missing,
            reopened=self._reopened,
            late=self._late,
        )

    def _count(self, table: str) -> int:
        return fetch_number(self._connection, f"SELECT count(*) FROM {table}")

    def _count_missing(self, is_published: str) -> dict[int, int]:
        """Create the table COPIES; return how many posts of each shard lack an answer."""
        own = f"SELECT uri FROM {FRESH} UNION ALL SELECT uri FROM {KEPT}"
        self._connection.execute(
            f"CREATE TABLE missing AS SELECT uri, {SHARD} FROM {POSTS} ANTI JOIN ({own}) "
            f"USING (uri) WHERE {WHY} IS NULL AND NOT coalesce({is_published}, false)"
        )
        self._connection.execute(
            f"CREATE TABLE {COPIES} (uri VARCHAR, {SHARD} INTEGER, origin VARCHAR)"
        )
        if self._run.manifest.ask_each_text_once:
            self._find_copies(own)
            self._connection.execute(f"DELETE FROM missing WHERE uri IN (SELECT uri FROM {COPIES})")
        counts = dict(
            self._connection.execute(f"SELECT {SHARD}, count(*) FROM missing GROUP BY 1").fetchall()
        )
        self._connection.execute(
            f"CREATE TABLE {UNANSWERED} AS SELECT {SHARD}, uri, NULL AS {WHY} FROM missing "
            f"UNION ALL SELECT {SHARD}, uri, {WHY} FROM {POSTS} WHERE {WHY} IS NOT NULL"
        )
        shards = (shard.index for shard in self._run.manifest.shards)
        return {
            index: counts.get(index, 0) for index in shards if index not in set(self._published)
        }

    def _find_copies(self, own: str) -> None:
        """Give each post without an answer that of the first post of its shard with its text."""
        rows = self._connection.execute(f"SELECT DISTINCT {SHARD} FROM missing").fetchall()
        paths = [shard_path(self._run.folder, shard) for (shard,) in rows]
        if not paths:
            return
        posts = files_table("read_parquet", paths, "file_row_number = true", path_column=_PATH)
        texts = f"SELECT uri, text, file_row_number AS place, {_SHARD_OF_PATH} FROM {posts}"
        self._connection.execute(
            f"INSERT INTO {COPIES} WITH texts AS MATERIALIZED ({texts}) "
            f"SELECT m.uri, m.{SHARD}, min_by(other.uri, other.place) FROM missing AS m "
            "JOIN texts AS mine USING (uri) JOIN texts AS other "
            f"ON other.{SHARD} = mine.{SHARD} AND other.text = mine.text "
            f"SEMI JOIN ({own}) AS answered ON answered.uri = other.uri GROUP BY ALL"
        )
