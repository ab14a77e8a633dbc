"""Load the samples of a run root into the database. Safe to repeat."""

from pathlib import Path

import duckdb

from pipeline.database import sample_rows
from pipeline.errors import DamagedError, UnreadableError
from pipeline.run_files import sample_file


def load_samples(
    connection: duckdb.DuckDBPyConnection, run_root: Path
) -> tuple[DamagedError | UnreadableError, ...]:
    """Make table `samples` hold what the files say.

    A sample whose file is gone stays: nothing else knows its probabilities.

    Args:
        connection: the database, open for writing.
        run_root: the folder of the runs, with the samples in its folder `samples`.

    Returns:
        An error for each file that is damaged or cannot be read now.
    """
    errors: list[DamagedError | UnreadableError] = []
    try:
        paths = sample_file.list_files(run_root)
    except UnreadableError as error:
        return (error,)
    for path in paths:
        try:
            found = sample_file.read(path)
        except FileNotFoundError:  # removed this moment
            continue
        except (DamagedError, UnreadableError) as error:
            errors.append(error)
        else:
            sample_rows.put(connection, found.sample.sample, found.rows)
    return tuple(errors)
