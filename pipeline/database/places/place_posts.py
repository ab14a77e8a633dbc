"""Find the place of each post, in a session that has the posts, the rows and the files' posts."""

from datetime import datetime

import duckdb

from pipeline.database.places.place import WAITING, Place
from pipeline.sql import fetch_number, literal

Days = dict[str, dict[Place, int]]
"""How many posts are in each place, by day, such as `2024-05-31` or `no day`."""


def place_posts(
    connection: duckdb.DuckDBPyConnection, watermark: datetime | None
) -> tuple[Days, int]:
    """Return how many posts are in each place by day, in order, and how many have a row."""
    days: Days = {}

    def add(posts: str, place: str, sign: int = 1) -> None:
        rows = connection.execute(
            "SELECT coalesce(strftime(date, '%Y-%m-%d'), 'no day') AS day, place, count FROM ("
            f"SELECT moment::DATE AS date, {place} AS place, count(*) AS count "
            f"FROM ({posts}) GROUP BY ALL) ORDER BY day",
            {"watermark": watermark} if "$watermark" in place else None,
        ).fetchall()
        for day, where, count in rows:
            days.setdefault(day, dict.fromkeys(Place, 0))[Place(where)] += sign * count

    connection.execute(
        "CREATE TABLE unplaced AS FROM expected ANTI JOIN "
        "(FROM labeled_posts WHERE labeled IS NOT NULL) USING (post)"
    )
    labeled = literal(Place.LABELED)
    add("FROM expected", labeled)
    add("FROM unplaced", labeled, sign=-1)
    if fetch_number(connection, "SELECT count(*) FROM labeled_posts WHERE NOT labeled"):
        unlabelable = "FROM expected SEMI JOIN (FROM labeled_posts WHERE NOT labeled) USING (post)"
        add(unlabelable, literal(Place.UNLABELABLE))
        add(unlabelable, labeled, sign=-1)
    add("FROM unplaced", _place_of_unplaced(connection))
    without = fetch_number(
        connection, "SELECT count(*) FROM unplaced ANTI JOIN labeled_posts USING (post)"
    )
    return days, fetch_number(connection, "SELECT count(*) FROM expected") - without


def _place_of_unplaced(connection: duckdb.DuckDBPyConnection) -> str:
    """Return SQL for the place of a post that has neither labels nor a reason."""
    # Each table costs another join, and most of them are empty.
    tables = {place.value: place for place in (Place.NOT_GATHERED, *WAITING[:-1])}
    tables |= {"unmatched": Place.LOST, WAITING[-1].value: WAITING[-1]}
    conditions = [
        f"WHEN post IN (FROM {table}) THEN '{place}'"
        for table, place in tables.items()
        if fetch_number(connection, f"SELECT count(*) FROM {table}")
    ]
    return (
        f"CASE {' '.join(conditions)} "
        "WHEN EXISTS (SELECT 1 FROM doubtful WHERE moment BETWEEN oldest AND newest) "
        f"THEN '{Place.UNREADABLE}' "
        f"WHEN moment < $watermark::TIMESTAMP THEN '{Place.LATE}' ELSE '{Place.NEW}' END"
    )
