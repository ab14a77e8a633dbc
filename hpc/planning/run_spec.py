"""Specify a new run: a validated configuration, and which posts it is for."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import InitVar, dataclass, replace
from datetime import datetime

import msgspec

from hpc.config.run_config import Config
from hpc.executors.base import ExecutorError
from hpc.executors.factory import apply_shell, create_executor
from hpc.planning.fingerprint import LabelSpec, differing_keys
from hpc.run.cluster.resources import Cluster, ExecutorName
from hpc.run.model.run import Run
from hpc.run.retry_policy import RetryPolicy
from pipeline.classifiers import frozen_classifier
from pipeline.config.check import Problem, Problems
from pipeline.database.supersede import OTHER_CONFIG, UNLABELABLE
from pipeline.errors import InputError
from pipeline.model import Column, JsonObject
from pipeline.run_files.manifest import EXTERNAL
from pipeline.run_files.portable_paths import with_real_paths
from pipeline.sampling.draw import DrawRequest
from pipeline.usage import CostOptions, cost_options

# Slurm's default of MaxArraySize, for a plan that is made without a cluster.
USUAL_ARRAY_SIZE = 1001
# How long a plan waits for the cluster, which it can do without. A submit waits for longer.
PREVIEW_PATIENCE_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpec:
    """A validated configuration: all of a new run's manifest except its shards."""

    config: Config
    classifier: JsonObject
    """The classifier's options as the manifest keeps them."""
    columns: tuple[Column, ...]
    """The label columns, as far as they are known before a task runs."""
    array_size: int
    """How many indices one array may hold on this cluster."""
    notes: tuple[str, ...] = ()
    """What the user's shell decided about the run."""
    lacks: tuple[Problem, ...] = ()
    """What this shell or machine lacks, such as the API key; only a preview does without it."""
    cluster_trouble: str = ""
    """Why the cluster does not answer, so that `array_size` is a guess; '' if it does."""

    @property
    def label_spec(self) -> LabelSpec:
        """What decides a label."""
        return LabelSpec(
            classifier=frozen_classifier.what_decides(self.classifier),
            min_text_length=self.config.backlog.min_text_length,
        )

    @property
    def cost_options(self) -> CostOptions:
        """What the classifier's options say about cost."""
        return cost_options(self.classifier)

    @property
    def service_end(self) -> datetime | None:
        """When the classifier's service ends for good; None if no end is announced."""
        return frozen_classifier.service_end(self.classifier)

    @property
    def executor(self) -> ExecutorName:
        """Which executor runs the tasks."""
        return self.config.cluster.executor

    def differing_keys(self, run: Run) -> list[str]:
        """Return the keys that a run was given other values for, sorted.

        Only keys that may be why a run fails: where runs and labels go is not compared.
        """
        manifest, config = run.manifest, self.config
        theirs = _settings(manifest.classifier, run.cluster, run.retry, manifest.min_text_length)
        mine = _settings(
            self.classifier, config.cluster, config.retry, config.backlog.min_text_length
        )
        return differing_keys(mine, theirs)


def _settings(
    classifier: JsonObject, cluster: Cluster, retry: RetryPolicy, min_text_length: int
) -> dict[str, object]:
    """Return values by the path of their key."""
    # How often and how patiently a run is looked at makes no task fail.
    looking = ("grace_seconds", "poll_seconds")
    sections = {
        "classifier": classifier,
        "cluster": {k: v for k, v in cluster.to_json().items() if k not in looking},
        "retry": retry.to_json(),
        "backlog": {"min_text_length": min_text_length},
    }
    # As JSON, like a manifest: with lists instead of tuples.
    return dict(_flatten(with_real_paths(json.loads(json.dumps(sections)))))


