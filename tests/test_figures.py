import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from matplotlib import pyplot as plt

from ser_core.book import figures, matrices, style
from ser_core.evaluation.comparisons import Difference
from ser_core.evaluation.intervals import Interval


def test_forest_says_why_there_is_no_interval():
    kept = Interval(0.6, 0.5, 0.7, 0.95, "percentile", "speaker", 24)
    refused = Interval(0.5, np.nan, np.nan, 0.95, "percentile", "speaker", 4, "4 speakers, fewer than 5")
    figure, axes = plt.subplots()
    figures.forest(axes, [kept, refused], ["a", "b"], reference=0.125)
    assert [text.get_text() for text in axes.texts] == ["no interval: 4 speakers, fewer than 5"]
    assert [list(line.get_xdata()) for line in axes.lines] == [[12.5, 12.5], [60], [50, 70], [50]]
    assert axes.lines[-1].get_markerfacecolor() == style.PAPER
    with pytest.raises(ValueError, match="argument 2"):
        figures.forest(axes, [kept, refused], ["a"])
    plt.close(figure)


def test_forests_stand_side_by_side_on_each_row():
    kept = Interval(0.6, 0.5, 0.7, 0.95, "expanded", "speaker", 24)
    figure, axes = plt.subplots()
    systems = {style.MUTED: [kept, 0.4], style.PALETTE[0]: [0.2, np.nan]}
    figures.forests(axes, systems, ["a", "b"], reference=0.25)
    points = [line for line in axes.lines if line.get_marker() == "o"]
    drawn = [(line.get_color(), line.get_xdata()[0], line.get_ydata()[0]) for line in points]
    assert drawn[:3] == [(style.MUTED, 60, -0.16), (style.MUTED, 40, 0.84), (style.PALETTE[0], 20, 0.16)]
    assert np.isnan(drawn[3][1])
    assert [list(line.get_xdata()) for line in axes.lines if line.is_dashed()] == [[25, 25]]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]
    with pytest.raises(ValueError, match="argument 2"):
        figures.forests(axes, systems, ["a"])
    plt.close(figure)


def test_grouped_forest_sets_rows_under_their_headings():
    kept = Interval(0.6, 0.5, 0.7, 0.95, "expanded", "speaker", 24)
    refused = Interval(0.5, np.nan, np.nan, 0.95, "expanded", "speaker", 4, "4 speakers, fewer than 5")
    groups = {"RAVDESS": {"head": kept, "last": kept}, "SAVEE": {"head": refused}}
    figure, axes = plt.subplots()
    figures.grouped_forest(axes, groups, colours={"last": style.MUTED}, references={"SAVEE": 1 / 7})
    written = [(tick.get_text(), tick.get_fontweight()) for tick in axes.get_yticklabels()]
    assert written == [
        ("RAVDESS", "bold"),
        ("head", "normal"),
        ("last", "normal"),
        ("SAVEE", "bold"),
        ("head", "normal"),
    ]
    points = {line.get_ydata()[0]: line for line in axes.lines if line.get_marker() == "o"}
    drawn = {row: line.get_xdata()[0] for row, line in points.items() if not np.isnan(line.get_xdata()[0])}
    assert drawn == {1: 60, 2: 60, 4: 50}
    assert [points[row].get_color() for row in (1, 2, 4)] == [style.PALETTE[0], style.MUTED, style.PALETTE[0]]
    assert points[4].get_markerfacecolor() == style.PAPER
    (chance,) = (line for line in axes.lines if line.is_dashed())
    assert list(chance.get_xdata()) == pytest.approx([100 / 7] * 2)
    assert list(chance.get_ydata()) == [3.5, 4.5]
    with pytest.raises(ValueError, match=r"no row or heading is called \['EmoDB', 'full'\]"):
        figures.grouped_forest(axes, groups, colours={"full": style.INK}, references={"EmoDB": 0.1})
    plt.close(figure)


