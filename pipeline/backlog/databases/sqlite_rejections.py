"""Say which value of a SQLite table cannot be read, and why."""

from dataclasses import dataclass

from pipeline.backlog.column_path import ColumnPath
from pipeline.backlog.databases.sqlite_query import State
from pipeline.backlog.databases.sqlite_values import Values
from pipeline.config.sections import JSON_RECORDS, PYTHON_RECORDS, Backlog
from pipeline.errors import InputError
from pipeline.terminal import one_line

# Posts are joined by their uri: a part of one, or a rounded one, would be another post's.
URI_STATES = (State.MALFORMED, State.NESTED, State.REAL)
TEXT_STATES = (State.NESTED,)
STATES_WITH_KEY = (State.VALUE, State.NULL, State.REAL, State.NESTED)

_RECORD_NAMES = {JSON_RECORDS: "a JSON record", PYTHON_RECORDS: "a record as a Python literal"}
_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A value that cannot be read."""

    row: int
    """Its row in the batch, from 0."""
    path: ColumnPath
    state: State
    """What is there; VALUE for bytes that are not text."""
    value: str

    def describe(self, backlog: Backlog) -> str:
        """Return what is wrong and what to do, as the end of a message about the row."""
        value = one_line(self.value, _SHOWN_CHARACTERS)
        match self.state:
            case State.MALFORMED:
                return (
                    f"column {self.path.column!r} does not hold "
                    f"{_RECORD_NAMES[backlog.record_format]}: {value}"
                    f"{_other_format(self.value, backlog)}"
                )
            case State.NESTED:
                return (
                    f"column '{self.path}' holds a list or a record, not a text: {value}. Name the "
                    f"key of the text in it, such as {self.path}.text"
                )
            case State.REAL:
                return (
                    f"column '{self.path}' holds the number {value}, which may have lost digits: a "
                    "uri has to be text or a whole number. Store the original one in the database"
                )
        return (
            f"column '{self.path}' holds bytes that are not text, shown as "
            f"\N{REPLACEMENT CHARACTER}: {value}. Correct it in the database, or leave the row "
            "out with backlog.where"
        )


def find_problem(
    values: Values, path: ColumnPath, states: tuple[State, ...], *, checks_bytes: bool = False
) -> Problem | None:
    """Return the first value that cannot be read; None if all can be.

    Args:
        values: the values of a batch.
        path: where they are.
        states: the states that are a problem.
        checks_bytes: whether bytes that are not text are a problem.
    """
    row = values.first_row(*states)
    if row is None and checks_bytes and values.undecodable:
        row = values.undecodable[0]
    if row is None:
        return None
    return Problem(
        row=row,
        path=path,
        state=State(values.states[row].as_py()),
        value=values.texts[row].as_py(),
    )


def table_without_text(place: str, path: ColumnPath, example: str, backlog: Backlog) -> InputError:
    """Return the error for a table in which no row has the key of the text.

    Args:
        place: the file and the table.
        path: where the text should be.
        example: what a row holds in place of a record; '' if all rows hold records or nothing.
        backlog: the configuration.
    """
    if example:
        return InputError(
            f"backlog.columns: {place}: no row of column {path.column!r} holds "
            f"{_RECORD_NAMES[backlog.record_format]}, such as "
            f"{one_line(example, _SHOWN_CHARACTERS)}{_other_format(example, backlog)}"
        )
    return InputError(
        f"backlog.columns: {place}: no row has '{path}': column {path.column!r} is null, or its "
        "records do not have this key"
    )


def _other_format(value: str, backlog: Backlog) -> str:
    """Return advice if a value is a record in the other format."""
    other = PYTHON_RECORDS if value.lstrip().startswith("{'") else JSON_RECORDS
    if other == backlog.record_format or not value.lstrip().startswith("{"):
        return ""
    return f"; if it is {_RECORD_NAMES[other]}, set backlog.record_format to {other}"