def _flatten(values: JsonObject, path: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if not isinstance(value, dict):
            yield path + key, value
        elif key == "resources":  # a configuration has these beside the other keys
            yield from _flatten(value, path)
        else:
            yield from _flatten(value, f"{path}{key}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Canary:
    """A small run before all other posts."""

    posts: int
    """How many posts it has, at most."""
    goes_on: bool = False
    """Whether the other posts follow at once if it goes well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which posts a new run takes. By default: all without a label since the watermark."""

    backfill: bool = False
    """Also take posts from before the watermark."""
    limit: int | None = None
    """Take the oldest posts only, at most this many."""
    supersede: bool = False
    """Also take posts that another configuration labeled under this name."""
    retry_reason: str | None = None
    """Also take posts that could not be labeled for this reason."""
    only_labeled_by: str | None = None
    """Take only posts that have a label under this other name, whatever their age.
    `only_labelled_by`, its former spelling, still works."""
    only_labelled_by: InitVar[str | None] = None
    where: str | None = None
    """Take only those of them whose labels fulfill this condition, in SQL."""
    sample: DrawRequest | None = None
    """Take only a random sample of the posts, whatever their age."""
    sample_name: str | None = None
    """The name of the sample; without `sample`, one that exists."""
    after: tuple[str, ...] = ()
    """Ids of Slurm jobs that have to succeed before the run's first task starts."""
    canary: Canary | None = None
    """First take only the first posts of all these, to measure what the others will take."""
    not_of_runs: frozenset[str] = frozenset()
    """Ids of runs whose posts are left out, even if they count as posts to retry."""
    without: frozenset[str] = frozenset()
    """Ids of runs that do not count, because they are about to be discarded."""

    def __post_init__(self, only_labelled_by: str | None) -> None:
        """Accept the former spelling of `only_labeled_by`.

        Raises:
            InputError: both spellings are used.
        """
        if only_labelled_by is None:
            return
        if self.only_labeled_by is not None:
            raise InputError("only_labeled_by and only_labelled_by mean the same: use one of them")
        object.__setattr__(self, "only_labeled_by", only_labelled_by)

    @property
    def replaces(self) -> str:
        """Which rows of the database the run's labels replace; '' for none."""
        if self.supersede:
            return OTHER_CONFIG
        return UNLABELABLE if self.retry_reason else ""

    @property
    def is_whole(self) -> bool:
        """Whether the run looks at the backlog from its beginning."""
        return self.backfill or bool(self.replaces or self.chooses)

    @property
    def chooses(self) -> bool:
        """Whether the run leaves out posts by other labels or by chance.

        Such a run does not move the watermark.
        """
        return bool(self.only_labeled_by or self.sample or self.sample_name)


def validate(
    config: Config,
    shell: Mapping[str, str] | None = None,
    *,
    is_preview: bool = False,
    problems: Problems | None = None,
) -> RunSpec:
    """Check all that can be checked before anything is read or spent.

    Args:
        config: the configuration.
        shell: the environment of the user's shell, which may say where tasks run if the
            configuration does not; by default, it says nothing.
        is_preview: whether nothing will be submitted, so that the plan may lack the API key and
            what only the cluster knows.
        problems: gets what is wrong with the classifier, which only checks may use then that never
            ask it; None: that is an error.

    Raises:
        InputError: the configuration is wrong.
        RunError: Slurm does not answer.
    """
    found = config.new_problems() if problems is None else problems
    classifier = config.classifier.freeze(found)
    if problems is None:
        found.raise_any(but_lacks=is_preview)
    cluster, notes = apply_shell(config.cluster, shell or {})
    if config.classifier.kind == EXTERNAL:  # no task runs, so no cluster is asked
        cluster = msgspec.structs.replace(config.cluster, executor=ExecutorName.LOCAL)
        notes = ()
    trouble = ""
    try:
        executor = (
            create_executor(cluster, patience_s=PREVIEW_PATIENCE_S)
            if is_preview
            else create_executor(cluster)
        )
        array_size = executor.array_size()
    except ExecutorError as error:
        if not is_preview:
            # What the shell decides may be why the cluster does not answer.
            message = "\n  ".join([str(error), *notes])
            raise ExecutorError(message, error.words) from error
        array_size, trouble = USUAL_ARRAY_SIZE, error.brief
    return RunSpec(
        config=replace(config, cluster=cluster),
        notes=notes,
        classifier=config.classifier.checkable(classifier, found),
        columns=classifier.columns,
        array_size=array_size,
        lacks=found.lacks,
        cluster_trouble=trouble,
    )