def test_confusion_shows_recall_and_empty_classes():
    figure, axes = plt.subplots()
    matrices.confusion(axes, np.array([[3, 1], [0, 0]]), ["sad", "happy"])
    assert [text.get_text() for text in axes.texts] == ["75", "25", "–", "–"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["sad (4)", "happy (0)"]
    with pytest.raises(ValueError, match=r"expected \(3, 3\)"):
        matrices.confusion(axes, np.eye(2), ["a", "b", "c"])
    plt.close(figure)


def test_grid_marks_the_highest_score():
    figure, axes = plt.subplots()
    matrices.grid(axes, np.array([[0.5, 0.61], [0.4, 0.3]]), ["a", "b"], ["x", "y"])
    assert [(text.get_text(), text.get_fontweight()) for text in axes.texts][:2] == [
        ("50.0", "normal"),
        ("61.0", "bold"),
    ]
    with pytest.raises(ValueError, match=r"expected \(1, 2\)"):
        matrices.grid(axes, np.eye(2), ["a"], ["x", "y"])
    plt.close(figure)


def test_grid_writes_percent_marks_the_best_and_leaves_gaps():
    axes = plt.figure().add_subplot()
    matrices.grid(axes, [[0.5, np.nan], [0.25, 0.75]], ["a", "b"], ["x", "y"])
    written = {(*text.get_position(), text.get_text(), text.get_fontweight()) for text in axes.texts}
    assert written == {
        (0.5, 0.5, "50.0", "normal"),
        (1.5, 0.5, "–", "normal"),
        (0.5, 1.5, "25.0", "normal"),
        (1.5, 1.5, "75.0", "bold"),
    }
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"] and axes.get_ylim() == (2, 0)
    shades = axes.collections[0].get_facecolors()
    assert {colors.to_hex(shade) for shade in shades[[0, 2, 3]]} == {style.PALETTE[0]}
    assert shades[:, 3].tolist() == pytest.approx([0.25, 0, 0, 0.5], abs=0.002)
    with pytest.raises(ValueError, match=r"\(2, 2\); expected \(1, 2\)"):
        matrices.grid(axes, [[0.5, 0.5], [0.5, 0.5]], ["a"], ["x", "y"])
    plt.close("all")


KEPT = Interval(0.6, 0.5, 0.7, 0.95, "expanded", "speaker", 24)
REFUSED = Interval(0.5, np.nan, np.nan, 0.95, "expanded", "speaker", 4, "4 speakers, fewer than 5")


def test_differences_and_published_scores_are_drawn_like_intervals():
    figure, axes = figures.panels(2)
    figures.forest(axes, [Difference(KEPT, 0.01, "exact"), 0.4], ["a", "b"])
    assert [list(line.get_xdata()) for line in axes.lines] == [[60], [50, 70], [40]]
    # A published score has no interval, and nothing was refused.
    assert axes.lines[-1].get_markerfacecolor() == style.PAPER and not axes.texts
    plt.close(figure)


def test_one_reference_for_all_groups():
    figure, axes = figures.panels(2)
    figures.grouped_forest(axes, {"a": {"x": KEPT}, "b": {"x": KEPT, "y": KEPT}}, references=0.25)
    dashed = [line for line in axes.lines if line.is_dashed()]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in dashed] == [
        ([25, 25], [0.5, 1.5]),
        ([25, 25], [2.5, 4.5]),
    ]
    plt.close(figure)


def test_reference_is_labelled_beside_its_line():
    figure, (left, right) = figures.panels(2, 1, 2)
    figures.reference(left, x=0.125, label="chance", at=2)
    figures.reference(right, y=0.25, label="chance", at=3, left=True)
    figures.reference(right, y=0.1, span=[1, 2], colour=style.PALETTE[1])
    assert left.lines[0].get_xdata() == [12.5, 12.5] and left.texts[0].xy == (12.5, 2)
    assert right.lines[0].get_ydata() == [25, 25] and right.texts[0].xy == (3, 25)
    assert [text.get_horizontalalignment() for text in (*left.texts, *right.texts)] == ["left", "right"]
    assert list(right.lines[1].get_xdata()) == [1, 2] and right.lines[1].get_color() == style.PALETTE[1]
    assert all(line.is_dashed() for line in (*left.lines, *right.lines))
    plt.close(figure)


def test_dumbbell_joins_two_dots_of_each_row():
    figure, axes = figures.panels(2)
    figures.rows(axes, ["a", "b"])
    figures.dumbbell(axes, [0.3, 0.4], [0.5, 0.2])
    assert [segment.tolist() for segment in axes.collections[0].get_segments()] == [
        [[30, 0], [50, 0]],
        [[40, 1], [20, 1]],
    ]
    assert [list(line.get_xdata()) for line in axes.lines] == [[30, 40], [50, 20]]
    assert [line.get_color() for line in axes.lines] == list(style.PALETTE[:2])
    assert axes.get_ylim() == (1.5, -0.5)
    figures.dumbbell(axes, [0.3], [0.5], at=[4], hollow=True)
    assert list(axes.lines[2].get_ydata()) == [4] and axes.lines[2].get_markerfacecolor() == style.PAPER
    plt.close(figure)


def test_points_are_hollow_marks():
    figure, axes = figures.panels(2)
    figures.points(axes, [0.9, 0.8])
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[90, 0], [80, 1]] and line.get_marker() == "D"
    assert (line.get_linestyle(), line.get_color(), line.get_markerfacecolor()) == ("None", style.MUTED, style.PAPER)
    plt.close(figure)


def test_curve_goes_through_scores_and_says_which_interval_is_refused():
    figure, axes = figures.panels(2)
    figures.curve(axes, [1, 2, 3], [KEPT, REFUSED, 0.2], colour=style.PALETTE[2], label="x")
    line, refused, kept = axes.lines
    assert line.get_xydata().tolist() == [[1, 60], [2, 50], [3, 20]]
    assert refused.get_xydata().tolist() == [[2, 50]] and refused.get_markerfacecolor() == style.PAPER
    assert kept.get_xydata().tolist() == [[1, 60], [3, 20]] and kept.get_markerfacecolor() == style.PALETTE[2]
    assert axes.collections[0].get_segments()[0].tolist() == [[1, 50], [1, 70]]
    assert [(text.get_text(), text.xy) for text in axes.texts] == [("x", (3, 20))]
    plt.close(figure)


