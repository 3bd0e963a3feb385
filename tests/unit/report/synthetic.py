"""A synthetic cohort whose true risk is known, and predictions that see it more or less clearly."""

from pathlib import Path

import numpy as np
import pandas as pd

from pathgptomic.cohort.tables import HAS, write_patients, write_splits
from pathgptomic.seeds import rng


def write_cohort(folder: Path, *, patients: int = 200, folds: int = 4, scheme: str = "kfold", seed: int = 0) -> Path:
    """Write patients.tsv, splits.tsv and truth.tsv (patient_id, log_hazard); `scheme` is kfold or monte-carlo."""
    generator = rng(seed, "synthetic cohort")
    ids = [f"P{number:04d}" for number in range(patients)]
    stratum = generator.choice(["high grade", "low grade"], patients)
    truth = generator.normal(size=patients) + (stratum == "high grade")
    death = generator.exponential(1500 / np.exp(truth))
    left = generator.uniform(300, 4000, patients)
    table = pd.DataFrame(
        {
            "time_days": np.ceil(np.minimum(death, left)),
            "event": death <= left,
            "site": generator.choice(["01", "02", "03"], patients),
            "stratum": stratum,
            "idh": generator.choice(["mutant", "wildtype", None], patients),
            **dict.fromkeys(HAS, True),
        },
        index=pd.Index(ids, name="patient_id"),
    )
    write_patients(folder / "patients.tsv", table)
    write_splits(folder / "splits.tsv", splits_of(ids, folds, scheme, generator))
    pd.DataFrame({"patient_id": ids, "log_hazard": truth}).to_csv(folder / "truth.tsv", sep="\t", index=False)
    return folder


def splits_of(ids: list[str], folds: int, scheme: str, generator: np.random.Generator) -> pd.DataFrame:
    """Return splits with three inner parts; Monte-Carlo splits test a fifth of the patients each time."""
    parts = np.array_split(generator.permutation(len(ids)), folds)
    rows = []
    for fold in range(folds):
        test = parts[fold] if scheme == "kfold" else generator.permutation(len(ids))[: len(ids) // 5]
        inner = generator.permutation(np.arange(len(ids)) % 3 + 1)
        inner[test] = 0
        role = np.where(inner == 0, "test", "train")
        rows.append(pd.DataFrame({"fold": fold + 1, "patient_id": ids, "role": role, "inner": inner}))
    return pd.concat(rows, ignore_index=True)


def write_predictions(
    folder: Path, model: str, *, signal: float, overfit: float = 1.0, scale: float = 1.0, seeds: int = 1
) -> Path:
    """Write `<model>.tsv`: `signal` times the truth plus noise, the noise of a fold in part the same for all roles."""
    truth = pd.read_csv(folder / "truth.tsv", sep="\t").set_index("patient_id")["log_hazard"]
    splits = pd.read_csv(folder / "splits.tsv", sep="\t")
    generator = rng(0, "synthetic predictions", model)
    standing = pd.Series(generator.normal(size=len(truth)), truth.index)
    rows = []
    for (fold, role), part in splits.groupby(["fold", "role"]):
        for seed in range(seeds):
            noise = standing[part["patient_id"]].to_numpy() + 0.5 * generator.normal(size=len(part))
            clear = signal * truth[part["patient_id"]].to_numpy()
            for name in ("train", "inner") if role == "train" else ("test",):
                seen = overfit * truth[part["patient_id"]].to_numpy() if name == "train" else 0.0
                frame = pd.DataFrame({"fold": fold, "seed": seed, "patient_id": part["patient_id"], "role": name})
                rows.append(frame.assign(log_hazard=scale * (clear + seen + noise)))
    path = folder / f"{model}.tsv"
    pd.concat(rows).to_csv(path, sep="\t", index=False)
    return path
