"""Read a page of the report as a browser would: elements, attributes, texts, tables."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "link", "br", "hr", "input"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    path: tuple[str, ...]
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def all(self, tag: str) -> list["Element"]:
        found = [child for child in self.children if child.tag == tag]
        return found + [each for child in self.children for each in child.all(tag)]

    def everything(self) -> list["Element"]:
        return [self, *(each for child in self.children for each in child.everything())]

    def words(self) -> str:
        return " ".join((self.text + "".join(f" {child.words()} " for child in self.children)).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("root", {}, ())
        self.stack = [self.root]

    def handle_starttag(self, tag, attrs):
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(each.tag for each in self.stack))
        self.stack[-1].children.append(element)
        if tag not in VOID:
            self.stack.append(element)

    def handle_startendtag(self, tag, attrs):
        self.stack[-1].children.append(
            Element(tag, {name: value or "" for name, value in attrs}, tuple(each.tag for each in self.stack))
        )

    def handle_endtag(self, tag):
        assert self.stack[-1].tag == tag, f"</{tag}> closes <{self.stack[-1].tag}>"
        self.stack.pop()

    def handle_data(self, data):
        self.stack[-1].children.append(Element("#text", {}, (), data))


def read_page(text: str) -> Element:
    """Return the root of a page; an element that is not closed in its place is an error."""
    reader = _Reader()
    reader.feed(text)
    assert [each.tag for each in reader.stack] == ["root"], f"not closed: {[each.tag for each in reader.stack]}"
    return reader.root


def tables(root: Element) -> dict[str, list[dict[str, str]]]:
    """Return every table by its caption, as rows of column title -> text; a repeated title gets its number."""
    found = {}
    for table in root.all("table"):
        heads = []
        for head in table.all("thead")[0].all("th"):
            title = head.words()
            heads.append(title if title not in heads else f"{title} {len(heads)}")
        rows = []
        for row in table.all("tbody")[0].all("tr"):
            cells = [child for child in row.children if child.tag in ("th", "td")]
            rows.append(dict(zip(heads, [cell.words() for cell in cells], strict=True)))
        found[table.all("caption")[0].words()] = rows
    return found
