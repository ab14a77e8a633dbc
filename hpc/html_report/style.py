"""Style the page: light and dark, for a phone, a screen and paper. Pure.

All colors of text have a contrast of 4.5 or more to their background, and those of charts 3 or
more (WCAG 2.2, AA).
"""

LIGHT = {
    "ink": "#1b1f24",
    "muted": "#57606a",
    "paper": "#ffffff",
    "panel": "#f6f8fa",
    "rule": "#d0d7de",
    "link": "#0550ae",
    "notice": "#fff8c5",
    "first": "#0072b2",
    "second": "#d55e00",
    "third": "#00805d",
    "fourth": "#a8527f",
    "fifth": "#8f6a00",
    "gray": "#6e7781",
}
DARK = {
    "ink": "#e6edf3",
    "muted": "#9da7b3",
    "paper": "#0d1117",
    "panel": "#161b22",
    "rule": "#3d444d",
    "link": "#79c0ff",
    "notice": "#3a2f0b",
    "first": "#56b4e9",
    "second": "#f5853f",
    "third": "#2fc79a",
    "fourth": "#e39ac4",
    "fifth": "#f0c040",
    "gray": "#8b949e",
}

_RULES = """
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
overflow-wrap:anywhere}
header,main,footer{max-width:76rem;margin:0 auto;padding:0 1rem}
h1{font-size:1.75rem;line-height:1.2;margin:2rem 0 .5rem}
h2{font-size:1.35rem;line-height:1.25;margin:2.5rem 0 .75rem;padding-top:.75rem;
border-top:1px solid var(--rule)}
h3{font-size:1.1rem;margin:1.75rem 0 .5rem}
p{max-width:68ch;margin:.6rem 0}
a{color:var(--link)}
nav ul{display:flex;flex-wrap:wrap;gap:.15rem 1rem;list-style:none;margin:.75rem 0;padding:0}
.notice{background:var(--notice);border-left:4px solid var(--fifth);padding:.6rem .9rem}
.facts{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.2rem 1.25rem;
margin:.75rem 0}
.facts dt{color:var(--muted)}
.facts dd{margin:0;min-width:0}
.scroll{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;font-size:.9rem;overflow-wrap:normal;width:max-content;max-width:100%}
th,td{max-width:36rem}
td bdi,th bdi{overflow-wrap:break-word}
caption{overflow-wrap:anywhere;text-align:left;color:var(--muted);padding:.25rem 0}
th,td{text-align:left;vertical-align:top;padding:.25rem .9rem .25rem 0;
border-bottom:1px solid var(--rule)}
th{font-weight:600}
tbody th{font-weight:400}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
pre{background:var(--panel);padding:.75rem;white-space:pre-wrap;font-size:.85rem;
max-height:32rem;overflow:auto}
details{margin:.5rem 0}
summary{cursor:pointer;color:var(--link)}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,22.5rem),1fr));
gap:1rem 2rem;align-items:start}
figure{margin:.75rem 0;min-width:0;container-type:inline-size}
figure svg{display:block;width:100%;height:auto;max-width:30rem}
figure .wide{max-width:45rem}
figure .narrow{display:none}
@container (max-width:39rem){figure .wide{display:none}figure .narrow{display:block}}
figcaption{color:var(--muted);font-size:.85rem;max-width:68ch;margin:.25rem 0}
figure details{font-size:.85rem}
.chart{fill:currentColor;stroke-linejoin:round}
.chart text{font-family:inherit}
footer{color:var(--muted);font-size:.85rem;margin-top:3rem;padding-bottom:2rem}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
@media (max-width:36rem){.facts{grid-template-columns:1fr}.facts dt{margin-top:.4rem}
h1{font-size:1.45rem}}
@media print{body{font-size:10pt}nav{display:none}figure,table{break-inside:avoid}
h2,h3{break-after:avoid}pre{max-height:none}}
"""

# Rows of a table as paragraphs, each cell with its name.
_PARAGRAPHS = """
TABLE,TABLE caption,TABLE tbody,TABLE tr{display:block;width:auto}
TABLE thead{position:absolute;clip-path:inset(50%)}
TABLE tr{border-bottom:1px solid var(--rule);padding:.35rem 0}
TABLE th,TABLE td{display:inline-block;border:0;padding:0 .9rem 0 0;text-align:left;
white-space:normal;overflow-wrap:anywhere;max-width:100%}
TABLE tbody th{display:block;font-weight:600}
TABLE [data-name]::before{content:attr(data-name) " ";color:var(--muted);font-weight:400}
"""
# The greatest width of a page on which tables of a class are paragraphs.
_NARROW = {"wide": "36rem", "widest": "60rem"}


def stylesheet(charts: str) -> str:
    """Return the page's style.

    Args:
        charts: the rules for the classes that charts use.
    """
    return (
        f":root{{color-scheme:light dark;{_variables(LIGHT)}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
        f"{_RULES}{''.join(map(_paragraphs, _NARROW))}{charts}"
    )


def _paragraphs(name: str) -> str:
    rules = _PARAGRAPHS.replace("TABLE", f"table.{name}")
    return f"@media screen and (max-width:{_NARROW[name]}){{{rules}}}"


def _variables(colors: dict[str, str]) -> str:
    return ";".join(f"--{name}:{color}" for name, color in colors.items())
