"""How every figure of the report looks: one palette, one type size, one way to save.

Colours are darkened from the palette of Okabe and Ito, so that text in them reads on white and colour-blind readers can
tell them apart. Figures are SVG with text as text: small, sharp in print, searchable, and read aloud by screen readers.
"""

import contextlib
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pathgptomic.files import atomic

INK = "#1c2733"
MUTED = "#5a6673"
GRID = "#dde2e7"
PANEL = "#f3f5f7"
PAPER = "#ffffff"
BLUE = "#0a6ca8"
ORANGE = "#b4560f"
GREEN = "#0b7f60"
PURPLE = "#8e4a86"
GREY = "#7d8894"
# Names of the palette's colours in the report's style sheet, which has a second value of each for dark screens.
NAMES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PANEL: "panel",
    PAPER: "paper",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    PURPLE: "purple",
    GREY: "grey",
}
BRANCHES = {"genomics": GREEN, "slides": PURPLE, "rois": BLUE, "clinical": ORANGE}
GROUPS = {2: (BLUE, ORANGE), 3: (BLUE, GREY, ORANGE), 4: (BLUE, GREEN, GREY, ORANGE)}
PANEL_WIDTH = 3.2  # inches: three beside each other fill a page
FONTS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"

SETTINGS = {
    "font.family": "DejaVu Sans",  # wider than the fonts of FONTS: what fits when drawn also fits where it is shown
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.facecolor": "none",
    "figure.facecolor": PAPER,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "text.parse_math": False,  # a dollar sign in a title is a dollar sign
    "svg.fonttype": "none",
}


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Draw with the report's settings inside the block; matplotlib's own stay as they are outside."""
    with mpl.rc_context(SETTINGS):
        yield


def branch_colour(branch: str) -> str:
    """Return the colour of a branch of the network."""
    return BRANCHES.get(branch, GREY)


def rule_lines(axes: Axes, axis: str = "y") -> None:
    """Draw light grid lines behind the data."""
    axes.grid(visible=True, axis=axis)
    axes.set_axisbelow(True)


def save(figure: Figure, path: str | Path, *, title: str, description: str) -> None:
    """Write a figure as SVG with its title and what a reader who cannot see it needs to know.

    The same figure always gives the same bytes: no date, and names of parts derived from the title.
    """
    with mpl.rc_context({"svg.hashsalt": title, "svg.fonttype": "none"}), atomic(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
        text = temporary.read_text(encoding="utf-8")
        temporary.write_text(_described(text, title, description), encoding="utf-8")


def _described(svg: str, title: str, description: str) -> str:
    """Return the SVG with title, description and fonts, without doctype and empty metadata."""
    svg = re.sub(r"<!DOCTYPE.*?>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]+>", _shorter, svg)
    svg = re.sub(r"font-family: [^;\"]*", f"font-family: {FONTS}", svg)
    svg = re.sub(r"(font: [^;\"]*?)'DejaVu Sans'[^;\"]*", rf"\1{FONTS}", svg)
    words = f"<title>{escape(title)}</title>\n <desc>{escape(description)}</desc>\n "
    return re.sub(r"(<svg\b[^>]*?)>", lambda match: f'{match[1]} role="img">\n {words}', svg, count=1)


def few_ticks() -> MaxNLocator:
    """Return a locator of at most six round tick values."""
    return MaxNLocator(nbins=6, steps=[1, 2, 5, 10])


def headings(figure: Figure, title: str, subtitle: str) -> None:
    """Write a figure's title and the one or two lines under it into its upper left corner."""
    height = figure.get_size_inches()[1]
    figure.text(0.02, 1 - 0.05 / height, title, fontsize=9.5, fontweight="bold", va="top")
    figure.text(0.02, 1 - 0.23 / height, subtitle, fontsize=7.5, color=MUTED, va="top", linespacing=1.35)


def _shorter(tag: re.Match) -> str:
    """Return a tag with its coordinates cut to a hundredth of a point, which is finer than any printer."""
    return re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0])
