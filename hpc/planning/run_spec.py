"""What a submission agrees to: a configuration checked and frozen, and which posts it is for."""

from dataclasses import dataclass

from hpc.executors.slurm.client import Slurm
from hpc.planning.fingerprint import LabelSpec
from hpc.run.resources import ExecutorName
from hpc.run.run_config import Config
from pipeline.backlog import shards
from pipeline.classifiers import base
from pipeline.database.supersede import OTHER_CONFIG, UNLABELABLE
from pipeline.model import JsonObject

# The local executor has no limit on an array's index; one array holds any run.
LOCAL_ARRAY_SIZE = shards.MAX_SHARDS


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpec:
    """A configuration checked and frozen: what the run's manifest will say beside its shards."""

    config: Config
    classifier: JsonObject
    array_size: int

    @property
    def question(self) -> LabelSpec:
        """What decides a label, as far as the configuration does."""
        return LabelSpec(
            classifier=base.what_decides(self.classifier),
            min_text_length=self.config.backlog.min_text_length,
        )

    @property
    def is_local(self) -> bool:
        return self.config.cluster.executor is ExecutorName.LOCAL


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which of the posts without a label: those since the watermark, or (`backfill`) all of them;
    of these the oldest `limit`. `supersede` adds those whose label another configuration gave,
    `retry_reason` those that could not be labelled for that reason. `only_labelled_by` keeps those
    that have a label under another name, of whatever age. Runs of these ids do not count
    (`without`)."""

    backfill: bool = False
    limit: int | None = None
    supersede: bool = False
    retry_reason: str | None = None
    only_labelled_by: str | None = None
    without: frozenset[str] = frozenset()

    @property
    def replaces(self) -> str:
        if self.supersede:
            return OTHER_CONFIG
        return UNLABELABLE if self.retry_reason else ""

    @property
    def is_whole(self) -> bool:
        """Whether the backlog is looked at from its beginning."""
        return self.backfill or bool(self.replaces or self.only_labelled_by)


def validate(config: Config, slurm: Slurm) -> RunSpec:
    """Checks all that can be checked before anything is read or spent.

    Raises InputError for what is wrong in the configuration, RunError where Slurm is not there.
    """
    classifier = base.freeze(config.classifier)
    is_local = config.cluster.executor is ExecutorName.LOCAL
    return RunSpec(
        config=config,
        classifier=classifier,
        array_size=LOCAL_ARRAY_SIZE if is_local else slurm.array_size(),
    )
