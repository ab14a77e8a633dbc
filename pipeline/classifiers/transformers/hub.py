"""Fetch a model's files at one commit from the Hugging Face hub: the only door to it."""

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
    """Return the folder of a model.

    A model that is complete in the cache is not downloaded, and nobody is asked: 200 tasks that
    start at once would send 200 requests. Files that contain programs (pickles, code) are never
    downloaded.

    Raises:
        TaskError: there is no such model, commit or permission (refused), or the hub does not
            answer (unavailable, which is retried later).
    """
    try:
        return _find_cached(name, commit) or _download(name, commit, local_files_only=False)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise TaskError(
            Cause.REFUSED,
            f"the hub has no model {name} at {commit}, or hides it from requests without a token "
            f"(hf auth login): {_first_line(error)}",
        ) from None
    # HTTPError is httpx's, for replies and for connections. huggingface_hub does not wrap a proxy's
    # error, nor, before version 2, a refused connection.
    except (LocalEntryNotFoundError, EntryNotFoundError, HTTPError) as error:
        raise TaskError(
            Cause.UNAVAILABLE,
            f"{name} cannot be downloaded from the hub: {_first_line(error)}. If compute nodes "
            f"have no internet, run hf download {name} --revision {commit} on the login node, with "
            "HF_HOME (in cluster.setup too) on a file system that the nodes see",
        ) from None


def _find_cached(name: str, commit: str) -> Path | None:
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
