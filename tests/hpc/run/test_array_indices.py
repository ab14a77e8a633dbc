"""Lists of array indices and job ids, as Slurm prints them and people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.run.array_indices import (
    LARGEST,
    TaskId,
    format_indices,
    parse_indices,
    parse_jobs_to_await,
    parse_task_id,
)

indices = st.sets(st.integers(0, 300), min_size=1, max_size=120)


@given(indices)
def test_what_was_compressed_expands_to_the_same_indices(chosen: set[int]) -> None:
    assert parse_indices(format_indices(chosen)) == tuple(sorted(chosen))


@given(indices)
def test_no_shorter_list_of_ranges_has_the_same_indices(chosen: set[int]) -> None:
    starts = [index for index in chosen if index - 1 not in chosen]
    assert format_indices(chosen).count(",") == len(starts) - 1


@given(st.lists(st.integers(0, 50)), st.randoms())
def test_order_and_repetition_do_not_matter(chosen: list[int], random: object) -> None:
    shuffled = chosen * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert format_indices(shuffled) == format_indices(chosen)


@pytest.mark.parametrize(
    ("chosen", "text"),
    [((), ""), ((3, 7, 8, 9), "3,7-9"), ((0,), "0"), ((0, 1), "0-1"), (range(1000), "0-999")],
)
def test_examples_of_compressed_lists(chosen: tuple[int, ...], text: str) -> None:
    assert format_indices(chosen) == text


@given(st.integers(0, 500), st.integers(0, 60), st.integers(1, 9), st.none() | st.integers(0, 99))
def test_a_stepped_range_includes_its_end(
    first: int, length: int, step: int, throttle: int | None
) -> None:
    text = f"{first}-{first + length}:{step}" + ("" if throttle is None else f"%{throttle}")
    assert parse_indices(text) == tuple(range(first, first + length + 1, step))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3,7-9", (3, 7, 8, 9)),
        (" 7 - 9 ".replace(" - ", "-"), (7, 8, 9)),
        ("3, 7-9, 3", (3, 7, 8, 9)),
        ("0-20:5%3", (0, 5, 10, 15, 20)),
        ("9,8-8,0-2:2", (0, 2, 8, 9)),
        ("007", (7,)),
        (f"{LARGEST}", (LARGEST,)),
    ],
)
def test_examples_of_lists(text: str, expected: tuple[int, ...]) -> None:
    assert parse_indices(text) == expected


@pytest.mark.parametrize(
    "text", ["", ",", "3,", "3;7", "a", "-3", "3-", "3--7", "1.5", "0-4:", "%3"]
)
def test_a_list_with_an_invalid_part_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a list of indices such as 3,7-9$"):
        parse_indices(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1,9-7", "9-7"),
        ("0-4:0", "0-4:0"),
        (f"{LARGEST + 1}", f"{LARGEST + 1}"),
        ("3,0-99999999999", "0-99999999999"),
    ],
)
def test_the_error_for_an_impossible_range_names_it(text: str, part: str) -> None:
    """The last would take all memory before anybody could say that it is a mistake."""
    with pytest.raises(ValueError) as refused:
        parse_indices(text)
    assert str(refused.value) == f"{text!r}: {part} is not a range of indices"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4711", TaskId(4711, None)),
        ("4711_4", TaskId(4711, (4,))),
        ("4711_[4-10%2]", TaskId(4711, (4, 5, 6, 7, 8, 9, 10))),
        ("4711_[4-6,12%2]", TaskId(4711, (4, 5, 6, 12))),
        ("4711_[0-20:5%3]", TaskId(4711, (0, 5, 10, 15, 20))),
        ("4711_[4]", TaskId(4711, (4,))),
        ("4711_[]", TaskId(4711, ())),
        ("4711_[1,3,...]", TaskId(4711, (1, 3), truncated=True)),
        ("4711_[1,3,...%2]", TaskId(4711, (1, 3), truncated=True)),
        ("4711_[...]", TaskId(4711, (), truncated=True)),
        ("4711_[1-5,7-1...]", TaskId(4711, (1, 2, 3, 4, 5), truncated=True)),
        ("4711+1", TaskId(4711, None)),
        ("4711+1.batch", TaskId(4711, None, "batch")),
        ("4711.batch", TaskId(4711, None, "batch")),
        ("4711_4.batch", TaskId(4711, (4,), "batch")),
        ("4711_4.extern", TaskId(4711, (4,), "extern")),
        ("4711_4.0", TaskId(4711, (4,), "0")),
        ("4711_4.interactive", TaskId(4711, (4,), "interactive")),
        ("  4711_4  ", TaskId(4711, (4,))),
    ],
)
def test_every_form_of_a_job_id_is_read(text: str, expected: TaskId) -> None:
    assert parse_task_id(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "JobID", "4711_", "4711_[", "4711_[4", "4711_[a]", "4711_[9-7]", "4711_x", "_4", "4711.",
     "4711_[4-10%2]x", "x4711", "4711 4", "# 4711_4"],
)  # fmt: skip
def test_text_that_is_not_a_job_id_gives_none(text: str) -> None:
    assert parse_task_id(text) is None


@given(st.integers(1, 67_043_328), indices, st.none() | st.integers(1, 50))
def test_a_pending_arrays_id_gives_its_indices(
    job: int, chosen: set[int], throttle: int | None
) -> None:
    limit = "" if throttle is None else f"%{throttle}"
    identity = parse_task_id(f"{job}_[{format_indices(chosen)}{limit}]")
    assert identity == TaskId(job, tuple(sorted(chosen)))


@given(indices, st.integers(0, 200))
def test_a_truncated_list_contains_no_wrong_index(chosen: set[int], length: int) -> None:
    """Cut at "12" of "127", the 12 must not be taken for an index."""
    listed = format_indices(chosen)
    identity = parse_task_id(f"4711_[{listed[:length]}...]")
    assert identity is not None
    assert identity.truncated
    assert identity.indices is not None
    assert identity.indices == tuple(sorted(chosen))[: len(identity.indices)]


@given(st.text(max_size=30))
def test_no_text_makes_the_parser_fail(text: str) -> None:
    identity = parse_task_id(text)
    assert identity is None or identity.job >= 0


job_ids = st.builds(
    lambda job, index: f"{job}" if index is None else f"{job}_{index}",
    st.integers(1, 2**31),
    st.none() | st.integers(0, LARGEST),
)


@given(st.lists(job_ids, min_size=1, max_size=5), st.sampled_from([",", ", ", " ,"]))
def test_jobs_to_await_are_read_in_order_and_each_once(jobs: list[str], comma: str) -> None:
    assert parse_jobs_to_await(comma.join(jobs)) == tuple(dict.fromkeys(jobs))


@pytest.mark.parametrize(
    "text",
    ["", ",", "4711,", "0", "-3", "4711+1", "4711_", "4711_[0-3]", "4711.batch", "afterok:4711",
     "4711:4712", "4711 4712", "4711;beta", "4711_3@beta", "٤٧", "4711_03", "$JOB"],
)  # fmt: skip
def test_what_is_no_list_of_jobs_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="job"):
        parse_jobs_to_await(text)
