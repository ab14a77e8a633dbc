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
from hpc.adoption.stage_answers import ANSWERS
from hpc.run.model.run import Run
from pipeline.backlog.unsent import too_short_sql
from pipeline.classifiers.external import ExternalLabel
from pipeline.errors import RunError
from pipeline.messages.options import MISSING
from pipeline.model import TOO_SHORT
from pipeline.run_files.manifest import output_path, shard_path
from pipeline.sql import fetch_number, file_list, literal, quoted, raise_lack_of_space
from pipeline.terminal import one_line

POSTS, FRESH, KEPT = "posts", "fresh", "kept"
"""Tables: the run's posts, the answers to adopt, and those that were adopted before into shards
that are not complete."""
COPIES, UNANSWERED = "copies", "unanswered"
"""Tables: the posts that get the answer to another one, and the posts that have none, with `why` if
they need none."""
_SHARD = "CAST(regexp_extract(filename, '(\\d+)\\.parquet$', 1) AS INTEGER)"


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
            f"CREATE TABLE {POSTS} AS SELECT uri, {_SHARD} AS shard, coalesce(reason, CASE WHEN "
            f"{too_short} THEN {literal(TOO_SHORT)} END) AS why "
            f"FROM read_parquet({file_list(paths)}, filename = true)"
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
            f"CREATE TABLE usable AS SELECT a.*, p.shard FROM {ANSWERS} AS a JOIN {POSTS} AS p "
            f"USING (uri) WHERE a.problem IS NULL AND p.why IS NULL AND NOT ({self._is_empty('a')})"
        )

    def _reopen(self) -> None:
        """Keep the answers of shards in which the reason of a missing answer is to be replaced."""
        if not self._published or self._missing not in self._given:
            return
        counts = self._connection.execute(
            f"SELECT u.shard, count(DISTINCT uri) FROM usable AS u JOIN {self._outputs()} AS o "
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
            f"FROM read_parquet({file_list(paths)}) SEMI JOIN (SELECT uri FROM {POSTS} WHERE why "
            f"IS NULL) USING (uri) WHERE reason IS DISTINCT FROM ?{is_own}",
            [self._missing],
        )
        self._published = [index for index in self._published if index not in self._reopened]

    def _is_empty(self, table: str) -> str:
        return " AND ".join(f"{table}.{name} IS NULL" for name in (*self._names, "reason"))

    def _find_problems(self) -> RowProblems:
        problems = RowProblems(self._connection)
        problems.add(
            "SELECT file, row, 'the uri is that of no post of this run', "
            f"uri || ' is no post of this run', uri FROM {ANSWERS} "
            f"ANTI JOIN {POSTS} USING (uri) WHERE problem IS NULL"
        )
        has_label = " OR ".join(f"{name} IS NOT NULL" for name in self._names)
        both = literal("it has a reason and labels")
        problems.add(
            f"SELECT file, row, {both}, {both}, NULL FROM {ANSWERS} "
            f"WHERE problem IS NULL AND reason IS NOT NULL AND ({has_label})"
        )
        for label in self._labels:
            if not label.may_be_null:
                lack = literal(f"{label.name} is missing")
                problems.add(
                    f"SELECT file, row, {lack}, {lack}, NULL FROM {ANSWERS} WHERE "
                    f"problem IS NULL AND reason IS NULL AND {quoted(label.name)} IS NULL AND "
                    f"({has_label})"
                )
        self._find_contradictions(problems)
        return problems

    def _find_contradictions(self, problems: RowProblems) -> None:
        first = (
            f"SELECT uri, file AS first_file, row AS first_row, {self._columns} FROM usable "
            "QUALIFY row_number() OVER (PARTITION BY uri ORDER BY file, row) = 1"
        )
        self._connection.execute(f"CREATE TABLE firsts AS {first}")
        problems.add(
            "SELECT u.file, u.row, 'another row has another answer to the same post', "
            "format('{} has another answer in {}', u.uri, f.name || ', row ' || first_row), "
            "f.name || ', row ' || first_row FROM usable AS u JOIN firsts USING (uri) "
            f"JOIN files AS f ON f.number = first_file WHERE {self._differs('u', 'firsts')}"
        )
        problems.add(
            "SELECT u.file, u.row, 'the post was adopted before with another answer', "
            "u.uri || ' was adopted before with another answer', u.uri "
            f"FROM usable AS u JOIN {KEPT} AS k USING (uri) WHERE {self._differs('u', 'k')}"
        )
        if self._published:
            how = (
                "CASE WHEN o.reason IS NULL THEN ' was published with another answer' "
                "ELSE ' was published with the reason ' || o.reason END"
            )
            problems.add(
                f"SELECT u.file, u.row, 'the post' || {how}, u.uri || {how} || ', in ' || "
                "regexp_extract(o.filename, 'outputs/.*$'), u.uri FROM usable AS u "
                f"JOIN {self._outputs()} AS o USING (uri) WHERE {self._differs('u', 'o')}"
            )

    def _outputs(self) -> str:
        paths = [output_path(self._run.folder, index) for index in self._published]
        return f"read_parquet({file_list(paths)}, filename = true)"

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
        is_published = f"shard IN ({', '.join(map(str, self._published)) or 'NULL'})"
        self._connection.execute(
            f"CREATE TABLE {FRESH} AS SELECT uri, shard, {self._columns} FROM usable "
            f"JOIN (SELECT uri, first_file AS file, first_row AS row FROM firsts) "
            f"USING (uri, file, row) ANTI JOIN {KEPT} USING (uri) "
            f"WHERE NOT coalesce({is_published}, false) ORDER BY shard"
        )
        missing = self._count_missing(is_published)
        fresh, answered = self._count(FRESH), self._count("firsts")
        of_posts = f"{ANSWERS} AS a JOIN {POSTS} USING (uri) WHERE"
        return Matched(
            fresh=fresh,
            adopted_before=answered - fresh,
            repeated=self._count("usable") - answered,
            empty=self._count(f"{of_posts} {self._is_empty('a')}"),
            not_asked=self._count(f"{of_posts} why IS NOT NULL AND NOT ({self._is_empty('a')})"),
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
            f"CREATE TABLE missing AS SELECT uri, shard FROM {POSTS} ANTI JOIN ({own}) USING (uri) "
            f"WHERE why IS NULL AND NOT coalesce({is_published}, false)"
        )
        self._connection.execute(
            f"CREATE TABLE {COPIES} (uri VARCHAR, shard INTEGER, origin VARCHAR)"
        )
        if self._run.manifest.ask_each_text_once:
            self._find_copies(own)
            self._connection.execute(f"DELETE FROM missing WHERE uri IN (SELECT uri FROM {COPIES})")
        counts = dict(
            self._connection.execute("SELECT shard, count(*) FROM missing GROUP BY 1").fetchall()
        )
        self._connection.execute(
            f"CREATE TABLE {UNANSWERED} AS SELECT shard, uri, NULL AS why FROM missing UNION ALL "
            f"SELECT shard, uri, why FROM {POSTS} WHERE why IS NOT NULL"
        )
        shards = (shard.index for shard in self._run.manifest.shards)
        return {
            index: counts.get(index, 0) for index in shards if index not in set(self._published)
        }

    def _find_copies(self, own: str) -> None:
        """Give each post without an answer that of the first post of its shard with its text."""
        rows = self._connection.execute("SELECT DISTINCT shard FROM missing").fetchall()
        paths = [shard_path(self._run.folder, shard) for (shard,) in rows]
        if not paths:
            return
        texts = (
            f"SELECT uri, text, file_row_number AS place, {_SHARD} AS shard FROM read_parquet("
            f"{file_list(paths)}, filename = true, file_row_number = true)"
        )
        self._connection.execute(
            f"INSERT INTO {COPIES} WITH texts AS MATERIALIZED ({texts}) "
            "SELECT m.uri, m.shard, min_by(other.uri, other.place) FROM missing AS m "
            "JOIN texts AS mine USING (uri) JOIN texts AS other "
            "ON other.shard = mine.shard AND other.text = mine.text "
            f"SEMI JOIN ({own}) AS answered ON answered.uri = other.uri GROUP BY ALL"
        )
