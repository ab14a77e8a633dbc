"""Write the task list of a run for the engine that labels it: a line for each shard.

Everything in it follows from the manifest. Paths are relative to the run's folder, which may be
copied to another machine.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from pipeline import files
from pipeline.classifiers import frozen_classifier
from pipeline.model import KIND_TYPES, Column
from pipeline.run_files.manifest import ANSWERS, Manifest, output_name, shard_path

TASKS = "tasks.jsonl"
README = """\
This folder is one run of a batch classification. Another engine labels its posts.

manifest.json says what the run is. shards/ holds its posts in Parquet files, and tasks.jsonl has a
line for each of them: the file, its posts and SHA-256, where the answers are expected, and in which
columns. In tasks.jsonl, paths are relative to this folder. A post whose column `reason` is not
null, and one whose text is too short, needs no answer.

The engine writes its answers to answers/, as Parquet or JSON Lines (.jsonl, .jsonl.gz): the uri of
a post and its labels in each row, in any order, in as many files as it likes. Then run
`hpc adopt` with that folder. It checks every answer, publishes complete shards in outputs/, and
notes in adoptions/ which files these came from. work/ holds the answers so far of shards that are
not complete. Keep all of this except answers/, which may go once the run is complete.

`hpc cancel` moves the run aside if nothing of it was adopted, so that its posts are free again.
"""


def write_hand_over(folder: Path, manifest: Manifest) -> None:
    """Write the task list and the README of a new run, and make the folder for its answers."""
    (folder / ANSWERS).mkdir()
    files.write_text(folder / TASKS, "".join(f"{json.dumps(task)}\n" for task in tasks(manifest)))
    files.write_text(folder / "README", README)


def tasks(manifest: Manifest) -> list[dict[str, object]]:
    """Return the lines of the task list."""
    columns = describe_columns(frozen_classifier.declared_columns(manifest.classifier))
    return [
        {
            "shard": shard.index,
            "input": str(shard_path(Path(), shard.index)),
            "posts": shard.posts,
            "sha256": shard.sha256,
            "output": f"{ANSWERS}/{output_name(shard.index)}",
            "columns": columns,
        }
        for shard in manifest.shards
    ]


def describe_columns(columns: tuple[Column, ...]) -> Mapping[str, str]:
    """Return the columns of an answer with their types, as Arrow names them."""
    return {
        "uri": "string",
        **{column.name: str(KIND_TYPES[column.kind].arrow) for column in columns},
    }
