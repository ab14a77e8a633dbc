"""Read the posts of Parquet, CSV and JSON files, and find out what is wrong where that fails."""

from collections.abc import Sequence
from dataclasses import replace

import duckdb

from pipeline.backlog.file_formats import SourceFile, SourceKind
from pipeline.backlog.formats.csv_files import read_csv_files
from pipeline.backlog.formats.diagnose import find_fault, find_malformed
from pipeline.backlog.formats.file_table import (
    ReadableFile,
    Reading,
    UnreadableFileError,
    first_line,
)
from pipeline.backlog.formats.json_files import read_json_files
from pipeline.backlog.formats.missing_keys import reject_missing_keys
from pipeline.backlog.formats.parquet_files import read_parquet_files
from pipeline.backlog.formats.readable_files import ReadableFiles
from pipeline.config.sections import Backlog
from pipeline.errors import InputError
from pipeline.sql import raise_lack_of_space

_READERS = {
    SourceKind.PARQUET: read_parquet_files,
    SourceKind.CSV: read_csv_files,
    SourceKind.JSON_LINES: read_json_files,
}


class FilePosts:
    """The posts of the files of one source, on one DuckDB connection."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, kind: SourceKind, backlog: Backlog
    ) -> None:
        """Prepare to read; nothing is opened yet."""
        self._connection = connection
        self._kind = kind
        self._backlog = backlog
        self._files = ReadableFiles(connection)

    def close(self) -> None:
        """Delete the copies that were needed."""
        self._files.close()

    def readings(self, files: Sequence[SourceFile]) -> list[Reading]:
        """Return how the posts of some files are read.

        Raises:
            InputError: a column is missing, or cannot be what it is configured as, or a file has a
                fault that no way of reading copes with.
            OSError: a file cannot be read, or the disk is full.
        """
        readings = self._read(files, apart=False)
        values = [value for each in readings for value in each.columns.values().values()]
        if self._kind is not SourceKind.JSON_LINES and any(value.exists for value in values):
            each_file = self._read(files, apart=True)
            reject_missing_keys(self._connection, each_file, self._backlog)
        return readings

    def improve(self, files: Sequence[SourceFile]) -> bool:
        """Have the files that cannot be read be read in slower ways; False if all can be read.

        Raises:
            InputError: a row has a fault that no way of reading copes with.
            OSError: a file cannot be read, or the disk is full.
        """
        suspects = set(files)
        has_improved = False
        while suspects:
            readings = [
                reading
                for reading in self._read(files, apart=True)
                if reading.files[0].file in suspects and not self._can_be_read(reading)
            ]
            for reading in readings:
                self._reject_failing_where(reading)
                if self._files.improve(reading.files[0]) is None:
                    raise self._fault(reading)
                has_improved = True
            suspects = {reading.files[0].file for reading in readings}
        return has_improved

    def _read(self, files: Sequence[SourceFile], *, apart: bool) -> list[Reading]:
        read_files = _READERS[self._kind]
        while True:
            try:
                readable = self._files.open(files)
                return read_files(self._connection, readable, self._backlog, apart=apart)
            except UnreadableFileError as error:
                if self._files.improve(error.file) is None:
                    raise self._unreadable(error.file) from None

    def _can_be_read(self, reading: Reading) -> bool:
        try:
            self._connection.execute(
                "SELECT max(strlen(uri)), max(strlen(text)), max(strlen(raw_timestamp)), "
                f"count(reason) FROM ({reading.sql()})"
            )
        except duckdb.Error as error:
            raise_lack_of_space(error, "planning")
            return False
        return True

    def _reject_failing_where(self, reading: Reading) -> None:
        """Raise InputError if the rows can be read, and only the condition fails on one."""
        if not reading.conditions or not self._can_be_read(replace(reading, conditions=())):
            return
        try:
            self._connection.execute(f"SELECT count(*) FROM ({reading.sql()})")
        except duckdb.Error as error:
            raise InputError(
                f"backlog.where: {reading.place}: the condition fails on a row: "
                f"{first_line(error)}; with TRY_CAST in place of CAST, a value that is not a "
                "number is NULL"
            ) from None

    def _fault(self, reading: Reading) -> InputError:
        try:
            fault = find_fault(self._connection, reading, self._backlog)
        except duckdb.Error as error:
            raise_lack_of_space(error, "planning")
            fault = None
        return fault or self._unreadable(reading.files[0])

    def _unreadable(self, file: ReadableFile) -> InputError:
        fault = find_malformed(self._connection, file)
        return fault or InputError(
            f"backlog.source: {file.original} cannot be read as {self._kind}: it is damaged, or "
            "its end is missing; replace it by a good copy, or exclude it with backlog.ignore"
        )
