"""Ask where the posts are, and which table and columns hold them."""

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
from msgspec import structs

from hpc.initialize.given import Given
from hpc.initialize.questions.question import Answerer, InvalidAnswer, Option, Question
from hpc.initialize.source.facts import ColumnFacts, SourceFacts, TableFacts
from hpc.initialize.source.find_candidates import find_candidates
from hpc.initialize.source.inspect_source import inspect_files
from hpc.initialize.source.propose_columns import (
    Columns,
    Proposal,
    propose_columns,
    propose_source,
    propose_table,
)
from pipeline.backlog.decompress import needs_unpacking
from pipeline.backlog.scan import Scan
from pipeline.backlog.sources import DATABASES, Source, find_source
from pipeline.backlog.times.leave_out import condition_without_bad_times
from pipeline.config.sections import Backlog, SourceColumns
from pipeline.errors import InputError, RunError
from pipeline.sql import configure_session
from pipeline.text import did_you_mean, listed

_MOST_INSPECTED = 20
# About ten seconds of reading.
_MOST_ROWS_READ = 5_000_000
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(?:[\w.-]+@)?[\w-]+(?:\.[\w-]+)*:/?\S")
_TIMES = "2024-05-31-13:00:00, ISO 8601 or a native type"


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceAnswers:
    """Where the posts are."""

    backlog: Backlog
    """Its source is written as the configuration has it."""
    facts: SourceFacts
    table: TableFacts
    lacks_times: bool = False
    """Whether sampled rows have no time, so that `backlog.where` has to leave such rows out."""


def ask_source(answerer: Answerer, given: Given) -> SourceAnswers | None:
    """Return where the posts are; None if an answer is missing, which the answerer knows.

    Raises:
        RunError: the source cannot be read now, and nobody can be asked for another one.
    """
    while True:
        chosen = _ask_files(answerer, given)
        if chosen is None:
            return None
        question, found, facts = chosen
        if not facts.problem:
            break
        if not answerer.can_ask_again or given.source is not None:
            raise RunError(facts.problem)
        answerer.reject(question, facts.problem)
    table = _ask_table(answerer, given, facts)
    if table is None:
        return None
    return _ask_columns(answerer, given, found, facts, table)


def _ask_files(answerer: Answerer, given: Given) -> tuple[Question, Source, SourceFacts] | None:
    known: tuple[SourceFacts, ...] = ()
    is_complete = True
    if given.source is None:
        known, is_complete = _inspect_candidates(given.folder)
    best = propose_source(known)
    question = Question(
        flag="--source",
        text="Where are the posts? Name a file, a folder, or a glob such as posts/*.csv.",
        missing="a file, a folder or a glob",
        unproposed=_why_no_source(known, given.folder, is_complete=is_complete),
        default=best.source if best else None,
        why=_describe_columns(propose_columns(_best_table(best))) if best else "",
        options=tuple(Option(value=each.source, note=each.summary) for each in known),
        check=lambda answer: _as_configured(_find(answer, given), given.folder),
    )
    answer = answerer.ask(question, given.source)
    if answer is None:
        return None
    found = _find(answer, replace(given, source=None))  # relative to the project by now
    facts = next((each for each in known if each.source == answer), None)
    return question, found, facts or inspect_files(answer, found.source_files)


def _inspect_candidates(folder: Path) -> tuple[tuple[SourceFacts, ...], bool]:
    """Return what the folder holds, and whether all of it was looked at."""
    candidates, is_complete = find_candidates(folder)
    some = candidates[:_MOST_INSPECTED]
    facts = tuple(inspect_files(each.source, each.files) for each in some)
    return facts, is_complete and len(some) == len(candidates)


def _why_no_source(known: Sequence[SourceFacts], folder: Path, *, is_complete: bool) -> str:
    if known:
        return "several files may hold the posts"
    if not is_complete:
        return f"{folder} holds too much to look at all of it, and no posts were found so far"
    return f"{folder} has no SQLite, DuckDB, Parquet, CSV or JSON Lines file"


def _best_table(facts: SourceFacts) -> TableFacts:
    return propose_table(facts.tables) or next(iter(facts.tables), TableFacts(name=None))


