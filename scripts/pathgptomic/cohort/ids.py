"""Ids of patients and slides: they come from files of others, and become names of files of ours."""

from collections.abc import Iterable
from pathlib import Path

LONGEST = 180  # bytes; a file name has at most 255, and endings and temporary names need some of them


def check_ids(ids: Iterable[str], kind: str, path: str | Path) -> None:
    """Refuse ids that are no plain file name.

    Anything else is allowed, since no id ever reaches a shell, and reports escape what they show.

    Parameters
    ----------
    ids
        Ids of one table.
    kind
        ``patient`` or ``slide``, for the message.
    path
        The table.

    Raises
    ------
    ValueError
        Naming the first id that is empty, too long, begins with a dot, or holds a slash, a backslash or a character
        that cannot be printed (a line break, say).
    """
    for name in map(str, ids):
        if problem := _problem(name):
            shown = name if len(name) <= 60 else f"{name[:57]}..."
            raise ValueError(
                f"{path}: the {kind} id {shown!r} {problem}, and ids become names of files; change it there (`id` of "
                "the cohort file can cut or replace parts of ids)."
            )


def _problem(name: str) -> str:
    if not name.strip():
        return "is empty"
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST:
        return f"is longer than {LONGEST} bytes"
    if name.startswith("."):
        return "begins with a dot"
    if "/" in name or "\\" in name:
        return "holds a slash"
    if not name.isprintable():
        return "holds a character that cannot be printed"
    return ""
