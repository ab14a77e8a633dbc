"""Collect what is wrong with the rows of another engine, and say it once for each kind.

An engine that makes a mistake makes it in every file. A thousand lines about it would hide the
other problems.
"""

from collections.abc import Iterator, Sequence

import duckdb

from hpc.adoption.answer_files import AnswerFile
from hpc.adoption.stage_answers import ANSWERS, FILE, ROW, WRONG
from pipeline.errors import InputError
from pipeline.sql import fetch_number
from pipeline.terminal import one_line
from pipeline.text import counted

_TABLE = "problems"
_MOST_KINDS = 20
_MOST_OF_A_KIND = 3


class RowProblems:
    """The problems of staged rows, in a table of the staging database.

    A problem has a kind, which many rows may share, a text of its own, and the value that is wrong,
    if that is not in the row's own place.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Begin with what is wrong with a row by itself; the table ANSWERS has it."""
        self._connection = connection
        connection.execute(
            f"CREATE TABLE {_TABLE} AS SELECT {FILE} AS file, {ROW} AS row, {WRONG}.kind AS kind, "
            f"{WRONG}.kind || coalesce(', not ' || {WRONG}.value, '') AS text, "
            f"{WRONG}.value AS value FROM {ANSWERS} WHERE {WRONG} IS NOT NULL"
        )

    def add(self, query: str) -> None:
        """Add problems: `query` returns FILE, ROW, kind, text and value (or null)."""
        self._connection.execute(f"INSERT INTO {_TABLE} {query}")

    def reject(self, answer_files: Sequence[AnswerFile], *, advice: Sequence[str]) -> None:
        """Raise InputError if there is any problem.

        Args:
            answer_files: the files, for the message.
            advice: lines that follow the problems.
        """
        count = fetch_number(self._connection, f"SELECT count(*) FROM {_TABLE}")
        if not count:
            return
        kinds = self._connection.execute(
            f"SELECT kind, count(*), count(DISTINCT file) FROM {_TABLE} GROUP BY kind "
            "ORDER BY min((file, row)), kind"
        ).fetchall()
        lines: list[str] = []
        for kind, rows, in_files in kinds[:_MOST_KINDS]:
            lines += self._describe(kind, rows, in_files, answer_files)
        if more := sum(rows for _, rows, _ in kinds[_MOST_KINDS:]):
            lines.append(f"and {counted(more, 'more problem')}")
        raise InputError(
            f"{counted(count, 'problem')} in the answers, so nothing was adopted:\n  "
            + "\n  ".join([*lines, *advice])
        )

    def _describe(
        self, kind: str, rows: int, in_files: int, answer_files: Sequence[AnswerFile]
    ) -> Iterator[str]:
        """Yield a line for each of a few rows; of many, how many there are, and where some are."""
        # The first rows of several files say more than those of one.
        first = self._connection.execute(
            f"SELECT file, row, text, value FROM {_TABLE} WHERE kind = ? ORDER BY "
            f"row_number() OVER (PARTITION BY file ORDER BY row), file LIMIT {_MOST_OF_A_KIND}",
            [kind],
        ).fetchall()
        places = [(f"{answer_files[file].name}, row {row}", *rest) for file, row, *rest in first]
        if rows <= _MOST_OF_A_KIND:
            yield from (f"{place}: {one_line(text)}" for place, text, _ in places)
            return
        of_files = f"{counted(rows, 'row')} in {counted(in_files, 'file')}"
        yield f"{of_files}: {one_line(kind)}, such as"
        with_values = [f"{place}: {one_line(value)}" for place, _, value in places if value]
        yield from (f"  {line}" for line in with_values)
        if not with_values:
            yield f"  {'; '.join(place for place, *_ in places)}"
