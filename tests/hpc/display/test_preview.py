"""The preview of a table of labels, in a few lines."""

import io
import json
import re
from pathlib import Path

import duckdb
import pytest
from rich.cells import cell_len
from rich.console import Console

from hpc.display import preview
from hpc.display.blocks import Line, Table
from hpc.display.comparison.estimates import estimate_cells
from hpc.display.terminal.render import plain_text, render_lines
from pipeline.analysis.results import Estimate
from pipeline.database import duckdb_file

TABLE = """
CREATE TABLE labels_test AS SELECT
    'at://' || i AS uri, 'post ' || i AS text, TIMESTAMP '2024-05-31' AS preprocessing_timestamp,
    true AS was_successfully_labeled, CAST(NULL AS VARCHAR) AS reason,
    ['left', 'right'][i % 2 + 1] AS ideology, i / 4 AS ideology_prob,
    CASE WHEN i > 0 THEN '{"left": 0.' || i || '}' END AS ideology_probs,
    '[[0, ' || i || ', 0.5]]' AS spans, '[sic] ' || i % 2 AS remark,
    'run' AS run_id
FROM range(4) AS numbers(i)
"""


@pytest.fixture
def database_path(tmp_path: Path) -> str:
    path = tmp_path / "labels.duckdb"
    with duckdb_file.open_database(path) as labels:
        labels.execute(TABLE)
    return str(path)


def test_columns_of_json_are_left_out(database_path: str) -> None:
    """Each of their values is there once: six of them, cut in the middle, tell nothing."""
    look = plain_text(preview.describe_labels(database_path, "test")).splitlines()
    assert look[1:5] == [
        "  4 posts: 4 labeled",
        "  ideology: left 2, right 2",
        "  ideology_prob: from 0.000 to 0.750, mean 0.375",
        "  remark: [sic] 0 2, [sic] 1 2",
    ]
    assert look[5].split() == ["ideology", "ideology_prob", "remark", "text"]
    assert len(look) == 6 + 4
    assert not any("{" in line or "[[" in line for line in look)


def test_a_number_that_rounds_to_zero_has_no_sign(database_path: str) -> None:
    with duckdb.connect(database_path) as labels:
        labels.execute("UPDATE labels_test SET ideology_prob = -0.0001")
    look = plain_text(preview.describe_labels(database_path, "test"))
    assert "  ideology_prob: from 0.000 to 0.000, mean 0.000\n" in look
    assert "-0.000" not in look
    noise = Estimate(value=-0.0001, interval=(-0.0002, -0.0))
    assert estimate_cells(noise) == ("0.000", "[0.000, 0.000]")


def test_a_column_with_some_json_values_is_shown(database_path: str) -> None:
    with duckdb.connect(database_path) as labels:
        labels.execute("UPDATE labels_test SET ideology = ? WHERE uri = 'at://0'", [json.dumps([])])
    assert (
        "  ideology: right 2, [] 1, left 1"
        in plain_text(preview.describe_labels(database_path, "test")).splitlines()
    )


def test_rows_without_a_value_are_counted_as_such(database_path: str) -> None:
    with duckdb.connect(database_path) as labels:
        labels.execute("UPDATE labels_test SET ideology = NULL WHERE uri = 'at://0'")
        labels.execute("UPDATE labels_test SET remark = '-' WHERE uri = 'at://0'")
    look = plain_text(preview.describe_labels(database_path, "test")).splitlines()
    assert look[2] == "  ideology: right 2, left 1, no value 1"
    assert look[4] == "  remark: [sic] 1 2, - 1, [sic] 0 1"


def test_a_column_without_values_takes_no_room_among_the_posts(database_path: str) -> None:
    with duckdb.connect(database_path) as labels:
        labels.execute("UPDATE labels_test SET remark = NULL")
    blocks = preview.describe_labels(database_path, "test")
    look = plain_text(blocks).splitlines()
    assert look[4:6] == ["  remark: no values", "    ideology  ideology_prob  text"]
    console = Console(width=35, file=io.StringIO(), force_terminal=True, color_system=None)
    shown = render_lines(console, blocks[-1:])
    assert len(shown) == 1 + 4, "a post is one line, however narrow the screen is"


@pytest.fixture
def scored_path(database_path: str) -> str:
    """Ten more columns, and a long text."""
    with duckdb.connect(database_path) as labels:
        for number in range(10):
            labels.execute(f"ALTER TABLE labels_test ADD COLUMN score_{number} DOUBLE DEFAULT 0.5")
        labels.execute("UPDATE labels_test SET text = 'first words ' || repeat('更 ', 60)")
    return database_path


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_narrow_screen_shows_each_text_above_its_labels(scored_path: str, width: int) -> None:
    blocks = preview.describe_labels(scored_path, "test")
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    shown = render_lines(console, blocks[-2:-1])
    assert [line[:16] for line in shown if "words" in line] == ["    first words "] * 4
    assert all(cell_len(line) <= width for line in shown)
    pairs = [pair for line in shown for pair in line.strip().split("  ")]
    assert pairs.count("score_4 0.500") == 4, "a label and its value stand on the same line"
    wide = Console(width=200, file=io.StringIO(), force_terminal=True, color_system=None)
    assert len(render_lines(wide, blocks[-2:-1])) == 1 + 4


def test_columns_beyond_the_first_eight_are_counted_and_described(scored_path: str) -> None:
    blocks = preview.describe_labels(scored_path, "test")
    table, more = blocks[-2:]
    assert isinstance(table, Table)
    assert table.header[-2:] == ("score_4", "text")
    assert isinstance(more, Line)
    assert re.findall(r"\d+", more.text) == ["5"]
    lines = plain_text(blocks).splitlines()
    assert {"score_4", "score_5", "score_9"} <= {line.strip().split(":")[0] for line in lines}


def test_whole_numbers_have_no_decimals(database_path: str) -> None:
    with duckdb.connect(database_path) as labels:
        labels.execute("ALTER TABLE labels_test ADD COLUMN stance BIGINT")
        labels.execute("UPDATE labels_test SET stance = ideology_prob * 4000")
    look = plain_text(preview.describe_labels(database_path, "test")).splitlines()
    assert "  stance: from 0 to 3,000, mean 1,500.000" in look
