"""What people read about posts of a name's runs that are not among its labels."""

from hpc.runs.missing_posts import ORDER, describe_missing, describe_open


def test_posts_without_a_result_are_counted_with_what_follows() -> None:
    assert describe_missing("test", 2, "cannot be drawn") == (
        "2 posts of the runs of test have no published result yet and cannot be drawn. "
        f"The missing posts are no random part of all posts: {ORDER}"
    )


def test_one_post_is_written_about_as_one() -> None:
    words = describe_missing("test", 1, "cannot be drawn")
    assert words.startswith("1 post of the runs of test has no published result yet and cannot be ")


def test_a_comparison_names_each_kind_of_post_that_it_leaves_out() -> None:
    assert describe_open("llm", not_gathered=0, missing=0) == []
    assert describe_open("llm", not_gathered=1, missing=3) == [
        "left out: 1 post of llm that this database does not have yet. Gather first, with "
        "hpc gather",
        describe_missing("llm", 3, "cannot be compared"),
    ]
