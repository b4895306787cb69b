"""A page of HTML that stands alone: no script, nothing from the network, every name escaped, light and dark."""

import html
import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --muted: #59636e; --grid: #d8dee4; --paper: #ffffff; --soft: #f4f6f8;
  --blue: #0072b2; --warn: #8a4b00; --warn-soft: #fff4e5; --good: #00664a; --good-soft: #e8f6f1;
  --ser-ink: #1f2328; --ser-muted: #59636e; --ser-grid: #d8dee4; --ser-paper: #ffffff; --ser-c1: #0072b2;
  --ser-c2: #d55e00; --ser-c3: #009e73; --ser-c4: #b1568d; --ser-c5: #a87900; --ser-c6: #3f9cc9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --muted: #9aa4ae; --grid: #3a424a; --paper: #14181c;
  --soft: #1d2329; --blue: #58b0e6; --warn: #f0b068; --warn-soft: #33270f; --good: #5fd0ab; --good-soft: #11291f;
  --ser-ink: #e6e8eb; --ser-muted: #9aa4ae; --ser-grid: #3a424a; --ser-paper: #14181c; --ser-c1: #58b0e6;
  --ser-c2: #ff8c42; --ser-c3: #3ecf9f; --ser-c4: #e08cc0; --ser-c5: #e0b13c; --ser-c6: #8fd0f0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, "Noto Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1.1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .5rem; padding-top: .6rem; border-top: 1px solid var(--grid); }
h3 { font-size: 1.02rem; margin: 1.5rem 0 .3rem; }
p, li { max-width: 46rem; overflow-wrap: anywhere; }
p.muted, figcaption { color: var(--muted); font-size: .9rem; }
p.above { margin-bottom: 0; }
.scroll { overflow-x: auto; margin: .6rem 0 1rem; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .7rem; border-bottom: 1px solid var(--grid); text-align: left; vertical-align: top; }
th { font-weight: 600; white-space: nowrap; }
thead th { border-bottom: 2px solid var(--grid); }
td.number, th.number { text-align: right; white-space: nowrap; }
td.share { text-align: center; min-width: 2.6rem; border: 1px solid var(--paper); }
figure { margin: 1rem 0 1.6rem; }
figure svg { width: 100%; height: auto; display: block; min-width: 30rem; }
figure svg text { font-family: system-ui, "Noto Sans", sans-serif; }
.note { border-left: 4px solid var(--blue); background: var(--soft); padding: .5rem .9rem; margin: .8rem 0; }
.note.warn { border-color: var(--warn); background: var(--warn-soft); }
.note.good { border-color: var(--good); background: var(--good-soft); }
.note p, .note ul { margin: .3rem 0; }
nav ul { columns: 2; padding-left: 1.1rem; font-size: .95rem; }
a { color: var(--blue); }
code { background: var(--soft); padding: .05rem .3rem; border-radius: 3px; overflow-wrap: anywhere; font-size: .9em; }
@media (max-width: 36rem) { main { padding: 1rem .8rem 3rem; } nav ul { columns: 1; } h1 { font-size: 1.4rem; }
  th, td { padding: .25rem .45rem; } }
