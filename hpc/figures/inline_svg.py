"""Read an SVG that matplotlib drew, and keep only what a page needs of it.

An SVG inside a page shares its names and its styles with all others. So rules for the whole
document are dropped, names get a prefix when they are written, styles become short declarations,
and each color that stands for a role becomes a variable of the page.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from hpc.figures.charts import Tone

# Distinct for all kinds of color vision (Okabe and Ito, 2008); gray for what matters less. The
# first two and gray are also those of `draw`.
ROLES: Final[Mapping[Tone, str]] = {
    Tone.FIRST: "#0072b2",
    Tone.SECOND: "#d55e00",
    Tone.THIRD: "#009e73",
    Tone.FOURTH: "#cc79a7",
    Tone.FIFTH: "#e69f00",
    Tone.GRAY: "#666666",
}
_COLORS = {
    **{color: f"var(--{tone})" for tone, color in ROLES.items()},
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
}
_KEPT_STYLES = frozenset(
    {"fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap"}
    | {"opacity", "fill-opacity", "stroke-opacity", "font-size", "font-weight", "text-anchor"}
)
_KEPT_ATTRIBUTES = frozenset(
    {"d", "transform", "x", "y", "width", "height", "viewBox", "clip-path"}
)
_DROPPED = frozenset({"metadata", "style"})
_INVISIBLE = "fill:none"
_FONT = re.compile(r"(?:(?P<weight>bold|\d{3}) )?(?P<size>[\d.]+px) ")
_NUMBER = re.compile(r"-?\d+\.\d+")
_PREFIX = re.compile(r"\{.*\}")
_WITH_NAMES = frozenset({"clip-path", "href", "id"})


@dataclass(frozen=True, kw_only=True, slots=True)
class SvgElement:
    """An element of an SVG."""

    name: str
    attributes: Mapping[str, str]
    style: str = ""
    """Its declarations, such as `fill:none;stroke:var(--first)`."""
    children: "tuple[SvgElement, ...]" = ()
    text: str = ""


def read_svg(content: str) -> SvgElement:
    """Return an SVG as elements, without what a page does not need."""
    root = ElementTree.fromstring(content)
    referenced = set(re.findall(r'(?:#)([\w.-]+)["\')]', content))
    (svg,) = _read(root, referenced)
    return svg


def _read(element: ElementTree.Element, referenced: set[str]) -> Iterator[SvgElement]:
    name = _PREFIX.sub("", element.tag)
    if name in _DROPPED:
        return
    children = tuple(child for each in element for child in _read(each, referenced))
    attributes = dict(_attributes(element, referenced))
    style = _style(element.get("style", ""))
    text = (element.text or "").strip() if name == "text" else ""
    if name in ("g", "defs") and not children:
        return
    if name == "g" and not attributes and not style:
        yield from children
        return
    if style == _INVISIBLE:
        return
    yield SvgElement(name=name, attributes=attributes, style=style, children=children, text=text)


def _attributes(element: ElementTree.Element, referenced: set[str]) -> Iterator[tuple[str, str]]:
    for key, value in element.attrib.items():
        name = _PREFIX.sub("", key)
        if name == "id":
            if value in referenced:
                yield name, value
        elif name == "href":
            yield name, value
        elif name in _KEPT_ATTRIBUTES:
            shorter = _NUMBER.sub(lambda number: f"{float(number[0]):.4g}", value)
            if name == "transform":
                shorter = shorter.replace("rotate(-0 ", "rotate(0 ")
            yield name, " ".join(shorter.split())


def _style(declarations: str) -> str:
    """Return the declarations that count, with the colors of the page."""
    kept: dict[str, str] = {}
    for declaration in declarations.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            font = _FONT.match(value)
            if font:
                kept["font-size"] = font["size"]
                if font["weight"]:
                    kept["font-weight"] = font["weight"]
        elif name in _KEPT_STYLES:
            kept[name] = _COLORS.get(value, value)
    return ";".join(f"{name}:{value}" for name, value in sorted(kept.items()))


def with_prefix(attributes: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return attributes whose names in the document are different from those of other charts."""
    changed = dict(attributes)
    for name in _WITH_NAMES & changed.keys():
        mark = "" if name == "id" else "#"
        changed[name] = changed[name].replace(mark, f"{mark}{prefix}", 1)
    return changed
