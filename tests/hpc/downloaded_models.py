"""Stand in for the models that configurations expect in a folder: their labels, and no weights."""

import json
from pathlib import Path

# By the folder that a configuration names.
LABELS = {
    "models/Toxicity-Lens": (
        "TOXICITY",
        "SEVERE_TOXICITY",
        "IDENTITY_ATTACK",
        "INSULT",
        "PROFANITY",
        "THREAT",
        "SEXUALLY_EXPLICIT",
    )
}


def download(project: Path) -> None:
    """Put them into a project's folder, as far as the login node reads them."""
    for name, labels in LABELS.items():
        folder = project / name
        folder.mkdir(parents=True)
        config = {"id2label": dict(enumerate(labels)), "model_type": "modernbert"}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "tokenizer.json").write_text("{}")
        (folder / "model.safetensors").touch()
