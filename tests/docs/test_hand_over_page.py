"""The page on other engines, typed from top to bottom."""

from pathlib import Path

from tests.docs.test_tutorials import Reader

PAGE = "docs/how-to/hand-over-to-another-engine.md"


def test_the_page_ends_with_the_labels_of_another_engine(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.follow(PAGE)
    rows = reader.query(
        "SELECT count(*), count(toxic), count(DISTINCT attempt), any_value(model) "
        "FROM labels_stance"
    )
    ((posts, labeled, adoptions, model),) = rows
    assert (posts, adoptions, model) == (400, 1, "Qwen/Qwen3-235B-A22B-Instruct-2507")
    assert 0 < int(str(labeled)) <= 400
    assert (tmp_path / "stance.csv").is_file()
