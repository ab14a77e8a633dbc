"""Hold what is known about a source before anybody says what its columns mean. Pure."""

from dataclasses import dataclass

from pipeline.backlog.file_formats import SourceKind
from pipeline.text import counted, format_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnFacts:
    """What a column is called, and what a sample of its values looks like."""

    name: str
    """As a configuration names it: a field inside a record has a path, such as `record.text`."""
    type: str
    """Its type as the file declares it; '' if the file declares none."""
    sampled: int = 0
    """How many rows were looked at."""
    filled: int = 0
    """How many of them have a value that is not empty."""
    distinct: int = 0
    """How many different values they have."""
    fractions: int = 0
    """How many values are floating-point numbers, which may have lost digits."""
    numbers: int = 0
    """How many values are numbers, as such or in digits."""
    nested: int = 0
    """How many values are lists or records."""
    times: int = 0
    """How many values can be read as a time."""
    sentences: int = 0
    """How many values are texts with a blank inside."""
    mean_length: float = 0.0
    """The mean length of the values as text, in characters."""
    is_unique: bool = False
    """Whether the file itself says that no two rows have the same value."""
    example: str = ""
    """The first value, on one line and shortened."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFacts:
    """A table of a database, or all files of a source together."""

    name: str | None
    """As a configuration names it; None for files, which have no tables."""
    columns: tuple[ColumnFacts, ...] = ()
    rows: int | None = None
    """How many rows it has; None if counting them takes too long."""
    is_estimate: bool = False
    """Whether `rows` is only about right."""
    problem: str = ""
    """Why its columns are not known; '' if they are."""

    @property
    def size(self) -> str:
        """Its number of rows in words."""
        if self.rows is None:
            return "rows not counted"
        return (
            f"about {counted(self.rows, 'row')}" if self.is_estimate else counted(self.rows, "row")
        )

    def column(self, name: str) -> ColumnFacts | None:
        """Return the column of this name; None if the table has none."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFacts:
    """A source: a database, or one or several files."""

    source: str
    """As the configuration names it: a path or a glob."""
    kinds: tuple[SourceKind, ...]
    files: int
    bytes: int
    tables: tuple[TableFacts, ...] = ()
    """The tables of a database; of files, exactly one."""
    problem: str = ""
    """Why nothing is known about the tables, such as a lock; '' if they are known."""

    @property
    def summary(self) -> str:
        """What it is in a few words, such as `SQLite, 3 tables, 12 MB`."""
        words = [" and ".join(self.kinds)]
        if self.files > 1:
            words.append(f"{self.files:,} files")
        if len(self.tables) > 1:
            words.append(counted(len(self.tables), "table"))
        elif self.tables and not self.problem:
            words.append(self.tables[0].size)
        return ", ".join([*words, format_bytes(self.bytes)])
