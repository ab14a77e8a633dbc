"""Backlogs of any size, made on the spot."""

import json
import pathlib
import sqlite3
from datetime import UTC, datetime, timedelta


def rows(count: int) -> list[tuple[str, str, str]]:
    """(uri, text, preprocessing_timestamp): distinct uris, a few ties in time, all long enough."""
    first = datetime(2024, 5, 31, tzinfo=UTC)
    return [
        (
            f"at://did:plc:{n:024d}/app.bsky.feed.post/{n:013d}",
            f"post number {n}, which is {'great' if n % 3 else 'awful'}\nand has two lines 🦋",
            f"{first + timedelta(seconds=n // 3):%Y-%m-%d-%H:%M:%S}",
        )
        for n in range(count)
    ]


def json_lines(path: pathlib.Path, count: int) -> pathlib.Path:
    names = ("uri", "text", "preprocessing_timestamp")
    lines = [json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows(count)]
    path.write_text("".join(lines))
    return path


def sqlite(path: pathlib.Path, count: int) -> pathlib.Path:
    """As the lab's: a table of preprocessed posts with other columns beside ours."""
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE preprocessed_posts (id INTEGER PRIMARY KEY, uri TEXT UNIQUE, cid TEXT, "
        "text TEXT, preprocessing_timestamp TEXT, like_count INTEGER)"
    )
    connection.executemany(
        "INSERT INTO preprocessed_posts (uri, text, preprocessing_timestamp) VALUES (?, ?, ?)",
        rows(count),
    )
    connection.commit()
    connection.close()
    return path
