"""Read the tables of the evaluation: NA is a missing number, an empty cell is an empty word."""

from pathlib import Path

import pandas as pd

# words that may be empty and are never missing; every other column may hold NA
WORDS = (
    "model",
    "title",
    "family",
    "metric",
    "fold",
    "seed",
    "subset",
    "note",
    "branch",
    "quantity",
    "label",
    "against",
)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read one tab-separated table of the evaluation."""
    columns = pd.read_csv(path, sep="\t", nrows=0).columns
    numbers = {column: ["NA", ""] for column in columns if column not in WORDS}
    words = dict.fromkeys(columns.intersection(WORDS), str)
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values=numbers, dtype=words)
