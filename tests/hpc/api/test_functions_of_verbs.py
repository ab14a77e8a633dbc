"""Each verb's function returns a frozen value, which a notebook can show."""

import csv
import dataclasses
import shutil
from pathlib import Path

import pytest

from hpc import api
from tests.hpc.api.conftest import CONFIG, POSTS


def test_check_finds_what_is_wrong_and_raises_nothing(project: Path) -> None:
    found = api.check(CONFIG, ask_service=False)
    assert (found.exit_code, found.errors) == (0, ())
    assert {str(each.part) for each in found.findings} >= {"configuration", "source", "database"}
    assert "<table>" in found._repr_html_()


def test_check_tells_wrong_input_from_a_wrong_world(project: Path) -> None:
    assert api.check("none.yaml").exit_code == 2
    assert api.check(CONFIG, overrides={"backlog.source": "none.csv"}).exit_code == 2
    (project / "labels.duckdb").write_text("no database")
    assert api.check(CONFIG, ask_service=False).exit_code == 1


def test_try_posts_shows_answers_and_saves_nothing(project: Path) -> None:
    shutil.copy(CONFIG, "configs/again.yaml")
    before = sorted(project.rglob("*"))
    tried = api.try_posts([CONFIG, "configs/again.yaml"], settings=api.TrySettings(posts=3, seed=7))
    assert (tried.exit_code, len(tried.posts.posts), len(tried.attempts)) == (0, 3, 2)
    first, second = (attempt.answers for attempt in tried.attempts)
    assert {uri: answer.values for uri, answer in first.items()} == {
        uri: answer.values for uri, answer in second.items()
    }
    assert all(agreement.posts == 3 for agreement in tried.agreements)
    assert "<table>" in tried._repr_html_()
    assert sorted(project.rglob("*")) == before


def test_ls_lists_runs_with_those_that_cannot_be_read(project: Path) -> None:
    (run,) = api.runs()
    damaged = shutil.copytree(run.folder, run.folder.with_name("20200101T000000-other-00000000"))
    (damaged / "manifest.json").write_text("no manifest")
    listed = api.ls()
    assert [str(row.kind) for row in listed.rows] == ["unreadable", "run"]
    assert [row.run_id for row in api.ls("valence").rows] == [run.run_id]
    newest = api.ls(most=1)
    assert (len(newest.rows), newest.older) == (1, 1)
    assert run.run_id in listed._repr_html_()
    with pytest.raises(api.InputError):
        api.ls("none")
    assert "no run" in api.ls(at=api.Place(run_root="nowhere"))._repr_html_()


def test_logs_reads_the_attempts_of_shards(project: Path) -> None:
    found = api.logs(indices=[1, 0])
    assert [(shard.index, shard.state) for shard in found.shards] == [
        (0, api.State.DONE), (1, api.State.DONE),
    ]  # fmt: skip
    for shard in found.shards:
        (attempt,) = shard.attempts
        assert (attempt.attempt, attempt.cause) == (1, None)
        assert attempt.log is not None
        assert attempt.log.is_file()
    assert "shard 0" in found._repr_html_()
    with pytest.raises(api.InputError):
        api.logs(indices=[3])


def test_logs_without_shards_are_those_of_failed_ones(project: Path) -> None:
    assert (api.logs().groups, api.logs().shards) == ((), ())


def test_clean_shows_first_and_restore_undoes_it(project: Path) -> None:
    api.gather()
    shown = api.clean()
    assert (shown.is_done, len(shown.to_archive), shown.exit_code) == (False, 1, 0)
    assert api.labels("valence").num_rows == POSTS
    cleaned = api.clean(archive=True)
    assert (cleaned.is_done, cleaned.to_archive, cleaned.failures) == (True, shown.to_archive, {})
    assert api.labels("valence").num_rows == POSTS
    (run_id,) = cleaned.to_archive
    restored = api.restore(run_id)
    assert restored.files.keys() == {run_id}
    assert api.status(run_id).is_complete
    with pytest.raises(api.InputError):
        api.restore()


def test_a_run_that_has_to_stay_is_a_failure_only_if_it_was_named(project: Path) -> None:
    (run,) = api.runs()
    shard = run.folder / "outputs" / "00000.parquet"
    shard.unlink()
    assert api.clean(archive=True).exit_code == 0
    assert api.clean(run, archive=True).exit_code == 1
    assert api.clean(older_than_days=1).plans == ()


