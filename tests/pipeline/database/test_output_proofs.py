"""Outputs are compared with the bytes that were gathered."""

import hashlib
from pathlib import Path

import pytest

from pipeline.database import output_proofs

FILES = 3 * output_proofs.READERS + output_proofs._FIRST


@pytest.mark.parametrize("few_waits", [0.0, float("inf")], ids=["in_threads", "in_turn"])
def test_files_with_other_bytes_and_unreadable_ones_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_waits: float
) -> None:
    monkeypatch.setattr(output_proofs, "_FEW_WAITS", few_waits)
    recorded = {}
    for number in range(FILES):
        path = tmp_path / f"{number}.parquet"
        # Some take several reads.
        path.write_bytes(bytes([number]) * (1 if number % 9 else 3 << 15))
        recorded[number] = (str(path), hashlib.sha256(path.read_bytes()).hexdigest())
    (tmp_path / "1.parquet").write_bytes(b"x")
    (tmp_path / "2.parquet").unlink()
    (tmp_path / f"{FILES - 2}.parquet").unlink()
    (tmp_path / f"{FILES - 2}.parquet").mkdir()
    with (tmp_path / f"{FILES - 1}.parquet").open("ab") as stream:
        stream.write(b"x")
    assert output_proofs.find_unchanged(recorded) == set(range(FILES)) - {
        1,
        2,
        FILES - 2,
        FILES - 1,
    }