def test_dots_stand_in_their_row_and_are_filled_where_it_is_said():
    figure, axes = figures.panels(2)
    rows = [(0.01, "m", "u", True), (-0.02, "n", "u", False), (0.03, "m", "v", False)]
    table = pd.DataFrame(rows, columns=["gain", "model", "corpus", "clear"])
    colours = {"u": style.PALETTE[0], "v": style.PALETTE[1]}
    figures.dots(
        axes, table, x="gain", y="model", by="corpus", filled="clear", labels={"m": "M", "n": "N"}, colours=colours
    )
    drawn = [
        (x, round(y), colors.to_hex(cloud.get_edgecolor()[0]), colors.to_hex(cloud.get_facecolor()[0]))
        for cloud in axes.collections
        for x, y in cloud.get_offsets().tolist()
    ]
    assert sorted(drawn) == [
        (-2.0, 1, style.PALETTE[0], style.PAPER),
        (1.0, 0, style.PALETTE[0], style.PALETTE[0]),
        (3.0, 0, style.PALETTE[1], style.PAPER),
    ]
    # Those of two colours stand side by side.
    heights = [y for cloud in axes.collections for x, y in cloud.get_offsets().tolist() if x > 0]
    assert len(set(heights)) == 2
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["M", "N"] and axes.get_ylim() == (1.5, -0.5)
    plt.close(figure)


def test_heat_leaves_missing_cells_empty_and_refuses_wrong_names():
    figure, axes = figures.panels(2)
    matrices.heat(axes, [[1, np.nan], [2, 4]], ["a", "b"], ["x", "y"], darkest=1.0)
    shades = axes.collections[0].get_facecolors()
    assert shades[:, 3].tolist() == pytest.approx([0.25, 0, 0.5, 1], abs=0.003) and not axes.texts
    plt.close(figure)


def test_diagonal_is_where_two_shares_agree():
    figure, axes = figures.panels(2)
    figures.diagonal(axes)
    assert axes.lines[0].get_xydata().tolist() == [[0, 0], [1, 1]] and axes.get_aspect() == 1
    plt.close(figure)


def test_names_without_colours_have_the_palettes():
    figure, axes = figures.panels(2)
    figures.names(axes, ["a", "b"])
    words = axes.artists[0].get_children()[0].get_children()
    assert [word._text.get_color() for word in words] == list(style.PALETTE[:2])
    figures.names(axes, {"c": style.MUTED}, corner="upper left", fontsize=5)
    (word,) = axes.artists[1].get_children()[0].get_children()
    assert (word._text.get_color(), word._text.get_fontsize()) == (style.MUTED, 5)
    plt.close(figure)


def test_histogram_marks_single_scores_in_their_order():
    figure, axes = figures.panels(2)
    figures.histogram(axes, [0.5, 0.6, 0.6], {"high": (0.9, style.PALETTE[1]), "low": (0.4, style.PALETTE[2])})
    assert sum(bar.get_height() for bar in axes.patches) == 3
    assert [text.get_text() for text in axes.texts] == ["low: 40.0", "high: 90.0"]
    assert [list(line.get_xdata()) for line in axes.lines] == [[40, 40], [90, 90]]
    assert axes.lines[0].get_ydata()[1] < axes.lines[1].get_ydata()[1] < axes.get_ylim()[1]
    plt.close(figure)


def test_names_of_crowded_points_keep_their_distance_and_their_order():
    figure, axes = figures.panels(2)
    axes.set(xlim=(0, 10), ylim=(0, 100))
    x = pd.Series({"b": 4, "a": 5, "c": 6, "alone": 1})
    figures.labelled(axes, x, [0.51, 0.5, 0.8, KEPT], colours=style.PALETTE[:4], crowd=2, gap=5)
    at = {text.get_text(): text.xy for text in axes.texts}
    assert at["alone"] == (1, 60) and {at[name][0] for name in "abc"} == {10}
    assert at["b"][1] - at["a"][1] == 5 and at["c"][1] - at["b"][1] > 5
    # A line leads from each of them to its name.
    assert sorted(line.get_xydata()[0].tolist() for line in axes.lines) == [[4, 51], [5, 50], [6, 80]]
    assert [0.5, 0.7] == [y / 100 for y in axes.collections[0].get_segments()[3][:, 1]]
    plt.close(figure)


def test_grouped_rows_say_where_they_are():
    figure, axes = figures.panels(2)
    assert figures.grouped_rows(axes, {"RAVDESS": ["a", "b"], "EmoDB": ["a"]}) == [1, 2, 4]
    assert [tick.get_fontweight() for tick in axes.get_yticklabels()] == ["bold", "normal", "normal", "bold", "normal"]
    plt.close(figure)
