"""What the chapters draw: rows of intervals, pairs and dots, and curves. Scores are in [0, 1] and drawn in percent."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea, VPacker

from ser_core.book.style import GRID, MUTED, PALETTE, PAPER, WIDTH
from ser_core.evaluation.comparisons import Difference
from ser_core.evaluation.intervals import Interval

Estimate = Interval | Difference | float
"""A score or a difference; a float is one without an interval, such as a published score."""

_DASHED = {"linewidth": 0.8, "linestyle": (0, (4, 3))}
_SMALL = {"fontsize": 7.5, "va": "center"}


def panels(height: float, rows: int = 1, columns: int = 1, *, width: float = WIDTH, **options: object) -> tuple:
    """Return a figure as wide as the text, and its axes.

    Args:
        height: Height in inches.
        rows: Number of rows of axes.
        columns: Number of columns of axes.
        width: Width in inches.
        **options: As for ``matplotlib.pyplot.subplots``, such as ``sharex``.

    Returns:
        The figure, and one axes or an array of them.
    """
    return plt.subplots(rows, columns, figsize=(width, height), **options)


def rows(axes: Axes, labels: Iterable[str], *, grid: bool = True, **text: object) -> None:
    """Give an axes a named row for each label, from the top, without a spine or ticks on the left.

    Args:
        axes: Where to draw.
        labels: Name of each row.
        grid: Draw vertical lines behind the rows.
        **text: How labels are written, such as ``fontsize``.
    """
    labels = list(labels)
    axes.set_yticks(range(len(labels)), labels, **text)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(grid, axis="x")


def note(
    axes: Axes, x: float, y: float, words: str, *, shift: float = 0, colour: str = MUTED, **options: object
) -> None:
    """Write a small remark into an axes, in the axes' own units.

    Args:
        axes: Where to write.
        x: Where it begins.
        y: Its middle.
        words: The remark.
        shift: How far beside x it begins, in points, whatever the width of the axes.
        colour: Its colour.
        **options: As for ``Axes.text``, such as ``ha``.
    """
    look = {**_SMALL, "color": colour, **options}
    axes.annotate(words, (x, y), (shift, 0), textcoords="offset points", annotation_clip=False, **look)


def reference(
    axes: Axes,
    *,
    x: float | None = None,
    y: float | None = None,
    span: Sequence[float] | None = None,
    label: str = "",
    at: float = 0.0,
    left: bool = False,
    dotted: bool = False,
    colour: str = MUTED,
) -> None:
    """Mark a score, such as chance or no difference, by a dashed line, and write beside it what it is.

    Args:
        axes: Where to draw.
        x: The score, for an upright line.
        y: The score, for a level line.
        span: From where to where the line goes, in units of the axes; by default from edge to edge.
        label: What the score is: to the right of an upright line, above a level one.
        at: Where along the line the label stands, in units of the axes.
        left: Put the label to the left of an upright line; let it end at ``at`` on a level one.
        dotted: Dot the line, beside another that is dashed.
        colour: Colour of line and label.
    """
    upright = x is not None
    score = 100 * (x if upright else y)
    look = {**_DASHED, **({"linestyle": ":"} if dotted else {}), "color": colour, "zorder": 0.9}
    if span is None:
        (axes.axvline if upright else axes.axhline)(score, **look)
    else:
        axes.plot(*([score, score], span) if upright else (span, [score, score]), **look)
    if label:
        place, offset = ((score, at), (-3 if left else 3, 0)) if upright else ((at, score), (0, 5))
        words = {**_SMALL, "color": colour, "ha": "right" if left else "left"}
        axes.annotate(label, place, xytext=offset, textcoords="offset points", **words)


def grouped_rows(axes: Axes, groups: Mapping[str, Iterable[str]]) -> list[int]:
    """Give an axes a row for each name, under the headings of their groups in bold; see `rows`.

    Args:
        axes: Where to draw.
        groups: Heading -> names of its rows.

    Returns:
        Where the rows are, in units of the axes, without the headings.
    """
    groups = {heading: list(names) for heading, names in groups.items()}
    rows(axes, [label for heading, names in groups.items() for label in (heading, *names)])
    at, row = [], 0
    for names in groups.values():
        axes.yaxis.get_major_ticks()[row].label1.set_fontweight("bold")
        at += range(row + 1, row + 1 + len(names))
        row += 1 + len(names)
    return at


def forest(
    axes: Axes,
    estimates: Sequence[Estimate],
    labels: Sequence[str],
    *,
    colours: Sequence[str] | str = PALETTE[0],
    reference: float | None = None,
    reasons: bool = True,
    shift: float = 0.0,
) -> None:
    """Draw scores with their intervals, one row each from the top; one without an interval is a hollow point.

    Args:
        axes: Where to draw.
        estimates: Scores, or differences.
        labels: Name of each row.
        colours: One colour, or one for each row.
        reference: A value in the same unit to mark with a line, such as chance or no difference.
        reasons: Write beside a refused interval why it is refused.
        shift: How far below its row, in rows, each score is drawn, so that several systems fit on one row.

    Raises:
        ValueError: If the numbers of estimates and labels differ.
    """
    colours = [colours] * len(labels) if isinstance(colours, str) else colours
    if reference is not None:
        axes.axvline(100 * reference, color=MUTED, zorder=0.9, **_DASHED)
    for number, (estimate, _, colour) in enumerate(zip(estimates, labels, colours, strict=True)):
        (value, low, high), row = _ends(estimate), number + shift
        hollow = np.isnan(low)
        axes.plot(value, row, "o", markersize=5, color=colour, markerfacecolor=PAPER if hollow else colour)
        if not hollow:
            axes.plot([low, high], [row, row], color=colour, linewidth=1.6, zorder=1)
        elif reasons and (why := _interval(estimate).refusal):
            place = {"xytext": (7, 0), "textcoords": "offset points", **_SMALL, "color": MUTED}
            axes.annotate(f"no interval: {why}", (value, row), **place).set_in_layout(False)
    rows(axes, labels)


def forests(
    axes: Axes,
    systems: Mapping[str, Sequence[Estimate]],
    labels: Sequence[str],
    *,
    reference: float | None = None,
    reasons: bool = True,
) -> None:
    """Draw a `forest` of several systems, side by side on each row.

    Args:
        axes: Where to draw.
        systems: Colour of each system -> its scores or differences, one a row.
        labels: Name of each row.
        reference: A value in the same unit to mark with a line.
        reasons: Write beside a refused interval why it is refused.

    Raises:
        ValueError: If the numbers of estimates and labels differ.
    """
    for number, (colour, estimates) in enumerate(systems.items()):
        shift = 0.64 * ((number + 0.5) / len(systems) - 0.5)
        mark = reference if number == 0 else None
        forest(axes, estimates, labels, colours=colour, reference=mark, reasons=reasons, shift=shift)


def _interval(estimate: Estimate) -> Interval:
    if isinstance(estimate, Difference):
        return estimate.interval
    if isinstance(estimate, Interval):
        return estimate
    return Interval(float(estimate), np.nan, np.nan, np.nan, "", "", 0)


def _ends(estimate: Estimate) -> tuple[float, float, float]:
    found = _interval(estimate)
    return 100 * found.value, 100 * found.low, 100 * found.high


def grouped_forest(
    axes: Axes,
    groups: Mapping[str, Mapping[str, Estimate] | pd.Series],
    *,
    colours: Mapping[str, str] | None = None,
    references: Mapping[str, float] | float | None = None,
    reasons: bool = True,
) -> None:
    """Draw a `forest` in groups, each under its heading in bold.

    Args:
        axes: Where to draw.
        groups: Heading -> name of each row -> its score or difference; a series will do.
        colours: Name of a row -> its colour; those not named have the palette's first.
        references: A value in the same unit to mark beside the rows of each group, such as chance; or one for some
            headings.
        reasons: Write beside a refused interval why it is refused.

    Raises:
        ValueError: If a name in ``colours`` or ``references`` is no row or no heading.
    """
    groups, colours = {heading: dict(part) for heading, part in groups.items()}, colours or {}
    references = references if isinstance(references, Mapping) else dict.fromkeys(groups, references)
    labels = [label for heading, part in groups.items() for label in (heading, *part)]
    unknown = (set(colours) - {label for part in groups.values() for label in part}) | (set(references) - set(groups))
    if unknown:
        raise ValueError(f"no row or heading is called {sorted(unknown)}; there are {labels}")
    # A heading is a row of which nothing can be drawn.
    drawn = [estimate for part in groups.values() for estimate in (np.nan, *part.values())]
    forest(axes, drawn, labels, colours=[colours.get(label, PALETTE[0]) for label in labels], reasons=reasons)
    grouped_rows(axes, groups)
    first = 0
    for heading, part in groups.items():
        if references.get(heading) is not None:
            reference(axes, x=references[heading], span=[first + 0.5, first + len(part) + 0.5])
        first += 1 + len(part)


def dumbbell(
    axes: Axes,
    first: Sequence[float],
    second: Sequence[float],
    *,
    at: Sequence[float] | None = None,
    colours: Sequence[str] = PALETTE[:2],
    hollow: bool = False,
    size: float = 5,
) -> None:
    """Draw pairs of scores as two dots and a line between them, one row each.

    Args:
        axes: Where to draw.
        first: Scores in the first colour, such as with new speakers.
        second: Scores in the second colour, such as with known speakers.
        at: The row of each pair; from the top by default.
        colours: The two colours.
        hollow: Draw the first dots hollow and larger, so that the second show inside them.
        size: Size of a dot.
    """
    first, second = 100 * np.asarray(first, dtype=float), 100 * np.asarray(second, dtype=float)
    at = range(len(first)) if at is None else at
    axes.hlines(at, first, second, color=GRID, linewidth=3, zorder=0)
    face = PAPER if hollow else colours[0]
    axes.plot(first, at, "o", color=colours[0], markersize=size + 2 * hollow, markerfacecolor=face)
    axes.plot(second, at, "o", color=colours[1], markersize=size)


def points(
    axes: Axes, scores: Sequence[float], *, at: Sequence[float] | None = None, colour: str = MUTED, marker: str = "D"
) -> None:
    """Draw scores without intervals, such as published ones, as hollow marks, one row each.

    Args:
        axes: Where to draw.
        scores: The scores.
        at: The row of each; from the top by default.
        colour: Their colour.
        marker: Their form, see ``matplotlib.markers``.
    """
    scores = 100 * np.asarray(scores, dtype=float)
    look = {"linestyle": "", "color": colour, "markersize": 4, "markerfacecolor": PAPER}
    axes.plot(scores, range(len(scores)) if at is None else at, marker=marker, **look)


def curve(
    axes: Axes,
    x: Sequence[float],
    estimates: Sequence[Estimate],
    *,
    colour: str = PALETTE[0],
    dashed: bool = False,
    size: float = 4,
    label: str = "",
) -> None:
    """Draw a line through scores, with their intervals upright; one whose interval is refused is a hollow point.

    Args:
        axes: Where to draw.
        x: Where along the axes each stands, in its own units.
        estimates: The scores or differences; those that are floats have no interval to refuse.
        colour: The colour.
        dashed: Dash the line.
        size: Size of a point.
        label: What is written behind the last point.
    """
    x = np.asarray(x, dtype=float)
    values, low, high = np.array([_ends(estimate) for estimate in estimates]).T
    refused = np.array([_interval(estimate).refusal is not None for estimate in estimates])
    style = (0, (2, 2)) if dashed else "-"
    sns.lineplot(x=x, y=values, color=colour, linestyle=style, linewidth=1.2, errorbar=None, ax=axes)
    axes.vlines(x, low, high, color=colour, linewidth=1.5)
    for which, face in ((refused, PAPER), (~refused, colour)):
        axes.plot(x[which], values[which], "o", color=colour, markersize=size, markerfacecolor=face)
    if label:
        place = {"xytext": (8, 0), "textcoords": "offset points", "va": "center", "fontsize": 8, "color": colour}
        axes.annotate(label, (x[-1], values[-1]), **place)


def dots(
    axes: Axes,
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    by: str,
    filled: str,
    labels: Mapping[str, str],
    colours: Mapping[str, str],
) -> None:
    """Draw one dot a row of a table, in named rows and side by side in colours; filled where a column says so.

    Args:
        axes: Where to draw.
        table: The scores or differences.
        x: Their column.
        y: Column of the row in which a dot stands.
        by: Column of its colour.
        filled: Column that is true where a dot is filled.
        labels: Value of ``y`` -> name of the row, from the top.
        colours: Value of ``by`` -> colour.
    """
    rows(axes, labels.values())
    for fill in (False, True):
        part = table[table[filled] == fill]
        sns.stripplot(
            data=part.assign(**{x: 100 * part[x]}),
            **{"x": x, "y": y, "hue": by, "palette": dict(colours), "order": list(labels), "hue_order": list(colours)},
            **{"dodge": True, "jitter": False, "size": 4, "linewidth": 1, "edgecolor": "face", "legend": False},
            ax=axes,
        )
        for cloud in [] if fill else axes.collections:
            cloud.set(edgecolor=cloud.get_facecolor(), facecolor=PAPER)
    rows(axes, labels.values())
    axes.set_ylabel("")


def histogram(axes: Axes, scores: Sequence[float], marks: Mapping[str, tuple[float, str]]) -> None:
    """Draw how scores are distributed, and above it where some single ones lie.

    Args:
        axes: Where to draw.
        scores: The scores.
        marks: Name -> a score to mark, and its colour.
    """
    sns.histplot(x=100 * np.asarray(scores), bins=60, color=PALETTE[0], alpha=0.35, linewidth=0, ax=axes)
    top = axes.get_ylim()[1]
    for height, (name, (score, colour)) in enumerate(sorted(marks.items(), key=lambda mark: mark[1][0])):
        level = top * (1.08 + 0.17 * height)
        axes.plot([100 * score, 100 * score], [0, level], color=colour, linewidth=1.2)
        note(axes, 100 * score - 0.5, level, f"{name}: {100 * score:.1f}", colour=colour, ha="right", fontsize=8)
    axes.set(ylabel="", yticks=[], ylim=(0, top * (1.02 + 0.17 * len(marks))))
    axes.spines["left"].set_visible(False)


def labelled(
    axes: Axes, x: pd.Series, estimates: Sequence[Estimate], *, colours: Sequence[str], crowd: float, gap: float
) -> None:
    """Draw points with upright intervals, each with its name: beside it, or at the right edge where it is crowded.

    Args:
        axes: Where to draw; its limits and scale are final.
        x: Where each point is, indexed by its name.
        estimates: How high it is.
        colours: Its colour.
        crowd: From where on names stand at the edge, in the order of the points' heights.
        gap: The least distance of two names there, in percent.
    """
    values, low, high = np.array([_ends(estimate) for estimate in estimates]).T
    colours, edge = np.array(colours), axes.get_xlim()[1]
    axes.vlines(x, low, high, color=colours, linewidth=1.2, alpha=0.6)
    axes.scatter(x, values, color=colours, s=25, zorder=2)
    crowded = [number for number in np.argsort(values) if x.iloc[number] > crowd]
    # In order and apart, and as near to their points as that lets them be.
    steps = gap * np.arange(len(crowded))
    heights = np.maximum.accumulate(values[crowded] - steps) + steps
    heights = dict(zip(crowded, heights - (heights - values[crowded]).mean(), strict=True))
    for number, name in enumerate(x.index):
        at = (edge, heights[number]) if number in heights else (x.iloc[number], values[number])
        if number in heights:
            axes.plot([x.iloc[number], edge], [values[number], at[1]], color=GRID, linewidth=0.7, zorder=0)
        place = {"xytext": (5, 0), "textcoords": "offset points", "annotation_clip": False}
        axes.annotate(name, at, **{**_SMALL, **place, "color": colours[number]})


def diagonal(axes: Axes) -> None:
    """Draw the line of equality from 0 to 1, as in a reliability diagram of confidence and accuracy."""
    axes.plot([0, 1], [0, 1], color=MUTED, **_DASHED)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")


def names(axes: Axes, colours: Mapping[str, str] | Iterable[str], *, corner: str | None = None, **text: object) -> None:
    """Write what each colour means as coloured words instead of a legend.

    Args:
        axes: Where to write.
        colours: Word -> colour; or words, for the palette's colours in order.
        corner: A corner inside the axes, such as ``upper right``, for a column of words; a row above them if None.
        **text: How words are written, such as ``fontsize``.
    """
    colours = colours if isinstance(colours, Mapping) else dict(zip(colours, PALETTE, strict=False))
    look = {"fontweight": "bold", **text}
    words = [TextArea(word, textprops={**look, "color": colour}) for word, colour in colours.items()]
    if corner:
        axes.add_artist(AnchoredOffsetbox(corner, child=VPacker(children=words, sep=4, pad=0), frameon=False))
        return
    row = HPacker(children=words, sep=12, pad=0)
    place = {"bbox_to_anchor": (0, 1.0), "bbox_transform": axes.transAxes, "borderpad": 0.3, "pad": 0}
    axes.add_artist(AnchoredOffsetbox("lower left", child=row, frameon=False, **place))