def _describe_columns(columns: Columns) -> str:
    roles = (("uri", columns.uri), ("text", columns.text), ("time", columns.time))
    shown = [f"{each.column} as the {role}" for role, each in roles if each]
    return f"it has {listed(shown)}" if shown else ""


def _find(answer: str, given: Given) -> Source:
    """Return the files that a path or a glob means.

    A path on the command line begins in the working folder, and any other one in the project's.

    Raises:
        InvalidAnswer: there are none, or they cannot be read.
    """
    path = Path(answer).expanduser()
    folders = [given.folder, given.working_folder]
    if given.source is not None:
        folders.reverse()
    places = list(dict.fromkeys(folder / path for folder in folders))
    if _REMOTE.match(answer) and not any(place.exists() for place in places):
        raise InvalidAnswer(
            f"{answer} is on another machine: copy the files here, or mount them, and name the copy"
        )
    error: InputError | None = None
    for place in places:
        try:
            found = find_source(Backlog(source=str(place)), (given.folder,))
        except InputError as problem:
            error = error or problem
        else:
            if not found.source_files:
                raise InvalidAnswer(f"{answer} holds only empty files")
            return found
    raise InvalidAnswer(str(error).removeprefix("backlog.source: "))


def _as_configured(found: Source, folder: Path) -> str:
    """Return a source as the configuration names it: relative, if it is in the project's folder."""
    path = Path(found.backlog.source)
    try:
        relative = str(path.relative_to(folder))
    except ValueError:
        return str(path)
    # A name that begins with ~ would mean a home folder.
    return str(path) if relative.startswith("~") or relative == "." else relative


def _ask_table(answerer: Answerer, given: Given, facts: SourceFacts) -> TableFacts | None:
    if not any(kind in DATABASES for kind in facts.kinds):
        return facts.tables[0]
    best = propose_table(facts.tables)
    if len(facts.tables) == 1 and given.table is None:
        return facts.tables[0]
    ranked = sorted(facts.tables, key=lambda table: propose_columns(table).rank, reverse=True)
    names = {str(table.name): table for table in facts.tables}
    question = Question(
        flag="--table",
        text="Which table holds the posts?",
        missing="the name of a table",
        unproposed=f"{facts.source} has {len(names)} tables, and none or several look like posts"
        if names
        else f"{facts.source} has no table",
        default=best.name if best else None,
        why=_describe_columns(propose_columns(best)) if best else "",
        options=tuple(
            Option(value=str(table.name), note=table.problem or _describe_table(table))
            for table in ranked
        ),
        check=lambda answer: _known(answer, list(names), "table"),
    )
    answer = answerer.ask(question, given.table)
    return None if answer is None else names[answer]


def _describe_table(table: TableFacts) -> str:
    shown = ", ".join(column.name for column in table.columns[:6])
    more = ", …" if len(table.columns) > 6 else ""
    return f"{table.size}: {shown}{more}"


def _known(answer: str, names: Sequence[str], noun: str) -> str:
    """Return the name that an answer means, in any case of its letters.

    Raises:
        InvalidAnswer: there is no such name, or several differ in the case of letters only.
    """
    if answer in names:
        return answer
    near = [name for name in names if name.casefold() == answer.casefold()]
    if len(near) == 1:
        return near[0]
    raise InvalidAnswer(f"{answer!r} is not a {noun} there{did_you_mean(answer, names)}")


def _ask_columns(
    answerer: Answerer, given: Given, found: Source, facts: SourceFacts, table: TableFacts
) -> SourceAnswers | None:
    proposed = propose_columns(table)
    while True:
        uri = _ask_column(answerer, table, _URI, proposed.uri, given.uri_column)
        text = _ask_column(answerer, table, _TEXT, proposed.text, given.text_column)
        time = _ask_column(answerer, table, _TIME, proposed.time, given.timestamp_column)
        if uri is None or text is None or time is None:
            return None
        backlog = Backlog(
            source=facts.source,
            table=table.name,
            columns=SourceColumns(uri=uri, text=text, preprocessing_timestamp=time),
        )
        problem = _find_problem(found, backlog)
        if not problem:
            column = table.column(time)
            lacks_times = column is not None and column.times < column.sampled
            if lacks_times:
                where = _find_condition(found, backlog, table)
                backlog = structs.replace(backlog, where=where)
            return SourceAnswers(backlog=backlog, facts=facts, table=table, lacks_times=lacks_times)
        if not answerer.can_ask_again or _are_given(given):
            raise InputError(problem)
        answerer.reject(Question(flag="--text-column", text="", missing=""), problem)


