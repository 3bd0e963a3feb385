"""Put saved figures into the page: no external reference, no clash of names, colours that follow the page."""

import re
from dataclasses import dataclass
from html import unescape
from pathlib import Path

from markupsafe import Markup

from pathgptomic.report.style import NAMES


@dataclass(frozen=True)
class Drawing:
    """One saved figure, ready for the page.

    Attributes
    ----------
    title, description
        As saved in the file; the description is what a screen reader says.
    drawing
        The `<svg>` element.
    file
        Where the figure stands on its own, relative to the report.
    caption
        Text under the figure.
    """

    title: str
    description: str
    drawing: Markup
    file: str
    caption: str = ""


def load_drawing(path: str | Path, *, folder: str | Path, caption: str = "") -> Drawing:
    """Read an SVG that `style.save` wrote.

    Parameters
    ----------
    path
        The SVG file.
    folder
        Folder of the report; the caption names the file relative to it.
    caption
        Text under the figure.

    Raises
    ------
    ValueError
        If the file is not a plain drawing (no `<svg>`, a script, or a link that leaves the file).
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    body = text[text.find("<svg") :].strip()
    if not body.startswith("<svg") or not body.endswith("</svg>"):
        raise ValueError(f"{path} holds no <svg> element; delete the file and let the workflow draw it again.")
    if re.search(r"<script|<foreignObject|\son\w+\s*=|href\s*=\s*[\"'](?!#)", body, flags=re.IGNORECASE):
        raise ValueError(
            f"{path} holds a script or an outside link; delete the file and let the workflow draw it again."
        )
    name = re.sub(r"[^a-z0-9]+", "-", str(path.relative_to(folder).with_suffix("")).lower())
    return Drawing(
        title=_content(body, "title"),
        description=_content(body, "desc"),
        drawing=Markup(_inline(body, name)),
        file=str(path.relative_to(folder)),
        caption=caption,
    )


def _inline(svg: str, name: str) -> str:
    """Return the SVG element as part of an HTML page."""
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(?:xmlns(?::\w+)?|version|width|height)="[^"]*"', "", opening)
    svg = re.sub(r"<style\b.*?</style>", "", f"{opening}>{rest}", flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg).replace("xlink:href", "href")
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = svg.replace("<title>", f'<title id="{name}-title">', 1).replace("<desc>", f'<desc id="{name}-desc">', 1)
    svg = svg.replace("<svg", f'<svg aria-labelledby="{name}-title {name}-desc"', 1)
    for colour, word in NAMES.items():
        svg = svg.replace(colour, f"var(--{word}, {colour})")
    return re.sub(r"\s*\n\s*", "\n", svg)


def _content(svg: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", svg, flags=re.DOTALL)
    return unescape(found[1].strip()) if found else ""
