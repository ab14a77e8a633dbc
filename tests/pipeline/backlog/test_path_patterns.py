"""Globs select paths as a shell does, and ignore whole folders as git does."""

from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backlog.path_patterns import IgnorePatterns, SourceGlob, split_glob


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "days/a.csv", False),
        ("**/*.csv", "a.csv", True),
        ("**/*.csv", "days/deep/a.csv", True),
        ("days/**", "days/deep/a.csv", True),
        ("**", "days/a.csv", True),
        ("**", "", False),
        ("2024-*/*.csv", "2024-05/a.csv", True),
        ("2024-*/*.csv", "2024-05/deep/a.csv", False),
        ("a?.csv", "ab.csv", True),
        ("[ab].csv", "c.csv", False),
        ("*", "days/a.csv", False),
        ("*.csv", "A.CSV", False),
    ],
)
def test_a_glob_of_a_source_selects_whole_paths(glob: str, path: str, matches: bool) -> None:
    assert SourceGlob(PurePath(glob).parts).matches(PurePath(path).parts) is matches


@pytest.mark.parametrize(
    ("glob", "folder", "leads"),
    [
        ("*.csv", "", True),
        ("*.csv", "days", False),
        ("**/*.csv", "days/deep", True),
        ("2024-*/*.csv", "2024-05", True),
        ("2024-*/*.csv", "2023-05", False),
        ("2024-*/*.csv", "2024-05/deep", False),
        ("days/**", "days/deep", True),
    ],
)
def test_a_glob_leads_only_into_folders_that_can_have_matches(
    glob: str, folder: str, leads: bool
) -> None:
    assert SourceGlob(PurePath(glob).parts).leads_into(PurePath(folder).parts) is leads


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("old", "old/deep/a.csv", True),
        ("old/", "old/a.csv", True),
        ("./old", "old/a.csv", True),
        ("old/**", "old/a.csv", True),
        ("old", "older/a.csv", False),
        ("*.json", "a.json", True),
        ("*.json", "deep/a.json", False),
        ("**/*.json", "deep/a.json", True),
        ("**/old/**", "deep/old/x/a.csv", True),
    ],
)
def test_a_glob_that_ignores_a_folder_ignores_what_is_in_it(
    glob: str, path: str, matches: bool
) -> None:
    assert IgnorePatterns([glob]).match(PurePath(path).parts) is matches


def test_globs_that_have_matched_nothing_are_known() -> None:
    patterns = IgnorePatterns(["*.pdf", "*.json", "old"])
    assert patterns.match(("a.json",))
    assert not patterns.match(("a.csv",))
    assert patterns.unmatched == ("*.pdf", "old")


def test_a_path_is_split_at_its_first_wildcard() -> None:
    assert split_glob(PurePath("/data/2024-*/x/*.csv")) == (
        PurePath("/data"),
        ("2024-*", "x", "*.csv"),
    )
    assert split_glob(PurePath("data/a.csv")) == (PurePath("data/a.csv"), ())


_NAMES = st.text("ab.", min_size=1, max_size=3).filter(lambda name: set(name) != {"."})
_PATHS = st.lists(_NAMES, min_size=1, max_size=4)


@given(_PATHS)
def test_a_path_matches_itself_and_any_folders_before_its_name(path: list[str]) -> None:
    assert SourceGlob(path).matches(path)
    assert SourceGlob(["**", path[-1]]).matches(path)
    assert IgnorePatterns([path[0]]).match(path)


@given(_PATHS, st.lists(st.sampled_from(["**", "*", "a*", "b"]), min_size=1, max_size=3))
def test_a_folder_of_a_selected_path_is_led_into(path: list[str], glob: list[str]) -> None:
    pattern = SourceGlob(glob)
    if pattern.matches(path):
        assert all(pattern.leads_into(path[:depth]) for depth in range(len(path)))
