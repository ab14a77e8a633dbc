"""Time limits in Slurm's notation, in a configuration and in a template."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hpc.config import run_config
from hpc.run.cluster.slurm_time import parse_slurm_time
from pipeline.config import strict_yaml


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90), ("90:00", 90), ("90:01", 91), ("4:00:00", 240), ("04:00:30", 241),
        ("2-0", 2880), ("1-12", 2160), ("1-12:00", 2160), ("2-00:00:00", 2880), (" 0:30 ", 1),
    ],
)  # fmt: skip
def test_every_form_of_sbatch_is_read(text: str, minutes: int) -> None:
    assert parse_slurm_time(text) == minutes


@pytest.mark.parametrize("text", ["", "0", "0:00", "4h", "4.5", "-1", "1-", "1:2:3:4", "UNLIMITED"])
def test_other_notations_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="should be a time such as"):
        parse_slurm_time(text)


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59))
def test_days_hours_and_minutes_add_up(days: int, hours: int, minutes: int) -> None:
    total = (days * 24 + hours) * 60 + minutes
    if total:
        assert parse_slurm_time(f"{days}-{hours:02}:{minutes:02}:00") == total


@pytest.mark.parametrize("written", ["4:00:00", "'4:00:00'", "240"])
def test_yaml_reads_a_time_as_it_is_written(written: str) -> None:
    assert str(strict_yaml.read(f"time: {written}")["time"]) == written.strip("'")


@pytest.mark.parametrize("number", ["0", "7", "-7", "1_000", "0x1f", "0o7", "0b11", "017", "1.5",
                                    "-.5", "1.0e+3", ".inf", "1e3"])  # fmt: skip
def test_every_other_number_is_read_as_before(number: str) -> None:
    assert strict_yaml.read(number) == yaml.safe_load(number)


def minutes_of(tmp_path: Path, template: str, **cluster: object) -> int:
    """Return the time limit that a configuration with a template asks for."""
    (tmp_path / "klc.yaml").write_text(template)
    section = {"executor": "slurm", "template": "klc.yaml", **cluster}
    values = {
        "name": "test",
        "backlog": {"source": "posts.jsonl"},
        "classifier": {"type": "valence"},
        "cluster": section,
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(values).replace("'4:00:00'", "4:00:00"))
    return run_config.load(path).cluster.resources.time_min


def test_a_configuration_and_its_template_may_give_the_time_either_way(tmp_path: Path) -> None:
    assert minutes_of(tmp_path, "time: 2-00:00:00") == 2880
    assert minutes_of(tmp_path, "time: 2-00:00:00", time="4:00:00") == 240
    assert minutes_of(tmp_path, "time: 2-00:00:00", time_min=30) == 30
    assert minutes_of(tmp_path, "time_min: 30", time=90) == 90
