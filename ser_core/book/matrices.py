"""Tables drawn as shaded cells: scores, confusions and whatever else has rows and columns."""

from collections.abc import Iterable, Sequence

import numpy as np
import seaborn as sns
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ser_core.book.style import INK, MUTED, PALETTE


def heat(
    axes: Axes,
    values: np.ndarray,
    rows: Iterable[str],
    columns: Iterable[str],
    *,
    low: float = 0.0,
    high: float | None = None,
    darkest: float = 0.5,
    text: np.ndarray | bool = False,
    **options: object,
) -> None:
    """Draw a table as cells, the higher a value the darker; nothing is drawn where it is missing.

    Args:
        axes: Where to draw.
        values: Array of shape (n_rows, n_columns).
        rows: Name of each row.
        columns: Name of each column.
        low: The value of a cell without colour.
        high: The value of the darkest cell; by default the largest.
        darkest: Opacity of the darkest cell: the page shows through, and up to 0.5 ink can be read on it.
        text: What is written into each cell, of the same shape.
        **options: As for ``seaborn.heatmap``.

    Raises:
        ValueError: If the shape of ``values`` is not that of the names.
    """
    values, rows, columns = np.asarray(values, dtype=float), list(rows), list(columns)
    if values.shape != (len(rows), len(columns)):
        raise ValueError(f"the table has the shape {values.shape}; expected {(len(rows), len(columns))}")
    # One colour at every opacity: its variable decides what it is on a dark page.
    shades = colors.LinearSegmentedColormap.from_list("", [colors.to_rgba(PALETTE[0], at) for at in (0.0, darkest)])
    look = {"cbar": False, "fmt": "", "annot_kws": {"fontsize": 8, "color": INK}, "vmin": low, "vmax": high}
    names = {"xticklabels": columns, "yticklabels": rows}
    sns.heatmap(values, cmap=shades, annot=text, ax=axes, **{**look, **names, **options})
    axes.set_xticks(axes.get_xticks(), columns, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(axes.get_yticks(), rows, rotation=0)
    axes.tick_params(length=0)


def grid(
    axes: Axes,
    scores: np.ndarray,
    rows: Iterable[str],
    columns: Iterable[str],
    *,
    diagonal: bool = False,
    digits: int = 1,
) -> None:
    """Draw a table of scores, the higher the darker; the highest is bold, a dash is a missing one.

    Args:
        axes: Where to draw.
        scores: Array of shape (n_rows, n_columns); NaN where there is none.
        rows: Name of each row.
        columns: Name of each column.
        diagonal: Frame the cells of the diagonal, as those of training and test on one corpus.
        digits: Decimals of a score in percent; none where cells are narrow.

    Raises:
        ValueError: If the shape of ``scores`` is not that of the names.
    """
    scores = np.asarray(scores, dtype=float)
    low, high = np.nanmin(scores), np.nanmax(scores)
    text = np.vectorize(lambda score: f"{100 * score:.{digits}f}")(scores)
    heat(axes, scores, rows, columns, low=low, high=high, text=text)
    for written, score in zip(axes.texts, scores[~np.isnan(scores)], strict=True):
        written.set_fontweight("bold" if score == high else "normal")
    for row, column in zip(*np.isnan(scores).nonzero(), strict=True):
        axes.text(column + 0.5, row + 0.5, "–", ha="center", va="center", fontsize=8, color=MUTED)
    for at in range(min(scores.shape) if diagonal else 0):
        frame = {"fill": False, "edgecolor": MUTED, "linewidth": 0.8}
        axes.add_patch(Rectangle((at + 0.03, at + 0.03), 0.94, 0.94, **frame))


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
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    text = np.where(totals > 0, np.vectorize(lambda share: f"{100 * share:.0f}")(shares), "–")
    heat(axes, shares, labels, labels, high=1.0, text=text, square=True)
    for written, (row, column) in zip(axes.texts, np.ndindex(shares.shape), strict=True):
        on = row == column
        written.set(fontweight="bold" if on else "normal", color=INK if on or shares[row, column] >= 0.1 else MUTED)
    axes.set_xticklabels(labels, rotation=40)
    axes.set_yticklabels([f"{name} ({total:.0f})" for name, total in zip(labels, totals[:, 0], strict=True)])
    axes.set(xlabel="answer", ylabel="truth")
