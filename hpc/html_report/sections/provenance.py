"""Describe which runs the labels come from, and how to check that nothing has changed. Pure."""

from hpc.html_report.elements import Element, Paragraph, Preformatted, Section, Table
from hpc.html_report.facts import SubjectFacts
from hpc.html_report.wording import format_time
from pipeline.text import counted

MOST_RUNS = 200
_DIGITS_OF_COMMIT = 12
_DIGEST = "sha256sum *.parquet | sha256sum"


def describe_provenance(facts: SubjectFacts) -> Section:
    """Return the runs, their labeling setups and the digests of their outputs."""
    runs = facts.runs[-MOST_RUNS:]
    elements: list[Element] = [
        Table(
            caption="Runs, oldest first",
            header=(
                "run", "made", "state", "posts", "shards", "labeling setup", "version", "commit",
            ),
            rows=tuple(
                (
                    run.run_id,
                    format_time(run.created_at),
                    run.state,
                    f"{run.posts_published:,} of {run.posts:,}",
                    f"{run.shards_published:,} of {run.shards:,}",
                    run.config_hash,
                    run.version,
                    run.commit[:_DIGITS_OF_COMMIT] or "–",
                )
                for run in runs
            ),
            numbers=frozenset({3, 4}),
        )
    ]  # fmt: skip
    if len(facts.runs) > len(runs):
        left_out = counted(len(facts.runs) - len(runs), "older run")
        elements.append(Paragraph(f"The table leaves out {left_out}."))
    if facts.adoptions:
        elements += _adoptions(facts)
    digests = [(run.run_id, run.outputs_digest) for run in runs if run.outputs_digest]
    if digests:
        elements += [
            Paragraph(
                "The digest of a run is the SHA-256 of the list of its outputs with their own "
                "SHA-256. In the run's folder, this prints it:"
            ),
            Preformatted(f"cd outputs && {_DIGEST}"),
            Paragraph(
                "A run that hpc clean has archived has a file, archive.zip, and no such folder. "
                "Beside that file, this prints the same:"
            ),
            Preformatted(
                f"unzip -q archive.zip 'outputs/*' -d copy && cd copy/outputs && {_DIGEST}"
            ),
            Table(
                caption="Digests of the published labels",
                header=("run", "SHA-256"),
                rows=tuple(digests),
            ),
        ]
    return Section(title="Provenance", anchor="provenance", elements=tuple(elements))


def _adoptions(facts: SubjectFacts) -> list[Element]:
    """Return what was adopted from another engine."""
    return [
        Paragraph(
            "Another engine gave the labels. The folder adoptions of a run lists the files that "
            "they came from, with their SHA-256."
        ),
        Table(
            caption="Adopted answers, oldest first",
            header=("run", "adoption", "time", "engine", "files", "new answers"),
            rows=tuple(
                (
                    each.run_id,
                    str(each.number),
                    format_time(each.adopted_at),
                    each.engine or "–",
                    f"{each.files:,}",
                    f"{each.answers:,}",
                )
                for each in facts.adoptions[-MOST_RUNS:]
            ),
            numbers=frozenset({1, 4, 5}),
        ),
    ]