@media print { .note, h2 { break-inside: avoid; } }
"""


# A word with a letter of a script that is written from right to left, such as Arabic or Hebrew.
_RIGHT_TO_LEFT = re.compile(r"\S*[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]\S*")


def _words(words: str) -> str:
    """Return words as HTML; those from right to left are set apart, or they would turn what stands beside them."""
    return _RIGHT_TO_LEFT.sub(r"<bdi>\g<0></bdi>", html.escape(words))


def page(title: str, body: Iterable[str]) -> str:
    """Return a whole page.

    Args:
        title: Its title; escaped here, as all words are that functions of this module take.
        body: Parts of HTML, from the functions of this module.

    Examples:
        >>> "<title>a &lt; b</title>" in page("a < b", [])
        True
    """
    name = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{name}</h1>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n"
        "</html>\n"
    )


def heading(words: str, level: int = 2, anchor: str = "") -> str:
    """Return a heading.

    Args:
        words: What it says.
        level: 2 or 3.
        anchor: By which `contents` leads to it.
    """
    at = f' id="{html.escape(anchor)}"' if anchor else ""
    return f"<h{level}{at}>{_words(words)}</h{level}>"


def text(words: str, kind: str = "") -> str:
    """Return a paragraph; of the kind ``muted`` it is a remark."""
    return f'<p class="{kind}">{_words(words)}</p>' if kind else f"<p>{_words(words)}</p>"


def listing(items: Iterable[str]) -> str:
    """Return a list."""
    return "<ul>" + "".join(f"<li>{_words(item)}</li>" for item in items) + "</ul>"


def box(parts: Iterable[str], kind: str = "") -> str:
    """Return parts of HTML in a box; of the kind ``warn`` or ``good`` in that colour."""
    return f'<div class="{f"note {kind}".strip()}">' + "".join(parts) + "</div>"


def contents(headings: Iterable[tuple[str, str]]) -> str:
    """Return links to headings, each an anchor and its words."""
    return (
        "<nav><ul>"
        + "".join(f'<li><a href="#{html.escape(to)}">{html.escape(words)}</a></li>' for to, words in headings)
        + "</ul></nav>"
    )


def figure(svg: str, caption: str) -> str:
    """Return a drawing with its caption.

    Args:
        svg: An ``<svg>`` element, as it is.
        caption: What it shows.
    """
    return f'<figure><div class="scroll">{svg}</div><figcaption>{_words(caption)}</figcaption></figure>'


def table(frame: pd.DataFrame, caption: str = "", digits: int = 3) -> str:
    """Return a table; numbers stand to the right, whole ones as they are.

    Args:
        frame: The table; a named index is its first column, another is left out.
        caption: What it shows.
        digits: Decimals of numbers that are not whole.

    Examples:
        >>> "<td>&lt;b&gt;</td>" in table(pd.DataFrame({"word": ["<b>"]}))
        True
    """
    frame = frame.reset_index() if frame.index.name is not None else frame
    right = [pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
    kinds = [' class="number"' if number else "" for number in right]
    head = "".join(f"<th{kind}>{html.escape(str(name))}</th>" for kind, name in zip(kinds, frame, strict=True))
    rows = []
    for row in frame.itertuples(index=False):
        cells = [f"<td{kind}>{_words(_cell(value, digits))}</td>" for kind, value in zip(kinds, row, strict=True)]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    named = text(caption, "muted above") if caption else ""
    return (
        f'{named}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _cell(value: object, digits: int) -> str:
    if value is None or value is pd.NA or isinstance(value, float) and np.isnan(value):
        return "–"
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int | np.integer) and not isinstance(value, bool) else str(value)


def confusion(counts: np.ndarray, classes: Sequence[str], caption: str = "") -> str:
    """Return a confusion matrix as a table whose cells are the darker the more of their row they hold.

    Args:
        counts: Shape (K, K): clips by truth (rows) and prediction (columns).
        classes: Names of the K classes.
        caption: What it shows.
    """
    counts = np.asarray(counts, dtype=float)
    totals = counts.sum(axis=1)
    head = "".join(f"<th>{_words(name)}</th>" for name in classes)
    rows = []
    for name, row, total in zip(classes, counts, totals, strict=True):
        cells = ""
        for count in row:
            share = count / total if total else 0.0
            shade = f"background: color-mix(in srgb, var(--blue) {round(45 * share)}%, transparent)"
            cells += (
                f'<td class="share" style="{shade}">{100 * share:.0f}</td>' if total else '<td class="share">–</td>'
            )
        rows.append(f"<tr><th>{_words(name)} ({total:g})</th>{cells}</tr>")
    named = text(caption, "muted above") if caption else ""
    return (
        f'{named}<div class="scroll"><table><thead><tr><th>truth \\ prediction</th>{head}</tr></thead><tbody>'
        f"{''.join(rows)}</tbody></table></div>"
    )
