"""Read the answers that earlier attempts of a shard kept."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pyarrow as pa

from pipeline import files, usage
from pipeline.errors import DamagedError
from pipeline.model import RAW, Column
from pipeline.run_files.answer_row import part_schema
from pipeline.run_files.checkpoints import answer_journal
from pipeline.run_files.checkpoints.answer_journal import JournalReader
from pipeline.run_files.read_parquet import read_table
from pipeline.text import counted

_NAMED_LINES = 5


class KeptAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of earlier attempts."""

    tables: Mapping[Path, pa.Table]
    """By file, the answers without responses, in `part_schema`. Those of one post are in the order
    in which they count: the first one does."""
    files: tuple[Path, ...]
    """The files that nobody needs once these answers are published."""
    has_disappeared: bool
    """Whether a file disappeared meanwhile: another attempt has published the shard."""


class AnswerReader:
    """Reads parts and journals of one run, shard and configuration."""

    def __init__(
        self, *, metadata: Mapping[str, str], columns: tuple[Column, ...], keep_raw: bool
    ) -> None:
        """Prepare to read; the arguments are those of `Checkpoint`."""
        self._metadata = metadata
        self._keep_raw = keep_raw
        self._schema = part_schema(columns, keep_raw=keep_raw)
        self._answers = part_schema(columns)
        counted_columns = usage.count_columns(columns)
        self._facts = {*counted_columns, *(column.name for column in columns if column.fact)}
        self._tables: dict[Path, pa.Table] = {}
        self._files: list[Path] = []

    def read(self, folder: Path) -> KeptAnswers:
        """Read a shard's work folder; what is damaged is named on stderr and left out.

        Responses are left out too: those of a whole shard may need more than a task's memory.

        Raises:
            UnreadableError: a file cannot be read now. Its answers must not be paid for again.
        """
        self._tables, self._files = {}, []
        names = files.names_in(folder)
        parts = [folder / name for name in names if name.endswith(".parquet")]
        disappeared = [path for path in parts if not self._load(path, self._read_part)]
        needed = answer_journal.needed_journals(names, [path.name for path in self._tables])
        of_all = (name for name in names if name.endswith(answer_journal.SUFFIX))
        self._files += [folder / name for name in of_all if name not in needed]
        journals = [folder / name for name in needed]
        disappeared += [path for path in journals if not self._load(path, self._read_journal)]
        return KeptAnswers(
            tables=dict(sorted(self._tables.items())),
            files=tuple(self._files),
            has_disappeared=bool(disappeared),
        )

    def _load(self, path: Path, read: Callable[[Path], pa.Table | None]) -> bool:
        """Add the answers of a file to `_tables`; return False if the file has disappeared."""
        try:
            table = read(path)
        except FileNotFoundError:
            return False
        except DamagedError as error:
            if path.name.startswith(files.TEMPORARY_PREFIX):
                # A killed process had begun to write it. That is no damage: its journals have the
                # same answers.
                self._files.append(path)
            else:
                print(f"{path}: ignored, {error.problem}", file=sys.stderr)
            return True
        if table is not None:
            self._tables[path] = table.select(self._answers.names)
        return True

    def _read_part(self, path: Path) -> pa.Table | None:
        table = read_table(path)
        self._files.append(path)
        return self._check_columns(path, table)

    def _read_journal(self, path: Path) -> pa.Table | None:
        """Read a journal; the lines that are damaged both times are left out, and named."""
        reader = JournalReader(path)
        for _ in range(2):
            checked = [self._check_columns(path, table) for table in reader.tables()]
            tables = [table.select(self._answers.names) for table in checked if table is not None]
            if not reader.damaged_lines:
                self._files.append(path)
                break
            files.forget_cached_pages(path)
        else:
            damaged = ", ".join(map(str, reader.damaged_lines[:_NAMED_LINES]))
            lines = counted(len(reader.damaged_lines), "line")
            print(f"{path}: {lines} ignored as damaged, such as {damaged}", file=sys.stderr)
        return pa.concat_tables(tables) if tables else None

    def _check_columns(self, path: Path, table: pa.Table) -> pa.Table | None:
        """Return the table in this checkpoint's columns; None, with a message, if it has others."""
        table = self._with_or_without_responses(self._with_missing_facts(table))
        if problem := self._problem(table):
            print(f"{path}: ignored, {problem}", file=sys.stderr)
            return None
        return table

    def _with_missing_facts(self, table: pa.Table) -> pa.Table:
        """Add the facts that an older version of the classifier did not keep, as unknown."""
        for position, field in enumerate(self._schema):
            if field.name in self._facts and field.name not in table.column_names:
                unknown = pa.nulls(table.num_rows, field.type)
                table = table.add_column(min(position, table.num_columns), field, unknown)
        return table

    def _with_or_without_responses(self, table: pa.Table) -> pa.Table:
        """Fit the responses to `keep_raw`: it may be corrected while a shard has paid answers."""
        if not self._keep_raw:
            return table.drop_columns([RAW.name]) if RAW.name in table.column_names else table
        if RAW.name in table.column_names:
            return table
        return table.append_column(RAW, pa.nulls(table.num_rows, RAW.type))

    def _problem(self, table: pa.Table) -> str:
        metadata = table.schema.metadata or {}
        if any(metadata.get(k.encode()) != v.encode() for k, v in self._metadata.items()):
            return "it belongs to another run, input or configuration"
        if not table.schema.equals(self._schema):
            return "it has other label columns"
        return ""
