"""What a user may type for a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.naming.resolve import Resolution, resolve
from hpc.naming.run_ids import parse_run_id

OLD = "20261101T000000-toxicity-aaaa0001"
NEW = "20261129T000000-toxicity-bbbb0002"
TOX = "20261115T000000-tox-cccc0003"
COPY = f"{NEW}-copy"
FOLDERS = (OLD, TOX, NEW, COPY)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (OLD, Resolution(candidates=(OLD,))),
        (COPY, Resolution(candidates=(COPY,))),
        ("toxicity", Resolution(candidates=(NEW, OLD))),
        ("tox", Resolution(candidates=(TOX,))),  # a name, though others begin with it
        ("20261129", Resolution(candidates=(NEW,))),  # and not its copy
        (f"{NEW}-", Resolution(candidates=(COPY,))),
        ("toxicity-b", Resolution(candidates=(NEW,))),
        ("2026", Resolution(candidates=(NEW, TOX, OLD), is_ambiguous=True)),
        ("toxi", Resolution(candidates=(NEW, OLD), is_ambiguous=True)),
        ("toxicty", Resolution(suggestion=" (did you mean 'toxicity'?)")),
        ("", Resolution()),
        ("*", Resolution()),
    ],
)
def test_an_argument_means_an_id_a_name_or_the_beginning_of_an_id(
    wanted: str, expected: Resolution
) -> None:
    assert resolve(FOLDERS, wanted) == expected


run_ids = st.builds(
    "2026{:02d}01T000000-{}-{:08x}".format,
    st.integers(1, 12),
    st.sampled_from(["a", "ab", "abc", "b", "a2026"]),
    st.integers(0, 3),
)
folders = st.lists(run_ids, min_size=1, max_size=12, unique=True).map(sorted)


@given(folders, st.data())
def test_what_is_meant_fits_and_more_letters_reach_every_run(
    folders: list[str], data: st.DataObject
) -> None:
    wanted = data.draw(st.sampled_from(folders))
    parts = parse_run_id(wanted)
    assert parts
    assert resolve(folders, wanted).candidates == (wanted,)
    named = resolve(folders, parts.name)
    assert not named.is_ambiguous
    assert named.candidates[0] == max(
        folder for folder in folders if (run := parse_run_id(folder)) and run.name == parts.name
    )
    length = data.draw(st.integers(1, len(wanted)))
    shortened = resolve(folders, wanted[:length])
    assert wanted in shortened.candidates
    assert shortened.is_ambiguous == (len(shortened.candidates) > 1)
    assert all(folder.startswith(wanted[:length]) for folder in shortened.candidates)


@given(folders, st.text(max_size=20))
def test_any_text_has_an_answer_that_names_only_folders_that_are_there(
    folders: list[str], wanted: str
) -> None:
    meant = resolve(folders, wanted)
    assert set(meant.candidates) <= set(folders)
    assert not (meant.candidates and meant.suggestion)
