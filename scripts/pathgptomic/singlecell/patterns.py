"""Donor patterns: regular expressions whose one group, in a cell's name, is the donor."""

import re


def has_one_group(pattern: str) -> bool:
    """Return whether a text is a regular expression with exactly one group."""
    try:
        return re.compile(pattern).groups == 1
    except re.error:
        return False
