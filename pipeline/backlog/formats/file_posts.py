"""Read the posts of Parquet, CSV and JSON files, and find out what is wrong where that fails."""

from collections.abc import Sequence

import duckdb

from pipeline.backlog.file_formats import SourceFile, SourceKind
from pipeline.backlog.formats.csv_files import read_csv_files
from pipeline.backlog.formats.diagnose import find_fault, find_malformed
from pipeline.backlog.formats.doubtful_values import reject_doubtful_values
from pipeline.backlog.formats.file_table import (
    ReadableFile,
    Reading,
    UnreadableFileError,
)
from pipeline.backlog.formats.json_files import read_json_files
from pipeline.backlog.formats.missing_keys import reject_missing_keys
from pipeline.backlog.formats.parquet_files import read_parquet_files
from pipeline.backlog.formats.readable_files import ReadableFiles
from pipeline.backlog.formats.try_reading import can_be_read, reject_failing_where
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
        self,
        connection: duckdb.DuckDBPyConnection,
        kind: SourceKind,
        files: Sequence[SourceFile],
        backlog: Backlog,
    ) -> None:
        """Prepare to read; nothing is opened yet.

        Args:
            connection: where the posts are read.
            kind: the kind of the files.
            files: all files of the source. What `backlog.where` means depends on all of them.
            backlog: which columns to read, and which rows.
        """
        self._connection = connection
        self._kind = kind
        self._backlog = backlog
        self._files = ReadableFiles(connection)
        self._all = tuple(files)
        self._is_apart = False
        self._each: list[Reading] = []

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
        if self._is_apart or len(files) < len(self._all):
            return self._apart(files)
        readings = self._read(apart=False)
        values = [value for each in readings for value in each.columns.values().values()]
        if self._kind is not SourceKind.JSON_LINES and any(value.exists for value in values):
            reject_missing_keys(self._connection, self._apart(files), self._backlog)
        for reading in readings:
            reject_doubtful_values(self._connection, reading, self._backlog)
        return readings

    def _apart(self, files: Sequence[SourceFile]) -> list[Reading]:
        """Return how the posts are read of some files, each file by itself."""
        if not self._each:
            self._each = self._read(apart=True)
        wanted = set(files)
        return [reading for reading in self._each if reading.files[0].file in wanted]

    def improve(self, files: Sequence[SourceFile]) -> bool:
        """Have the files that cannot be read be read in slower ways; False if all can be read.

        Raises:
            InputError: a row has a fault that no way of reading copes with.
            OSError: a file cannot be read, or the disk is full.
        """
        suspects = tuple(files)
        has_improved = False
        while suspects:
            readings = [each for each in self._apart(suspects) if not self._can_be_read(each)]
            for reading in readings:
                reject_failing_where(self._connection, reading)
                if self._files.improve(reading.files[0]) is None:
                    raise self._fault(reading)
                has_improved = True
            suspects = tuple(reading.files[0].file for reading in readings)
            if suspects:
                self._each = []
        if self._kind is SourceKind.PARQUET and not has_improved and not self._is_apart:
            # Each file can be read, and together they cannot: a column has several types.
            self._is_apart = has_improved = True
        return has_improved

    def _read(self, *, apart: bool) -> list[Reading]:
        read_files = _READERS[self._kind]
        while True:
            try:
                readable = self._files.open(self._all)
                return read_files(self._connection, readable, self._backlog, apart=apart)
            except UnreadableFileError as error:
                if self._files.improve(error.file) is None:
                    raise self._unreadable(error.file) from None

    def _can_be_read(self, reading: Reading) -> bool:
        return can_be_read(self._connection, reading)

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
            "its end is missing; replace it with a good copy, or exclude it with backlog.ignore"
        )
