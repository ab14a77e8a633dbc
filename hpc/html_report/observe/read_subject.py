"""Read all that a page says about one name or run."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from hpc.adoption import adoption_record
from hpc.database.published_labels import published_labels
from hpc.html_report.facts import (
    AdoptionFacts,
    LabelColumn,
    LabelCounts,
    RunCosts,
    RunSpeed,
    SubjectFacts,
)
from hpc.html_report.labeling_setup import free_texts_of, setups_of, without_paths
from hpc.html_report.observe.labels_view import labels_view
from hpc.html_report.observe.read_columns import read_columns
from hpc.html_report.observe.read_counts import count_posts_of_others, read_counts
from hpc.html_report.observe.read_missing import inputs_without_output
from hpc.html_report.observe.read_runs import read_runs
from hpc.html_report.observe.read_sample import read_sample
from hpc.html_report.observe.read_speed import read_costs, read_speeds
from hpc.html_report.subjects import Chosen
from hpc.run.model.run import Run, Say
from pipeline import files
from pipeline.errors import RunError


@dataclass(frozen=True, kw_only=True, slots=True)
class _Labels:
    """What was read of the labels themselves."""

    counts: LabelCounts = field(default_factory=LabelCounts)
    columns: tuple[LabelColumn, ...] = ()
    speeds: tuple[RunSpeed, ...] = ()
    costs: tuple[RunCosts, ...] = ()
    posts_of_gone_runs: int = 0


def read_subject(chosen: Chosen, folder: Path, say: Say) -> SubjectFacts:
    """Return what is known about a name or run.

    Args:
        chosen: the name or run.
        folder: where a copy of labels that are not gathered can be written for a while.
        say: shows what is left out.

    Raises:
        RunError: the database is damaged, or of another program.
        OSError: the disk is full.
    """
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    trusted, unreadable = _leave_out_unreadable(chosen.place.trusted_runs(chosen.name, say))
    only = chosen.run.run_id if chosen.run else ""
    runs = [run for run in trusted if only in ("", run.run_id)]
    sample, weights = read_sample(runs)
    run_facts, attempts = read_runs(runs, chosen.place.database)
    with published_labels(chosen.place.database, chosen.name, trusted, folder) as published:
        labels = _read_labels(
            published.database,
            chosen,
            runs,
            weights,
            # What submit counts as the future, at the latest submit.
            until=max((_in_utc(each.created_at) for each in run_facts), default=now),
        )
    problems = (*unreadable, *published.problems)
    for problem in problems:
        say(problem)
    return SubjectFacts(
        name=chosen.name,
        run_id=only,
        generated_at=now,
        runs=run_facts,
        counts=_with_public_models(labels.counts),
        setups=setups_of(runs),
        sample=sample,
        columns=labels.columns,
        attempts=attempts,
        speeds=labels.speeds,
        costs=labels.costs,
        adoptions=_read_adoptions(runs),
        posts_of_gone_runs=labels.posts_of_gone_runs,
        is_coded_by_people=bool(runs) and all(run.manifest.is_coded_by_people for run in runs),
        problems=tuple(map(without_paths, problems)),
    )


def _leave_out_unreadable(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Return the runs whose archives can be read, if they have one, and why others cannot be."""
    readable, problems = [], []
    for run in runs:
        try:
            files.names_in(run.folder / "outputs")
        except RunError as error:
            problems.append(str(error))
        else:
            readable.append(run)
    return readable, problems


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _read_adoptions(runs: Sequence[Run]) -> tuple[AdoptionFacts, ...]:
    return tuple(
        AdoptionFacts(
            run_id=run.run_id,
            number=adoption.number,
            adopted_at=datetime.fromisoformat(adoption.adopted_at),
            engine=without_paths(adoption.engine),
            files=len(adoption.files),
            answers=adoption.answers,
        )
        for run in runs
        if run.manifest.is_labeled_elsewhere
        for adoption in adoption_record.read_all(run.folder)
    )


def _read_labels(
    database: Path,
    chosen: Chosen,
    runs: Sequence[Run],
    weights: pa.Table | None,
    until: datetime,
) -> _Labels:
    run_id = chosen.run.run_id if chosen.run else ""
    with labels_view(
        database,
        chosen.name,
        run_id=run_id,
        weights=weights,
        until=until,
        limits=chosen.place.limits,
    ) as connection:
        if connection is None:
            return _Labels()
        counts = read_counts(connection, until, inputs_without_output(runs))
        if not counts.posts:
            return _Labels()
        return _Labels(
            counts=counts,
            columns=read_columns(connection, counts.post_period, free_texts_of(runs)),
            # When another engine gave its answers is not known, only when they were adopted.
            speeds=read_speeds(
                connection, [run.run_id for run in runs if not run.manifest.is_labeled_elsewhere]
            ),
            costs=read_costs(connection),
            posts_of_gone_runs=count_posts_of_others(connection, [run.run_id for run in runs]),
        )


def _with_public_models(counts: LabelCounts) -> LabelCounts:
    """Return counts with the names of models that are no paths of this machine."""
    models = tuple((without_paths(model), posts) for model, posts in counts.models)
    return replace(counts, models=models)