def test_report_writes_a_page(project: Path) -> None:
    written = api.report("valence", to="page.html")
    assert (written.exit_code, written.posts_missing) == (0, 0)
    assert written.file.stat().st_size == written.size
    assert [each.title for each in written.subjects] == ["valence"]
    assert api.report().file == project / "report-valence.html"


def coded(path: Path, to: str, *, wrong: int = 0) -> Path:
    """Code a sample: everything is good, but the first posts are not."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        row["good"] = "no" if number < wrong else "yes"
    target = path.with_name(to)
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return target


def test_gold_imports_what_two_people_coded(project: Path) -> None:
    drawn = api.sample("valence", "sheet.csv", 10, settings=api.SampleSettings(labels="good:bool"))
    files = [coded(drawn.files[0], "anna.csv"), coded(drawn.files[0], "ben.csv", wrong=2)]
    settings = api.GoldSettings(coders=["anna", "ben"])
    with pytest.raises(api.InputError, match="resolve='majority'"):
        api.gold(files, "gold", settings=settings)
    settings = dataclasses.replace(settings, resolve="first")
    lines: list[str] = []
    imported = api.gold(files, "gold", settings=settings, say=lines.append)
    assert (imported.is_new, imported.posts, imported.coded, imported.is_gathered) == (
        True, 10, 10, True,
    )  # fmt: skip
    assert (len(imported.disagreements), imported.undecided) == (2, ())
    assert [each.identical for each in imported.agreement] == [8]
    assert any("Krippendorff" in line for line in lines)
    assert set(api.labels("gold", columns=["good"])["good"].to_pylist()) == {True}
    assert not api.gold(files, "gold", settings=settings).is_new
    with pytest.raises(api.InputError):
        api.gold(files, "gold", settings=api.GoldSettings(coders=["anna"]))
    with pytest.raises(api.InputError):
        api.gold([], "gold")
    query = api.EstimatorQuery(purpose="ppi", gold="gold", maps=["compound=good"])
    table = api.export_for_estimator("valence", "table.csv", query)
    assert (table.labels, table.exit_code, "weight" in table.columns) == (("good",), 0, True)
    for wrong in ({"purpose": "pip"}, {"gold": "nobody"}):
        with pytest.raises(api.InputError):
            api.export_for_estimator("valence", "b.csv", dataclasses.replace(query, **wrong))
    with pytest.raises(api.InputError, match="replace"):
        api.export_for_estimator("valence", "table.csv", query)


def test_watch_and_efficiency_look_at_a_run(project: Path) -> None:
    seen: list[api.StatusResult] = []
    assert api.watch(progress=seen.append).is_complete
    assert seen == []
    used = api.efficiency()
    assert len(used.efficiency.published) == len(api.status().shards)
    assert used.advice.lines == ()


@pytest.mark.parametrize("name", api.__all__)
def test_every_value_of_the_library_is_frozen(name: str) -> None:
    value = getattr(api, name)
    if dataclasses.is_dataclass(value):
        assert value.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_what_a_notebook_shows_as_text_is_short(project: Path) -> None:
    results = [
        api.check(CONFIG, ask_service=False), api.ls(), api.logs(indices=[0]), api.clean(),
        api.try_posts(CONFIG, settings=api.TrySettings(posts=1)), api.audit(CONFIG),
        api.runs()[0], api.status(), api.gather(), api.preview(CONFIG), api.cancel(),
        api.resubmit(), api.sample("valence", "a.csv", 5), api.report(),
        api.export("valence", "a.parquet"),
    ]  # fmt: skip
    for result in results:
        text = repr(result).replace(str(project), "")
        assert len(text) < 300, text
        assert text.startswith(type(result).__name__)


def test_explain_post_says_what_happened_to_one_post(project: Path) -> None:
    uri = str(api.labels("valence", "uri")["uri"][0])
    labeled = api.explain_post(CONFIG, uri)
    assert (labeled.has_row, labeled.exit_code) == (True, 0)
    assert uri in labeled._repr_html_()
    assert labeled.history == labeled.story
    assert not api.explain_post(CONFIG, "at://none").has_row
