"""The page in a real browser: inert, without the network, readable in both modes and on a phone."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from hpc.figures.draw_page_chart import draw_page_chart
from hpc.html_report.describe_page import SubjectData, describe_page
from hpc.html_report.elements import Page, Subject
from hpc.html_report.observe.read_speed import fill_gaps
from hpc.html_report.render import render
from hpc.html_report.sections.provenance import describe_provenance
from tests.browser.chromium import Chromium
from tests.hpc.html_report.hostile_page import HOSTILE, hostile_facts, hostile_gold

pytestmark = pytest.mark.chromium
PHONE = 390
WIDTHS = (PHONE, 1280)
SCHEMES = ("light", "dark")
# Relative luminance and contrast, as WCAG 2.2 defines them, of every text on its background.
CONTRASTS = """
(() => {
  const channels = color => color.match(/[\\d.]+/g).map(Number);
  const luminance = color => {
    const [r, g, b] = channels(color).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if ((channels(color)[3] ?? 1) > 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const texts = [], marks = [];
  for (const e of document.querySelectorAll('body *')) {
    const style = getComputedStyle(e), inSvg = e.namespaceURI.endsWith('svg');
    const hasText = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (hasText && !['title', 'desc'].includes(e.localName))
      texts.push([contrast(inSvg ? style.fill : style.color, background(e)), e.textContent]);
    if (inSvg && ['path', 'use'].includes(e.localName) && !e.closest('defs, clipPath')
        && style.fill !== 'none')
      marks.push([contrast(style.fill, background(e)), e.outerHTML.slice(0, 200)]);
  }
  return [texts.filter(t => t[0] < 4.5), marks.filter(m => m[0] < 3), texts.length, marks.length];
})()
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects: with few shards and with many."""
    subjects = [
        SubjectData(
            title=HOSTILE,
            facts=facts,
            steps={speed.run_id: fill_gaps(speed) for speed in facts.speeds},
            golds=(hostile_gold(),),
            gold_notes=(HOSTILE,),
        )
        for facts in (hostile_facts(shards=14), hostile_facts(shards=300))
    ]
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(describe_page(subjects, "0.1.0"), draw_page_chart), encoding="utf-8")
    return path


def test_the_page_requests_nothing_and_reports_no_error(chromium: Chromium, page: Path) -> None:
    events = chromium.open(page)
    requests = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert requests == [page.as_uri()]
    trouble = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    assert [event for event in events if event["method"] in trouble] == []


def test_what_others_wrote_stays_text(chromium: Chromium, page: Path) -> None:
    chromium.open(page)
    assert "owned" in chromium.evaluate("document.querySelector('h1').textContent")
    assert chromium.evaluate("document.title").startswith("Labels: </style>")
    assert chromium.evaluate("document.querySelectorAll('script, img, iframe, link').length") == 0
    assert chromium.evaluate("document.querySelectorAll('style').length") == 1
    assert chromium.evaluate("getComputedStyle(document.body).display") == "block"
    assert not set("\u202e\x1b\x00\ufffd") & set(page.read_text(encoding="utf-8"))
    attributes = "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes])"
    handlers = f"{attributes}.filter(a => /^on|^style$/.test(a.name)).length"
    assert chromium.evaluate(handlers) == 0


def test_no_script_could_run_if_there_were_one(chromium: Chromium, page: Path) -> None:
    """The page's own policy, and not only the escaping, forbids scripts and requests."""
    chromium.open(page)
    chromium.evaluate(
        "document.body.append(Object.assign(document.createElement('script'),"
        "{textContent: 'window.ran = 1'}), Object.assign(new Image(), {src: 'data:,x'}))"
    )
    assert chromium.evaluate("window.ran === undefined")
    policy = "document.querySelector('meta[http-equiv]').content"
    assert "default-src 'none'" in chromium.evaluate(policy)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_and_every_mark_has_enough_contrast(
    chromium: Chromium, page: Path, scheme: str
) -> None:
    chromium.open(page, scheme=scheme)
    chromium.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    texts, marks, all_texts, all_marks = chromium.evaluate(CONTRASTS)
    assert (texts, marks) == ([], [])
    assert all_texts > 500
    assert all_marks > 100


def test_both_modes_have_their_own_background(chromium: Chromium, page: Path) -> None:
    backgrounds = set()
    for scheme in SCHEMES:
        chromium.open(page, scheme=scheme)
        backgrounds.add(chromium.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == 2
    chromium.open(page, scheme="dark", media="print")
    printed = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    assert printed == "rgb(255, 255, 255)"


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_never_wider_than_the_window(
    chromium: Chromium, page: Path, width: int
) -> None:
    chromium.open(page, width=width)
    chromium.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert chromium.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize(("width", "display"), [(800, "block"), (1000, "table")])
def test_the_table_of_runs_fits_the_window(
    chromium: Chromium, tmp_path: Path, width: int, display: str
) -> None:
    facts = hostile_facts()
    runs = tuple(
        replace(run, run_id=f"20240501T090000{number}-valence-3f9a1c")
        for number, run in enumerate(facts.runs)
    )
    sections = (describe_provenance(replace(facts, runs=runs)),)
    page = Page(title="Labels", subjects=(Subject(title="valence", sections=sections),), footer="")
    path = tmp_path / "report.html"
    path.write_text(render(page, draw_page_chart), encoding="utf-8")
    chromium.open(path, width=width)
    hidden = "(e => e.scrollWidth - e.clientWidth)(document.querySelector('.scroll'))"
    assert chromium.evaluate(hidden) == 0
    shown = "getComputedStyle(document.querySelector('.scroll table')).display"
    assert chromium.evaluate(shown) == display


@pytest.mark.parametrize("width", [PHONE, 700, 800, 1400])
def test_charts_have_a_readable_size(chromium: Chromium, page: Path, width: int) -> None:
    chromium.open(page, width=width)
    sizes = (
        "[...document.querySelectorAll('svg text')].filter(t => t.checkVisibility()).map(t => "
        "parseFloat(getComputedStyle(t).fontSize) "
        "* Math.hypot(t.getScreenCTM().a, t.getScreenCTM().b))"
    )
    assert min(chromium.evaluate(sizes)) >= 8.5


@pytest.mark.parametrize("width", [PHONE, 700, 800])
def test_every_chart_is_shown_once_and_whole(chromium: Chromium, page: Path, width: int) -> None:
    chromium.open(page, width=width)
    shown = chromium.evaluate(
        "[...document.querySelectorAll('figure')].map(f => [...f.querySelectorAll('svg')]"
        ".filter(s => s.checkVisibility()).map(s => s.getBoundingClientRect())"
        ".map(r => r.left >= 0 && r.right <= innerWidth))"
    )
    assert len(shown) > 10
    assert all(each == [True] for each in shown)
    assert chromium.evaluate("document.querySelectorAll('svg.wide').length") > 0


def test_a_phone_shows_tables_whole_with_the_names_of_their_cells(
    chromium: Chromium, page: Path
) -> None:
    chromium.open(page, width=PHONE)
    chromium.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    hidden = (
        "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
        ".map(e => e.textContent.slice(0, 80))"
    )
    assert chromium.evaluate(hidden) == []
    names = (
        "(t => [[...t.querySelectorAll('thead th')].map(h => h.textContent), "
        "[...t.querySelector('tbody tr').children].map("
        "d => getComputedStyle(d, '::before').content.split('\"')[1].trim())])"
        "(document.querySelector('table.widest'))"
    )
    header, shown = chromium.evaluate(names)
    assert shown == header
    roles = "[...new Set([...document.querySelectorAll('table.wide td')].map(e => e.role))]"
    assert chromium.evaluate(roles) == ["cell"]


def test_the_page_can_be_read_aloud(chromium: Chromium, page: Path) -> None:
    chromium.open(page)
    levels = "[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.localName[1])"
    found = chromium.evaluate(levels)
    assert found[0] == 1
    assert found.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(found))
    chart = (
        "[...document.querySelectorAll('svg')].map(s => [s.getAttribute('role'), "
        "document.getElementById(s.getAttribute('aria-labelledby'))?.localName, "
        "document.getElementById(s.getAttribute('aria-describedby'))?.localName, "
        "!!s.closest('figure').querySelector('table')])"
    )
    charts = chromium.evaluate(chart)
    assert len(charts) > 10
    assert all(each == ["img", "title", "desc", True] for each in charts)
    assert chromium.evaluate("document.documentElement.lang") == "en"
    assert chromium.evaluate("document.querySelectorAll('th:not([scope])').length") == 0


def test_ids_are_unique_and_every_reference_leads_somewhere(chromium: Chromium, page: Path) -> None:
    chromium.open(page)
    ids = chromium.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    references = chromium.evaluate(
        "[...document.querySelectorAll('[href],[clip-path]')].map(e => "
        "e.getAttribute('href') ?? e.getAttribute('clip-path').slice(4, -1))"
    )
    assert {reference.removeprefix("#") for reference in references} <= set(ids)


def test_many_shards_are_counted_and_the_page_stays_small(page: Path) -> None:
    content = page.read_text(encoding="utf-8")
    assert "Tasks at work, first attempts" in content
    assert len(content) < 1_000_000
