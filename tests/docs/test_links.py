"""Links between the pages lead somewhere."""

from pathlib import PurePosixPath

import pytest

from tests.docs import pages
from tests.docs.pages import ROOT, read


def target(page: str, link: str) -> tuple[str, str]:
    """Return the path, from the project's folder, and the anchor that a link leads to."""
    path, _, anchor = link.partition("#")
    if not path:
        return page, anchor
    parts: list[str] = []
    for part in (PurePosixPath(page).parent / path).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts), anchor


def internal(page: str) -> list[tuple[str, str]]:
    """Return the targets of a page's links into this project."""
    return [target(page, link) for link in read(page).links if "://" not in link]


@pytest.mark.parametrize("page", pages.NAMES)
def test_a_link_leads_to_a_file_and_a_heading_that_exist(page: str) -> None:
    broken = [
        f"{path}#{anchor}" if anchor else path
        for path, anchor in internal(page)
        if not (ROOT / path).exists() or (anchor and anchor not in read(path).anchors)
    ]
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[str](), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += [path for path, _ in internal(page) if path.endswith(".md")]
    assert set(pages.NAMES) - reached == set()


def test_the_index_lists_every_page_of_the_documentation() -> None:
    listed = {path for path, _ in internal("docs/index.md")}
    assert {name for name in pages.NAMES if name.startswith("docs/")} - listed == {"docs/index.md"}