def _find_condition(found: Source, backlog: Backlog, table: TableFacts) -> str | None:
    """Return a condition that leaves out the rows without a time; None if none is known soon.

    It is tried on all rows.
    """
    if any(needs_unpacking(file) for file in found.source_files):
        return None
    if table.rows is None or table.rows > _MOST_ROWS_READ:
        return None
    with closing(duckdb.connect()) as connection:
        configure_session(connection)
        try:
            source = replace(found, backlog=backlog)
            return condition_without_bad_times(connection, source, joins="") or None
        except (InputError, RunError, duckdb.Error):  # `check` names it
            return None


def _are_given(given: Given) -> bool:
    columns = (given.uri_column, given.text_column, given.timestamp_column)
    return all(column is not None for column in columns)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Role:
    flag: str
    text: str
    noun: str


_URI = _Role(
    flag="--uri-column", text="Which column identifies a post?", noun="the identifier of a post"
)
_TEXT = _Role(
    flag="--text-column", text="Which column holds the text of a post?", noun="the text of a post"
)
_TIME = _Role(
    flag="--timestamp-column",
    text="Which column holds the time at which a post was collected or preprocessed? "
    "Older posts are labeled first.",
    noun="a time",
)


def _ask_column(
    answerer: Answerer,
    table: TableFacts,
    role: _Role,
    proposal: Proposal | None,
    given: str | None,
) -> str | None:
    names = [column.name for column in table.columns]
    best = proposal if proposal and proposal.is_convincing else None
    question = Question(
        flag=role.flag,
        text=role.text,
        missing="the name of a column",
        unproposed=f"no column looks like {role.noun}{_hint(role, table)}",
        default=best.column if best else None,
        why=best.why if best else "",
        options=tuple(
            Option(value=column.name, note=_describe_column(column)) for column in table.columns
        ),
        check=lambda answer: _check_column(answer, table, names, role),
    )
    return answerer.ask(question, given)


def _describe_column(column: ColumnFacts) -> str:
    example = f"for example {column.example}" if column.example else ""
    return ", ".join(filter(None, (column.type, example)))


def _hint(role: _Role, table: TableFacts) -> str:
    """Return what a person should know who looks for a time among numbers."""
    if role is not _TIME:
        return ""
    numbers = [
        column.name
        for column in table.columns
        if column.filled
        and column.numbers == column.filled
        and any(word in column.name.lower() for word in ("time", "date", "created"))
    ]
    return f": {numbers[0]} holds numbers, and a time is written as {_TIMES}" if numbers else ""


def _check_column(answer: str, table: TableFacts, names: Sequence[str], role: _Role) -> str:
    if table.problem:  # what it has is not known
        return answer
    column = table.column(_known(answer, names, "column"))
    assert column is not None
    if column.nested:
        raise InvalidAnswer(f"{column.name} holds lists or records, not single values")
    if role is _URI and column.fractions:
        raise InvalidAnswer(f"{column.name} holds floating-point numbers, which may lose digits")
    if role is _TEXT and column.filled and column.times == column.filled:
        raise InvalidAnswer(f"{column.name} holds times, not texts")
    if role is _TIME and column.filled and not column.times:
        raise InvalidAnswer(
            f"{column.name} holds no times that can be read, such as {column.example!r}: a time "
            f"is written as {_TIMES}"
        )
    return column.name


def _find_problem(found: Source, backlog: Backlog) -> str:
    """Return why posts cannot be read so; '' if they can, or if that takes too long to know."""
    if any(needs_unpacking(file) for file in found.source_files):
        return ""
    with closing(duckdb.connect()) as connection:
        configure_session(connection)
        scan = Scan(connection, replace(found, backlog=backlog))
        try:
            scan.relation()
        except InputError as error:
            return str(error)
        finally:
            scan.close()
    return ""
