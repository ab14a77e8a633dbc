"""The command that a person is told to run again means what they typed."""

import shlex

from hypothesis import given
from hypothesis import strategies as st

from hpc.command_line.cli import build_parser
from hpc.command_line.same_command import same_command
from hpc.submit import VERB

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda text: text.strip() and not text.startswith("-")
)
numbers = st.integers(1, 10**6)
values = {
    "--limit": numbers,
    "--canary": numbers,
    "--stratify": words,
    "--only-labeled-by": words,
    "--where": words,
    "--retry-unlabelable": words,
    "--sample-name": words,
    "--seed": st.integers(0, 10**6),
    "--after": st.lists(numbers, min_size=1, max_size=3).map(lambda jobs: ",".join(map(str, jobs))),
}
flags = st.sets(st.sampled_from(["--backfill", "--wait", "--dry-run"]))


@given(
    st.lists(words, max_size=3),
    st.fixed_dictionaries({}, optional=values),
    flags,
    words,
)
def test_it_parses_to_the_same_options(
    overrides: list[str], given_values: dict[str, object], switches: set[str], config: str
) -> None:
    parser = build_parser([VERB])
    typed = ["submit", "--config", config, *(w for text in overrides for w in ("--set", text))]
    typed += [word for name, value in given_values.items() for word in (name, str(value))]
    options = parser.parse_args([*typed, *switches])
    shown = shlex.split(same_command("submit", vars(options)))
    assert shown[0] == "hpc"
    assert vars(parser.parse_args(shown[1:])) == vars(options)
