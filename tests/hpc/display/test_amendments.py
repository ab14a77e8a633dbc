"""How a correction is described to people."""

import pytest

from hpc.display.run.amendments import describe_changes
from pipeline.run_files.amendments import Change


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("a", None, ["cluster.extra: a → none"]),
        (["x"], [], ["cluster.extra: [x] → none"]),
        (None, {"p": 1, "q": "b"}, ["cluster.extra.p: none → 1", "cluster.extra.q: none → b"]),
        ({"p": 1, "q": 2}, {}, ["cluster.extra.p: 1 → none", "cluster.extra.q: 2 → none"]),
        ({"p": 1, "q": 2}, {"p": 1, "q": 3}, ["cluster.extra.q: 2 → 3"]),
    ],
)
def test_only_what_changed_is_shown_key_by_key(old: object, new: object, lines: list[str]) -> None:
    change = Change(key="cluster.extra", place="cluster.resources.extra", old=old, new=new)
    assert describe_changes([change]) == lines
