"""Draw a cohort: latent biology, planted log-hazard, survival times, follow-up and sites."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pathgptomic.cohort.gdc.genome import ARMS
from pathgptomic.cohort.simulate.spec import MODALITIES, PARTS, Spec
from pathgptomic.seeds import rng

# Mean share of each cell type in a tumour
CELL_TYPES = {
    "malignant": 0.50,
    "T cell": 0.12,
    "macrophage": 0.14,
    "endothelial": 0.08,
    "fibroblast": 0.11,
    "oligodendrocyte": 0.05,
}
CONCENTRATION = 8.0  # of the Dirichlet distribution of the shares
HARMFUL_GENE, PROTECTIVE_GENE = "TP53", "IDH1"
MUTATED_GENES = (
    HARMFUL_GENE, PROTECTIVE_GENE, "EGFR", "PTEN", "ATRX", "NF1", "PIK3CA", "PIK3R1", "RB1", "KRAS", "BRAF", "VHL",
    "PBRM1", "SETD2", "BAP1", "CDKN2A", "ARID1A", "KMT2D", "NOTCH1", "FUBP1", "TTN", "MUC16", "CDH1", "GATA3", "MAP3K1",
    "APC", "FBXW7", "SMAD4", "CTNNB1", "KEAP1", "STK11", "FAT1", "CREBBP", "EP300", "STAG2", "KDM6A", "ERBB2", "MYC",
    "MDM2", "CDK4",
)  # fmt: skip
HARMFUL_ARM = "10q"


@dataclass(frozen=True)
class World:
    """A simulated cohort; every table is indexed by patient_id.

    Attributes
    ----------
    patients
        site, age (years), sex, grade, time_days, event (True where death was observed), has_<modality>.
    cells
        Patients x cell types, shares that sum to 1.
    mutations
        Patients x genes, True where mutated.
    copy_number
        Patients x chromosome arms, whole copies (2 is normal).
    density
        Nuclear density of the tumour on the slide, standardised.
    parts
        Patients x parts of the log-hazard (see `PARTS`); their sum is the true log-hazard.
    """

    patients: pd.DataFrame
    cells: pd.DataFrame
    mutations: pd.DataFrame
    copy_number: pd.DataFrame
    density: pd.Series
    parts: pd.DataFrame

    @property
    def log_hazard(self) -> pd.Series:
        """True log-hazard of each patient."""
        return self.parts.sum(axis=1).rename("log_hazard")


def simulate(spec: Spec, seed: int) -> World:
    """Draw a cohort; the same `spec` and `seed` give the same cohort."""
    sites = rng(seed, "simulate", "site").integers(0, spec.sites, spec.patients)
    ids = pd.Index([f"SIMU-{_site_code(s)}-{_case_code(i)}" for i, s in enumerate(sites)], name="patient_id")
    cells = _cells(ids, seed)
    mutations = _mutations(ids, spec, seed)
    copy_number = _copy_number(ids, seed)
    density = pd.Series(rng(seed, "simulate", "density").normal(size=len(ids)), ids, name="density")
    patients = _covariates(ids, sites, density, seed)
    parts = _parts(patients, cells, mutations, copy_number, density, spec)
    time_days, event = _follow_up(parts.sum(axis=1).to_numpy(), spec, seed)
    patients = patients.assign(time_days=time_days, event=event)
    for modality in MODALITIES:
        absent = rng(seed, "simulate", "missing", modality).random(len(ids)) < spec.missing.get(modality, 0.0)
        patients[f"has_{modality}"] = ~absent
    tables = (patients, cells, mutations, copy_number, density, parts)
    return World(*(table.sort_index() for table in tables))


def _site_code(site: int) -> str:
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return digits[(site + 1) // 36 % 36] + digits[(site + 1) % 36]


def _case_code(i: int) -> str:
    return f"{'ABCDEFGHJKLMNPQRSTUVWXYZ'[i // 1000 % 24]}{i % 1000:03d}"


def _cells(ids: pd.Index, seed: int) -> pd.DataFrame:
    shares = rng(seed, "simulate", "cells").dirichlet(CONCENTRATION * np.array(list(CELL_TYPES.values())), len(ids))
    return pd.DataFrame(shares, ids, list(CELL_TYPES))


def _mutations(ids: pd.Index, spec: Spec, seed: int) -> pd.DataFrame:
    generator = rng(seed, "simulate", "mutations")
    genes = list(MUTATED_GENES[: spec.mutated_genes])
    genes += [f"SIMMUT{i:04d}" for i in range(len(genes), spec.mutated_genes)]
    prevalence = np.clip(generator.beta(0.8, 8.0, len(genes)), 0.01, 0.6)
    prevalence[:2] = 0.35, 0.30  # the planted ones are common enough to be found in a small cohort
    return pd.DataFrame(generator.random((len(ids), len(genes))) < prevalence, ids, genes)


def _copy_number(ids: pd.Index, seed: int) -> pd.DataFrame:
    generator = rng(seed, "simulate", "copy number")
    loss = np.where(np.array(ARMS) == HARMFUL_ARM, 0.40, 0.12)
    draw = generator.random((len(ids), len(ARMS)))
    copies = np.where(draw < loss, 1, np.where(draw > 0.97, 4, np.where(draw > 0.87, 3, 2)))
    return pd.DataFrame(copies, ids, list(ARMS))


def _covariates(ids: pd.Index, sites: np.ndarray, density: pd.Series, seed: int) -> pd.DataFrame:
    generator = rng(seed, "simulate", "covariates")
    age = np.clip(generator.normal(58.0, 12.0, len(ids)), 20, 89).round(1)
    sex = np.where(generator.random(len(ids)) < 0.5, "female", "male")  # has no effect: a control
    # grade is what a pathologist makes of the density: it carries part of it, and nothing else
    seen = 0.6 * density.to_numpy() + 0.8 * generator.normal(size=len(ids))
    grade = np.select([seen < -0.5, seen < 0.6], ["G2", "G3"], "G4")
    codes = [_site_code(s) for s in sites]
    return pd.DataFrame({"site": codes, "age": age, "sex": sex, "grade": grade}, ids)


def _parts(
    patients: pd.DataFrame,
    cells: pd.DataFrame,
    mutations: pd.DataFrame,
    copy_number: pd.DataFrame,
    density: pd.Series,
    spec: Spec,
) -> pd.DataFrame:
    """Return the contributions to the log-hazard, each centred with the standard deviation that `spec` names."""
    raw = {
        "cells": np.log((cells["macrophage"] + 0.02) / (cells["T cell"] + 0.02)),
        "mutations": mutations[HARMFUL_GENE].astype(float) - mutations[PROTECTIVE_GENE],
        "cnv": -copy_number[HARMFUL_ARM].clip(1, 2).astype(float),
        "density": density,
        "age": patients["age"],
    }
    table = pd.DataFrame({part: raw[part] for part in PARTS})
    spread = table.std(ddof=0).replace(0.0, 1.0)
    return (table - table.mean()) / spread * pd.Series({part: spec.effects.get(part, 0.0) for part in PARTS})


def _follow_up(log_hazard: np.ndarray, spec: Spec, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return observed times (days, at least 1) and events under a Weibull proportional-hazards model.

    Survival is exp(-(t / scale)^shape exp(log-hazard)); follow-up ends at a common closing date after staggered entry
    or at an exponential drop-out. The scale is set so that the share of observed deaths is `spec.event_fraction`.
    """
    generator = rng(seed, "simulate", "times")
    n = len(log_hazard)
    unit = (generator.exponential(size=n) * np.exp(-log_hazard)) ** (1 / spec.weibull_shape)
    entry = generator.uniform(0, spec.accrual_days, n)
    end = np.minimum(spec.study_days - entry, generator.exponential(spec.dropout_days, n))
    # a death is observed where scale < end / unit: the scale is a quantile of that ratio
    scale = np.quantile(end / unit, 1 - spec.event_fraction)
    death = scale * unit
    event = death <= end
    return np.maximum(np.ceil(np.minimum(death, end)), 1.0), event
