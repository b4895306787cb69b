"""How a figure looks: size, ink and palette, and the SVG whose colours follow the page from light to dark."""

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea, VPacker
from matplotlib.patches import Rectangle

from ser_core.evaluation.intervals import Interval

INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d8dee4", "#ffffff"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#b1568d", "#a87900", "#3f9cc9")
"""Okabe and Ito's colours, the light ones darkened until they read as thin lines on white."""

_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"}
_VARIABLES |= {colour: f"c{position}" for position, colour in enumerate(PALETTE, start=1)}

WIDTH = 6.8
"""Width of the book's text column in inches."""

STYLE = {
    "figure.figsize": (WIDTH, 3.2),
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "font.size": 9,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.3,
    "patch.linewidth": 0.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "ser_core",
}


def use_style() -> None:
    """Make matplotlib draw in the book's style from here on."""
    plt.rcdefaults()
    plt.rcParams.update(STYLE)


@dataclass(frozen=True)
class Drawing:
    """A finished figure: inline SVG for the browser, a bitmap on white for print.

    Args:
        svg: An ``<svg>`` element whose colours are CSS variables.
        png: The same figure as PNG, 200 dots per inch.
        alt: What the figure shows, in words.
    """

    svg: str
    png: bytes = field(repr=False)
    alt: str

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return what Jupyter and the book display."""
        scroll = f'<div class="ser-figure" tabindex="0">{self.svg}</div>'
        return {"text/html": scroll, "image/png": base64.b64encode(self.png).decode(), "text/plain": self.alt}


def draw(figure: Figure, *, name: str, alt: str) -> Drawing:
    """Render a figure once, for light pages, dark pages and print, and close it.

    The same figure gives the same bytes. Colours of the palette become ``var(--ser-...)`` with the light colour as
    fallback, so that the SVG also stands alone; any other colour stays as it is.

    Args:
        figure: A figure drawn in the book's style.
        name: Prefix of the ids inside the SVG; unique within a page.
        alt: What the figure shows, in words, for those who do not see it.

    Returns:
        The drawing, which displays itself.
    """
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight", pad_inches=0.03)
    figure.savefig(png, format="png", dpi=200, facecolor=PAPER, metadata={"Software": None}, bbox_inches="tight")
    plt.close(figure)
    return Drawing(svg=_inline(svg.getvalue(), name, alt), png=png.getvalue(), alt=alt)


def _inline(svg: str, name: str, alt: str) -> str:
    width, height = (float(value) for value in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r"#[0-9a-f]{6}\b", lambda found: _variable(found[0]), body)
    body = re.sub(r"\s*\n\s*", "\n", body).strip()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-label="{html.escape(alt)}" viewBox="0 0 {width:g} {height:g}" '
        f'style="max-width:{width / 72:.2f}in" stroke-linejoin="round" stroke-linecap="butt">\n{body}\n</svg>'
    )


def _variable(colour: str) -> str:
    return f"var(--ser-{_VARIABLES[colour]}, {colour})" if colour in _VARIABLES else colour


def forest(
    axes: Axes,
    intervals: Sequence[Interval],
    labels: Sequence[str],
    *,
    colours: Sequence[str] | str = PALETTE[0],
    reference: float | None = None,
    reasons: bool = True,
    shift: float = 0.0,
) -> None:
    """Draw scores with their intervals in percent, one row each from the top; a refused one is a hollow point.

    Args:
        axes: Where to draw.
        intervals: Scores in [0, 1] or differences in [-1, 1].
        labels: Name of each row.
        colours: One colour, or one for each row.
        reference: A value in the same unit to mark with a line, such as chance or no difference.
        reasons: Write beside a refused interval why it is refused.
        shift: How far below its row, in rows, each score is drawn, so that several systems fit on one row.

    Raises:
        ValueError: If the numbers of intervals and labels differ.
    """
    colours = [colours] * len(labels) if isinstance(colours, str) else colours
    if reference is not None:
        axes.axvline(100 * reference, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    for number, (interval, _, colour) in enumerate(zip(intervals, labels, colours, strict=True)):
        row = number + shift
        refused = interval.refusal is not None
        fill = PAPER if refused else colour
        axes.plot(100 * interval.value, row, "o", markersize=5, color=colour, markerfacecolor=fill)
        if refused and reasons:
            note = f"no interval: {interval.refusal}"
            place = {"xytext": (7, 0), "textcoords": "offset points", "va": "center", "fontsize": 7.5, "color": MUTED}
            axes.annotate(note, (100 * interval.value, row), **place).set_in_layout(False)
        if not refused:
            axes.plot([100 * interval.low, 100 * interval.high], [row, row], color=colour, linewidth=1.6, zorder=1)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x")  # without True a second call would take it away


def grouped_forest(
    axes: Axes,
    groups: Mapping[str, Mapping[str, Interval]],
    *,
    colours: Mapping[str, str] | None = None,
    references: Mapping[str, float] | None = None,
    reasons: bool = True,
) -> None:
    """Draw a `forest` in groups, each under its heading in bold.

    Args:
        axes: Where to draw.
        groups: Heading -> name of each row -> its score in [0, 1], or difference in [-1, 1].
        colours: Name of a row -> its colour; those not named have the palette's first.
        references: Heading -> a value in the same unit to mark beside the rows of the group, such as chance.
        reasons: Write beside a refused interval why it is refused.

    Raises:
        ValueError: If a name in ``colours`` or ``references`` is no row or no heading.
    """
    colours, references = colours or {}, references or {}
    labels = [label for heading, rows in groups.items() for label in (heading, *rows)]
    unknown = (set(colours) - {label for rows in groups.values() for label in rows}) | (set(references) - set(groups))
    if unknown:
        raise ValueError(f"no row or heading is called {sorted(unknown)}; there are {labels}")
    # A heading is a row of which nothing can be drawn.
    empty = Interval(np.nan, np.nan, np.nan, 0.95, "", "", 0)
    drawn = [interval for rows in groups.values() for interval in (empty, *rows.values())]
    forest(axes, drawn, labels, colours=[colours.get(label, PALETTE[0]) for label in labels], reasons=reasons)
    first = 0
    for heading, rows in groups.items():
        axes.yaxis.get_major_ticks()[first].label1.set_fontweight("bold")
        if heading in references:
            at, span = 100 * references[heading], [first + 0.5, first + len(rows) + 0.5]
            axes.plot([at, at], span, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.9)
        first += 1 + len(rows)


def confusion(axes: Axes, counts: np.ndarray, labels: Sequence[str]) -> None:
    """Draw a confusion matrix: what part of each true class got which answer, in percent; the diagonal is recall.

    Args:
        axes: Where to draw.
        counts: Array of shape (K, K): clips by truth (rows) and answer (columns).
        labels: The K classes.

    Raises:
        ValueError: If the shape of ``counts`` is not (K, K).
    """
    counts = np.asarray(counts, dtype=float)
    size = len(labels)
    if counts.shape != (size, size):
        raise ValueError(f"counts has the shape {counts.shape}; expected {(size, size)} for {size} labels")
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    for row, column in np.ndindex(size, size):
        share = shares[row, column]
        # The page shows through: no cell is darker than what ink can be read on, light or dark.
        place = {"facecolor": PALETTE[0], "alpha": 0.5 * share, "linewidth": 0}
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **place))
        weight = "bold" if row == column else "normal"
        text = "–" if not totals[row, 0] else f"{100 * share:.0f}"
        colour = INK if row == column or share >= 0.1 else MUTED
        axes.text(column, row, text, ha="center", va="center", fontsize=8, fontweight=weight, color=colour)
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal", xlabel="answer", ylabel="truth")
    axes.set_xticks(range(size), labels, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), [f"{name} ({total:.0f})" for name, total in zip(labels, totals[:, 0], strict=True)])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def names(axes: Axes, colours: Mapping[str, str], *, corner: str | None = None) -> None:
    """Write what each colour means as coloured words instead of a legend.

    Args:
        axes: Where to write.
        colours: Word -> colour.
        corner: A corner inside the axes, such as ``upper right``, for a column of words; a row above them if None.
    """
    words = [TextArea(word, textprops={"color": colour, "fontweight": "bold"}) for word, colour in colours.items()]
    if corner:
        axes.add_artist(AnchoredOffsetbox(corner, child=VPacker(children=words, sep=4, pad=0), frameon=False))
        return
    row = HPacker(children=words, sep=12, pad=0)
    place = {"bbox_to_anchor": (0, 1.0), "bbox_transform": axes.transAxes, "borderpad": 0.3, "pad": 0}
    axes.add_artist(AnchoredOffsetbox("lower left", child=row, frameon=False, **place))


def grid(axes: Axes, scores: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Draw a table of scores in percent, the higher the darker; the highest is bold, a dash is a missing one.

    Args:
        axes: Where to draw.
        scores: Array of shape (n_rows, n_columns) in [0, 1]; NaN where there is none.
        rows: Name of each row.
        columns: Name of each column.

    Raises:
        ValueError: If the shape of ``scores`` is not that of the names.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.shape != (len(rows), len(columns)):
        raise ValueError(f"scores has the shape {scores.shape}; expected {(len(rows), len(columns))}")
    low, high = np.nanmin(scores), np.nanmax(scores)
    for row, column in np.ndindex(scores.shape):
        score = scores[row, column]
        if np.isnan(score):
            axes.text(column, row, "–", ha="center", va="center", fontsize=8, color=MUTED)
            continue
        alpha = 0.5 * (score - low) / ((high - low) or 1.0)
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=PALETTE[0], alpha=alpha, linewidth=0))
        weight = "bold" if score == high else "normal"
        axes.text(column, row, f"{100 * score:.1f}", ha="center", va="center", fontsize=8, fontweight=weight, color=INK)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
