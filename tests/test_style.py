import re

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from matplotlib import pyplot as plt

from ser_core import paths
from ser_core.book import figures, matrices, style


def _drawing(alt="Two <lines>"):
    style.use_style()
    figure, axes = plt.subplots()
    axes.plot([1, 2], [1, 2], marker="o", markerfacecolor=style.PAPER)
    axes.set_title("A title")
    return style.draw(figure, name="fig_x", alt=alt)


def test_the_same_figure_gives_the_same_bytes():
    assert _drawing() == _drawing()


def test_figure_follows_the_theme():
    svg = _drawing().svg
    assert 'role="img" aria-label="Two &lt;lines&gt;"' in svg
    assert {"ink", "muted", "paper", "c1"} == set(re.findall(r"var\(--ser-(\w+), #", svg))
    # No colour is left that does not follow the theme, and no id that could meet another figure's.
    assert not re.findall(r"(?<!, )#[0-9a-f]{6}\b", svg)
    assert all(name.startswith("fig_x-") for name in re.findall(r'\bid="([^"]+)"', svg))
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
    assert {a or b for a, b in used} <= set(re.findall(r'\bid="([^"]+)"', svg))


def test_css_knows_every_colour_of_the_figures():
    css = (paths.repository() / "book/_static/ser.css").read_text()
    light, dark = re.findall(r"^html[^{]*\{([^}]*)\}", css, flags=re.MULTILINE)[:2]
    for position, colour in enumerate(style.PALETTE, start=1):
        assert f"--ser-c{position}: {colour};" in light
        assert f"--ser-c{position}:" in dark


def _luminance(colour):
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colors.to_rgb(colour)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_colours_stand_out_from_the_page():
    css = (paths.repository() / "book/_static/ser.css").read_text()
    light, dark = re.findall(r"^html[^{]*\{([^}]*)\}", css, flags=re.MULTILINE)[:2]
    # WCAG 2: at least 3 for lines, 4.5 for text.
    for block, page in ((light, "#ffffff"), (dark, "#121212")):
        for name, colour in re.findall(r"--ser-(ink|muted|c\d): (#\w{6})", block):
            high, low = sorted([_luminance(colour), _luminance(page)], reverse=True)
            assert (high + 0.05) / (low + 0.05) >= (3 if name.startswith("c") else 4.5), (name, colour)


def test_cells_and_dots_follow_the_theme_and_give_the_same_bytes():
    def drawing():
        style.use_style()
        figure, (left, right) = figures.panels(2, 1, 2)
        matrices.grid(left, [[0.5, 0.25], [np.nan, 1.0]], ["a", "b"], ["x", "y"], diagonal=True)
        table = pd.DataFrame({"gain": [0.01, -0.02], "model": ["m", "n"], "corpus": ["u", "v"], "clear": [True, False]})
        names = {"labels": {"m": "M", "n": "N"}, "colours": dict(zip("uv", style.PALETTE, strict=False))}
        figures.dots(right, table, x="gain", y="model", by="corpus", filled="clear", **names)
        return style.draw(figure, name="fig_x", alt="Cells and dots")

    drawn = drawing()
    assert drawn == drawing()
    assert not re.findall(r"(?<!, )#[0-9a-f]{6}\b", drawn.svg)
    assert {"ink", "muted", "grid", "paper", "c1", "c2"} == set(re.findall(r"var\(--ser-(\w+), #", drawn.svg))
    cells = re.findall(r"fill: var\(--ser-c1, #0072b2\); fill-opacity: ([\d.]+)", drawn.svg)
    assert sorted(map(float, cells)) == pytest.approx([1 / 6, 0.5], abs=0.002)
