"""The only door to the Hugging Face hub: a model's files at one commit, as a folder."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pipeline.classifiers.transformers.model_folder import DECIDING, BadModel, describe
from pipeline.errors import Cause, TaskError


def fetch(name: str, commit: str) -> Path:
    """From the cache where it is whole there, which asks nobody: 200 tasks that start at once would
    be 200 questions. Else downloaded, without what is a program (pickles, code).

    Raises TaskError: refused where there is no such model, commit or permission; crashed, which
    is tried again, where the hub does not answer.
    """
    try:
        return _cached(name, commit) or _download(name, commit, local_files_only=False)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise TaskError(
            Cause.REFUSED,
            f"the hub has no model {name} at {commit}, or does not show it without a token (hf "
            f"auth login): {_first_line(error)}",
        ) from None
    # httpx's HTTPError, of its answers and of the way there: a proxy's error, and before version 2
    # a refused connection too, come as they are.
    except (LocalEntryNotFoundError, EntryNotFoundError, HTTPError) as error:
        raise TaskError(
            Cause.CRASHED,
            f"{name} cannot be fetched from the hub: {_first_line(error)}; where compute nodes "
            f"have no internet: hf download {name} --revision {commit} on the login node, and "
            "HF_HOME, in cluster.setup too, on a file system that the nodes see",
        ) from None


def _cached(name: str, commit: str) -> Path | None:
    try:
        folder = _download(name, commit, local_files_only=True)
        describe(folder, multi_label=True)
    except (LocalEntryNotFoundError, BadModel):
        return None
    return folder


def _download(name: str, commit: str, *, local_files_only: bool) -> Path:
    return Path(
        snapshot_download(
            name,
            revision=commit,
            allow_patterns=list(DECIDING),
            local_files_only=local_files_only,
        )
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
