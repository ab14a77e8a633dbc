"""Read and write the two files of a job that looks at a node: its order, and what it found.

Both are in a folder of the run root, `.check-…`. The report appears there as the proof that the
node and the login node share the folder.
"""

from collections.abc import Mapping
from typing import Annotated

from pipeline.config.keys import Section, key
from pipeline.model import JsonObject

FOLDER_PREFIX = ".check-"
ORDER, REPORT, LOCK = "order.json", "report.json", "lock"


class NodeOrder(Section, frozen=True, kw_only=True):
    """What to look at on the node."""

    classifier: JsonObject
    """The classifier's options as the manifest keeps them."""
    text: str
    """A post's text, to be labeled; '' for none."""
    wants_gpu: bool
    """Whether the tasks request a GPU."""
    host: str = ""
    """The host of the service; '' if there is none."""
    port: int = 0
    """Its port."""


class NodeReport(Section, frozen=True, kw_only=True):
    """What was found on the node, as far as it has come. Nothing here is a judgement."""

    stage: str
    """What is being looked at now; '' once everything was."""
    node: str
    python: str
    """The interpreter's path."""
    python_version: str
    written_at: float
    """The node's clock when the job began to write, in seconds since 1970."""
    version: str = ""
    """The version of this program there; '' if it cannot be imported."""
    missing: str = ""
    """Which import failed, and how; '' if none did."""
    lock: str = ""
    """How taking a lock ended that the login node holds: `held`, `free`, or an error."""
    free_bytes: int = -1
    free_inodes: int = -1
    """-1 where the file system does not say."""
    lacks: tuple[str, ...] = ()
    """What a task would miss on this node, such as the API key."""
    gpus: tuple[str, ...] = ()
    """The GPUs that the job sees."""
    gpu_problem: str = ""
    """Why no GPU is seen; '' if one is, or none is wanted."""
    reached: str = ""
    """How a connection to the service ended: `yes`, '' if none was tried, or an error."""
    labels: Annotated[Mapping[str, object], key("The labels of the post.")] = {}
    reason: str = ""
    """Why the post has no label, by its classifier."""
    error: str = ""
    """Why the post was not answered."""
    seconds: float = 0.0
    """How long the answer took."""
