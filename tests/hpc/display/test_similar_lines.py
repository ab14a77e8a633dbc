"""Lines that differ in numbers only are shown once, with a count."""

from hpc.display.similar_lines import describe_similar

STALE = [f"outputs/{number:05d}.parquet: stale" for number in range(8)]
DENIED = [f"logs/{number:04d}: denied" for number in range(2)]


def test_the_first_lines_of_each_kind_are_followed_by_the_count_of_the_others() -> None:
    assert describe_similar([*STALE, *DENIED], "file", most=20) == [
        *STALE[:3],
        "and 5 more files with the same problem",
        *DENIED,
    ]
    assert describe_similar(STALE, "file", most=20, of_a_kind=1) == [
        STALE[0],
        "and 7 more files with the same problem",
    ]


def test_one_more_line_of_a_kind_is_shown_rather_than_counted() -> None:
    assert describe_similar(STALE[:4], "file", most=20) == STALE[:4]
    assert describe_similar([], "file", most=20) == []


def test_kinds_that_find_no_room_are_counted_together() -> None:
    other = [f"{letter}: gone" for letter in "abcdefg"]
    assert describe_similar([*other, *STALE], "file", most=6) == [*other[:6], "and 9 more files"]
