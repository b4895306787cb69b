"""A finished figure set anew for a phone: the same letters, panels below each other, long words on two lines."""

import itertools
import textwrap
import warnings

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnchoredOffsetbox, PackerBase
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

WIDTH = 3.9
"""Width in inches: as wide as a phone's text, letters come out as large as on a desktop."""

_WIDEST = 12  # inches
_LONG = 20  # letters of a row's name that fit on one line
_ROW = 0.31  # inches of a row whose name has two lines
_SMALLEST = 7.5  # points, which are nine pixels on a phone
_LINE = 0.16  # inches of a line of a label
_STEEP = 60  # degrees of names below cells, which are narrow
_AROUND = 0.8  # inches above and below rows
_APART = 2  # pixels between two labels
_TIGHT = {"handlelength": 0, "handletextpad": 0, "columnspacing": 1, "borderpad": 0, "borderaxespad": 0}


def narrow(figure: Figure) -> None:
    """Make a figure as narrow as a phone's text: two panels a row, or one where two would be crowded.

    Args:
        figure: A figure that is finished but for being drawn; it is changed. Panels keep their height, or grow where
            names of rows take two lines.
    """
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    shapes = {axes.get_subplotspec().get_geometry()[:2] for axes in panels}
    rows, columns = shapes.pop() if len(shapes) == 1 else (1, 1)
    height = max(figure.get_figheight() / rows, *map(_wrapped_rows, panels), 0)
    names = [box for box in figure.findobj(AnchoredOffsetbox) if isinstance(box.get_child(), PackerBase)]
    figure.set_figwidth(WIDTH)
    lines = _above(figure, names[0]) if len(names) == 1 else 0
    for text in figure.findobj(Text):
        text.set_fontsize(max(text.get_fontsize(), _SMALLEST))
    for axes in panels:
        for label in axes.get_xticklabels():
            if 0 < label.get_rotation() < _STEEP:
                label.set_rotation(_STEEP)
    # Where panels have names of their own, each needs its width.
    for fewer in range(1 if len(names) > 1 else min(columns, 2), 0, -1):
        needed = -(-len(panels) // fewer)
        figure.set_size_inches(WIDTH, height * needed)
        if fewer < columns:
            _arrange(figure, panels, needed, fewer)
        _fits(figure)
        if fewer == 1 or not any(map(_crowded, panels)):
            break
    for axes in panels:
        for text in (axes.xaxis.label, axes.title, axes._left_title):
            lines += _fit(text, axes.bbox.width) / fewer
    figure.set_figheight(figure.get_figheight() + _LINE * lines)
    # Rather smaller letters than no panels.
    while not _fits(figure) and figure.get_figwidth() < _WIDEST:
        figure.set_size_inches(1.2 * figure.get_size_inches())


def _fits(figure: Figure) -> bool:
    """Lay a figure out, and return whether there is room for its panels between what is written around them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.draw_without_rendering()
    return not any("constrained_layout not applied" in str(warning.message) for warning in caught)


def _wrapped_rows(axes: Axes) -> float:
    """Put long names of rows on two lines, and return how high the panel is then, in inches; 0 if none was long."""
    labels, places = axes.get_yticklabels(), axes.get_yticks()
    names = [label.get_text() for label in labels]
    if not isinstance(axes.yaxis.get_major_locator(), FixedLocator):  # numbers
        return 0
    if len(names) != len(places) or not any(len(name) > _LONG for name in names):
        return 0
    weights = [label.get_fontweight() for label in labels]
    axes.set_yticks(places, ["\n".join(textwrap.wrap(name, max(_LONG, len(name) // 2 + 3))) for name in names])
    for label, weight in zip(axes.get_yticklabels(), weights, strict=True):
        label.set_fontweight(weight)
    return _ROW * len(names) + _AROUND


def _fit(text: Text, width: float) -> int:
    """Put a text on as many lines as it needs, and return how many that adds."""
    words, wide = text.get_text(), text.get_window_extent().width
    if not words or not text.get_visible() or wide <= width:
        return 0
    lines = textwrap.wrap(words, max(10, int(len(words) * width / wide)))
    text.set_text("\n".join(lines))
    return len(lines) - 1


def _above(figure: Figure, names: AnchoredOffsetbox) -> int:
    """Write names of colours, see `ser_core.book.figures.names`, above all panels, where they cover no data.

    Args:
        figure: As wide as it is to be.
        names: What a panel has; it is removed.

    Returns:
        The lines that the names take.
    """
    words = names.findobj(Text)
    names.remove()
    shown = [Line2D([], [], linestyle="")] * len(words), [word.get_text() for word in words]
    look = {"weight": "bold", "size": max(words[0].get_fontsize(), _SMALLEST)}
    colours = [word.get_color() for word in words]
    for columns in range(len(words), 0, -1):
        legend = figure.legend(
            *shown, loc="outside upper left", ncols=columns, prop=look, labelcolor=colours, frameon=False, **_TIGHT
        )
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    return -(-len(words) // columns)


def _arrange(figure: Figure, panels: list[Axes], rows: int, columns: int) -> None:
    grid = GridSpec(rows, columns, figure=figure)
    for (row, column), axes in zip(np.ndindex(rows, columns), panels, strict=False):
        axes.set_subplotspec(grid[row, column])
    # What panels share is written once a row and once a column, wherever they now are.
    for number, axes in enumerate(panels):
        first, last = number % columns == 0, number + columns >= len(panels)
        beside = [other.get_ylabel() for other in panels if axes.get_shared_y_axes().joined(axes, other)]
        if len(beside) > 1:
            axes.tick_params(axis="y", labelleft=first)
            axes.set_ylabel(max(beside, key=len))
            axes.yaxis.label.set_visible(first)
        over = [other.get_xlabel() for other in panels if axes.get_shared_x_axes().joined(axes, other)]
        if len(over) > 1:
            axes.tick_params(axis="x", labelbottom=last)
            axes.set_xlabel(max(over, key=len))
            axes.xaxis.label.set_visible(last)


def _crowded(axes: Axes) -> bool:
    """Return whether labels below a panel touch, or words in it, as the numbers of cells."""
    labels = [label for label in axes.get_xticklabels() if label.get_text() and label.get_visible()]
    boxes = sorted((label.get_window_extent() for label in labels if not label.get_rotation()), key=lambda box: box.x0)
    inside = [text.get_window_extent().padded(_APART / 2) for text in axes.texts if text.get_visible()]
    return any(second.x0 - first.x1 < _APART for first, second in itertools.pairwise(boxes)) or any(
        first.overlaps(second) for first, second in itertools.combinations(inside, 2)
    )
