import itertools
import re
import warnings

import pytest
from matplotlib import pyplot as plt

from ser_core.book import figures, phone, style

WIDE = "how a system that learns from words does"


@pytest.fixture(autouse=True)
def book_style():
    style.use_style()
    yield
    plt.close("all")


def grid_of(figure):
    return {axes.get_subplotspec().get_geometry()[:2] for axes in figure.axes}


def test_panels_move_below_each_other_and_keep_what_they_share():
    figure, axes = figures.panels(3, 1, 3, sharey=True)
    for number, place in enumerate(axes):
        place.plot([0, 1], [0, 50])
        place.set(title=f"panel {number}", xlabel="layer")
    axes[0].set_ylabel("UAR, %")
    phone.narrow(figure)
    assert grid_of(figure) == {(2, 2)} and tuple(figure.get_size_inches()) == (phone.WIDTH, 6)
    figure.draw_without_rendering()
    labelled = [place.yaxis.get_major_ticks()[0].label1.get_visible() for place in axes]
    assert labelled == [True, False, True]
    assert [place.get_ylabel() for place in axes if place.yaxis.label.get_visible()] == ["UAR, %"] * 2


def test_panels_whose_cells_would_touch_get_a_row_each():
    figure, axes = figures.panels(2, 1, 2)
    for place in axes:
        for column in range(9):
            place.text((column + 0.5) / 9, 0.5, "49.5", ha="center")
    phone.narrow(figure)
    assert grid_of(figure) == {(2, 1)}


def test_panels_whose_labels_would_touch_get_a_row_each():
    figure, axes = figures.panels(2, 1, 2)
    for place in axes:
        place.plot([0, 1, 2, 3], [0, 1, 2, 3])
        place.set_xticks(range(4), ["random clips", "sentences", "speakers", "both of them"])
    phone.narrow(figure)
    assert grid_of(figure) == {(2, 1)} and tuple(figure.get_size_inches()) == (phone.WIDTH, 4)


def test_long_names_take_two_lines_and_rows_the_height():
    figure, axes = figures.panels(1.5, subplot_kw={"xlabel": "points of UAR that " * 4})
    figures.grouped_forest(axes, {"a heading in bold letters": {WIDE: 0.5, "short": 0.4}})
    figures.names(axes, dict.fromkeys(("a long name of a colour", "another such name", "and a third"), style.INK))
    phone.narrow(figure)
    labels = axes.get_yticklabels()
    assert [label.get_text().replace("\n", " ") for label in labels] == ["a heading in bold letters", WIDE, "short"]
    assert [label.get_text().count("\n") for label in labels][1:] == [1, 0]
    assert [label.get_fontweight() for label in labels] == ["bold", "normal", "normal"]
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in labels]
    assert not any(above.overlaps(below) for above, below in itertools.pairwise(boxes))
    assert axes.xaxis.label.get_window_extent().width <= phone.WIDTH * figure.dpi
    width = figure.get_tightbbox().width
    assert width <= phone.WIDTH + 0.1


def test_letters_are_as_large_as_on_the_desktop_and_can_be_selected():
    figure, axes = figures.panels(3)
    figures.rows(axes, ["one", "two"], fontsize=7)
    drawn = style.draw(figure, name="fig_x", alt="Two rows with names.")
    widths = [float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1]) for svg in (drawn.svg, drawn.narrow)]
    smallest = min(map(float, re.findall(r"font(?:-size)?: (?:\d+ )?([\d.]+)px", drawn.narrow)))
    # 342 pixels are left for a figure on a screen of 390.
    assert smallest * 342 / widths[1] >= 9 and widths[1] < 0.6 * widths[0]
    assert all(re.search(r"<text[^>]*>two</text>", svg) for svg in (drawn.svg, drawn.narrow))
    ids = [re.findall(r'\bid="([^"]+)"', svg) for svg in (drawn.svg, drawn.narrow)]
    assert not set(ids[0]) & set(ids[1])


def test_a_name_that_cannot_be_broken_leaves_room_for_its_panel():
    figure, axes = figures.panels(2)
    figures.forest(axes, [0.5, 0.6], ["an-unbreakable-name-" * 4, "short"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a chapter that prints a warning is refused
        phone.narrow(figure)
        figure.draw_without_rendering()
    assert axes.bbox.width > 20
