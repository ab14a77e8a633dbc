"""Numbers, durations and suggestions, as they stand in sentences."""

import pytest

from pipeline.text import (
    counted,
    did_you_mean,
    estimated_duration,
    format_bytes,
    format_duration,
    format_memory,
)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 copies"), (1, "1 copy"), (1000, "1,000 copies")]
)
def test_a_number_has_its_noun_in_singular_or_plural(number: int, text: str) -> None:
    assert counted(number, "copy", "copies") == text


def test_the_plural_of_most_nouns_is_derived() -> None:
    assert [counted(1, "post"), counted(2, "post")] == ["1 post", "2 posts"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"), (0, "0 s"), (0.2, "1 s"), (27.6, "28 s"), (119, "119 s"), (120, "2 min"),
        (119 * 60, "119 min"), (2 * 3600, "2 h"), (2.5 * 3600, "2.5 h"), (27.8 * 3600, "28 h"),
        (71 * 3600, "71 h"), (95 * 3600, "4 days"), (30 * 86400, "30 days"),
    ],
)  # fmt: skip
def test_a_duration_is_rounded_to_the_nearest_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_an_estimate_below_a_minute_gives_no_number() -> None:
    assert (estimated_duration(59), estimated_duration(90)) == ("less than a minute", "about 90 s")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 bytes"), (999, "999 bytes"), (999.5, "1.0 kB"), (1_500, "1.5 kB"),
        (9_949, "9.9 kB"), (9_950, "10 kB"), (12_345_678, "12 MB"), (999_499_999, "999 MB"),
        (999_500_000, "1.0 GB"), (2.5e12, "2.5 TB"), (4e15, "4,000 TB"),
    ],
)  # fmt: skip
def test_a_number_of_bytes_has_about_two_digits_and_the_next_unit(number: float, text: str) -> None:
    assert format_bytes(number) == text


@pytest.mark.parametrize(
    ("mebibytes", "text"),
    [
        (0, "0 MiB"), (212.4, "212 MiB"), (1023.4, "1023 MiB"), (1023.5, "1 GiB"),
        (1280, "1.25 GiB"), (4096, "4 GiB"), (102_400, "100 GiB"), (2_048_000, "2,000 GiB"),
    ],
)  # fmt: skip
def test_memory_is_in_the_units_in_which_it_is_requested(mebibytes: float, text: str) -> None:
    assert format_memory(mebibytes) == text


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [
        ("memgb", " (did you mean 'mem_gb'?)"),
        ("TIME_MIN", " (did you mean 'time_min'?)"),
        ("zzz", ""),
    ],
)
def test_only_a_close_name_is_suggested(word: str, suggestion: str) -> None:
    assert did_you_mean(word, ("mem_gb", "time_min")) == suggestion
