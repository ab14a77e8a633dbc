"""Read the pages of the documentation: their headings, links, blocks of code and commands."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATHS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("benchmarks/*.md")])
NAMES = [path.relative_to(ROOT).as_posix() for path in PATHS]

_FENCE = re.compile(r'^(`{3,})(\w*)(?: title="([^"]+)")?\n(.*?)^\1$', re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A fenced block: its language, the file that it stands for ('' for none), and its text."""

    language: str
    title: str
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command that a reader types: after `$ `, or every line of bash."""
        if self.language == "console":
            lines = [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        else:
            lines = self.text.splitlines() if self.language == "bash" else []
        parts = [part for line in lines for part in re.split(r"&&|\|\||;|>>?|<(?=\s)", line)]
        return [words for part in parts if (words := shlex.split(part, comments=True))]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page of Markdown, by its path from the project's folder."""

    name: str
    text: str

    @property
    def blocks(self) -> list[Block]:
        found = _FENCE.findall(self.text)
        return [Block(language=lang, title=title, text=text) for _, lang, title, text in found]

    @property
    def prose(self) -> str:
        return _FENCE.sub("", self.text)

    @property
    def links(self) -> list[str]:
        """The targets of its links."""
        return _LINK.findall(self.prose)

    @property
    def anchors(self) -> set[str]:
        """What a link may have after `#`, as GitHub makes it of a heading."""
        return {_slug(heading) for heading in _HEADING.findall(self.prose)}

    @property
    def code_spans(self) -> list[str]:
        return _CODE_SPAN.findall(self.prose)

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command in its blocks."""
        return [words for block in self.blocks for words in block.commands]

    def table(self, heading: str) -> list[list[str]]:
        """The cells of the first table under a heading, without its head."""
        section = self.text.split(f"# {heading}\n", 1)[1]
        rows = re.search(r"^\|.*\n\|[-| ]+\n((?:\|.*\n)+)", section, re.MULTILINE)
        assert rows, f"{self.name} has no table under {heading}"
        return [
            [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
            for row in rows[1].splitlines()
        ]


def read(name: str) -> Page:
    """Read a page by its path from the project's folder."""
    return Page(name=name, text=(ROOT / name).read_text(encoding="utf-8"))


def verb_and_arguments(words: list[str]) -> tuple[str, list[str]] | None:
    """Return the verb and the arguments of a command of this program, else None."""
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    program, *rest = words or [""]
    if Path(program).name == "hpc" and rest:
        return rest[0], rest[1:]
    if Path(program).name.startswith("python") and rest[:1] == ["-m"]:
        module, _, verb = rest[1].partition(".")
        return (verb, rest[2:]) if module == "hpc" and verb else None
    return None


def _slug(heading: str) -> str:
    plain = re.sub(r"[`*\\]|\]\([^)]*\)|\[", "", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
