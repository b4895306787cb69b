"""How a figure looks: size, ink and palette, and the SVG whose colours follow the page from light to dark."""

import base64
import html
import io
import re
from dataclasses import dataclass, field

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ser_core.book import phone

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
    # The first is what a figure is set in; the second is as wide, and what a device has else is narrower.
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
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
    "svg.fonttype": "none",
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
        narrow: The same for a phone, see `ser_core.book.phone`.
        png: The same figure as PNG, 200 dots per inch.
        alt: What the figure shows, in words.
    """

    svg: str
    narrow: str
    png: bytes = field(repr=False)
    alt: str

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return what Jupyter and the book display."""
        scroll = f'<div class="ser-figure" tabindex="0">{self.svg}{self.narrow}</div>'
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
    png = io.BytesIO()
    wide = _inline(_svg(figure), name, alt, "ser-wide")
    figure.savefig(png, format="png", dpi=200, facecolor=PAPER, metadata={"Software": None}, bbox_inches="tight")
    phone.narrow(figure)
    narrow = _inline(_svg(figure), f"{name}-narrow", alt, "ser-narrow")
    plt.close(figure)
    return Drawing(svg=wide, narrow=narrow, png=png.getvalue(), alt=alt)


def _svg(figure: Figure) -> str:
    svg = io.StringIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight", pad_inches=0.03)
    return svg.getvalue()


def _inline(svg: str, name: str, alt: str, kind: str) -> str:
    width, height = (float(value) for value in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r"#[0-9a-f]{6}\b", lambda found: variable(found[0]), body)
    body = re.sub(r' transform="rotate\(-0 [\d. ]+\)"', "", body)
    body = re.sub(r"\s*\n\s*", "\n", body).strip()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" class="{kind}" role="img" '
        f'aria-label="{html.escape(alt)}" viewBox="0 0 {width:g} {height:g}" '
        f'style="max-width:{width / 72:.2f}in" stroke-linejoin="round" stroke-linecap="butt">\n{body}\n</svg>'
    )


def variable(colour: str) -> str:
    """Return a colour of the palette as the CSS variable that follows the theme; any other as it is."""
    return f"var(--ser-{_VARIABLES[colour]}, {colour})" if colour in _VARIABLES else colour
