"""Copy number, gene-level or in segments, one file a sample -> patients x arms and genes."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from pathgptomic.cohort.gdc.genome import ARMS, AUTOSOMES, arm_of, centromeres, plain_chromosome
from pathgptomic.cohort.gdc.tabular import read_tsv

logger = logging.getLogger(__name__)

GENE_LEVEL = "Gene Level Copy Number"
LOG_RATIO, COPIES = "Segment_Mean", "Copy_Number"


def read_copy_number_files(
    paths: Mapping[str, str],
    *,
    data_type: str,
    level: str = "arm",
    genes: Sequence[str] = (),
    genome: str = "hg38",
    positions: str | None = None,
) -> pd.DataFrame:
    """Read one file a patient.

    Parameters
    ----------
    paths
        File of each patient.
    data_type
        ``Gene Level Copy Number``, or a kind of segments.
    level
        ``arm``: autosomal arms, and the `genes` beside them; ``gene``: the `genes`, or all if there are none named.
    genes
        Symbols.
    genome
        Build of segments: ``hg38`` or ``hg19``.
    positions
        Table with columns gene, chromosome, start, end: needed for genes out of segments.

    Returns
    -------
    DataFrame [patients, features], float32
        Copies above the ploidy of the sample (its median over the autosomes), or log2 ratios where segments hold these;
        NaN where a sample has no segment.
    """
    if data_type == GENE_LEVEL:
        read = _gene_level_reader(level, genes)
    else:
        places = read_positions(positions) if positions else None
        read = _segment_reader(level, genes, genome, places)
    rows = {patient: read(path) for patient, path in tqdm(paths.items(), desc="copy number", unit="file")}
    table = pd.DataFrame.from_dict(rows, orient="index").astype(np.float32).rename_axis("patient_id")
    lost = [gene for gene in genes if gene not in table.columns]
    if lost:
        raise ValueError(f"the copy-number files know no gene {lost[0]!r}; correct gdc.cnv.genes.")
    return table


def _gene_level_reader(level: str, genes: Sequence[str]) -> Callable[[str], pd.Series]:
    """Return a reader of gene-level files that works out the arms of the genes once."""
    known: dict[str, object] = {}

    def read(path: str) -> pd.Series:
        columns = {"gene_id": pa.string(), "copy_number": pa.float32()}
        table = read_tsv(path, columns)
        if not known:
            known["ids"] = table["gene_id"].combine_chunks()
            known["genes"] = _gene_places(path)
        elif not table["gene_id"].combine_chunks().equals(known["ids"]):
            raise ValueError(f"{path} lists other genes than the first file; lock one gene model only.")
        copies = table["copy_number"].to_numpy().astype(np.float32)
        return _features(known["genes"], copies, level, genes)

    return read


def _gene_places(path: str) -> pd.DataFrame:
    """Return the symbol (unique: the first of each) and the arm of every row of a gene-level file."""
    text = {"gene_name": pa.string(), "chromosome": pa.string(), "start": pa.int64()}
    table = read_tsv(path, text).to_pandas()
    chromosome = plain_chromosome(table["chromosome"])
    symbol = table["gene_name"].where(~table["gene_name"].duplicated())
    return pd.DataFrame({"symbol": symbol, "arm": arm_of(chromosome, table["start"])})


def _features(places: pd.DataFrame, copies: np.ndarray, level: str, genes: Sequence[str]) -> pd.Series:
    """Return arms (median of their genes) and genes, as copies above the sample's ploidy."""
    on_arm = places["arm"].notna().to_numpy()
    relative = copies - np.nanmedian(copies[on_arm]) if np.isfinite(copies[on_arm]).any() else copies
    by_gene = pd.Series(relative, places["symbol"])[lambda s: s.index.notna()]
    if level == "gene":
        return by_gene.reindex(list(genes)) if genes else by_gene
    arms = pd.Series(relative).groupby(places["arm"].to_numpy()).median().reindex(list(ARMS))
    return pd.concat([arms, by_gene[by_gene.index.isin(genes)]])


def _segment_reader(
    level: str, genes: Sequence[str], genome: str, places: pd.DataFrame | None
) -> Callable[[str], pd.Series]:
    if places is None and (level == "gene" or genes):
        raise ValueError("genes out of copy-number segments need their places; name a table in gdc.cnv.positions.")
    if places is not None and genes:
        places = places[places["gene"].isin(genes)]

    def read(path: str) -> pd.Series:
        segments = read_segments(path)
        by_gene = segment_means(segments, places, "gene") if places is not None else pd.Series(dtype=float)
        return by_gene if level == "gene" else pd.concat([arm_means(segments, genome), by_gene])

    return read


def read_segments(path: str | Path) -> pd.DataFrame:
    """Read a file of segments: `chromosome`, `start`, `end` and `value`.

    The value is the log2 ratio of the file, or the total copies above the sample's ploidy where it holds copies. Sample
    columns of any name and chromosomes with or without ``chr`` are taken.
    """
    columns = {
        "Chromosome": pa.string(),
        "Start": pa.float64(),
        "End": pa.float64(),
        LOG_RATIO: pa.float64(),
        COPIES: pa.float64(),
    }
    table = read_tsv(path, columns, alternatives=(LOG_RATIO, COPIES)).to_pandas()
    if LOG_RATIO not in table and COPIES not in table:
        raise ValueError(f"{path} has neither a column {LOG_RATIO} nor {COPIES}; it is no file of segments.")
    segments = pd.DataFrame(
        {"chromosome": plain_chromosome(table["Chromosome"]), "start": table["Start"], "end": table["End"]}
    )
    if LOG_RATIO in table:
        return segments.assign(value=table[LOG_RATIO])
    autosomal = segments["chromosome"].isin(AUTOSOMES)
    length = (segments["end"] - segments["start"] + 1)[autosomal]
    return segments.assign(value=table[COPIES] - _weighted_median(table.loc[autosomal, COPIES], length))


def arm_means(segments: pd.DataFrame, genome: str = "hg38") -> pd.Series:
    """Return the mean value of each autosomal arm, segments weighted by their length on it."""
    boundary = centromeres(genome)
    end = 1e9
    arms = pd.DataFrame(
        [
            (arm, arm[:-1], *((1, boundary[arm[:-1]]) if arm.endswith("p") else (boundary[arm[:-1]], end)))
            for arm in ARMS
        ],
        columns=["arm", "chromosome", "start", "end"],
    )
    return segment_means(segments, arms, "arm")


def segment_means(segments: pd.DataFrame, places: pd.DataFrame, name: str) -> pd.Series:
    """Return the mean value over each place (`chromosome`, `start`, `end`; named by column `name`).

    Segments count by the length that they share with the place; NaN where none does.
    """
    means = {}
    by_chromosome = dict(list(segments.groupby("chromosome")))
    for place in places.itertuples(index=False):
        here = by_chromosome.get(place.chromosome)
        if here is None:
            means[getattr(place, name)] = np.nan
            continue
        shared = np.minimum(here["end"], place.end) - np.maximum(here["start"], place.start) + 1
        weight = shared.clip(lower=0).to_numpy()
        value = here["value"].to_numpy()
        measured = (weight > 0) & np.isfinite(value)
        means[getattr(place, name)] = (
            np.average(value[measured], weights=weight[measured]) if measured.any() else np.nan
        )
    return pd.Series(means, dtype=float)


def read_positions(path: str | Path) -> pd.DataFrame:
    """Read a table of genes: gene, chromosome, start, end."""
    table = pd.read_csv(path, sep=None, engine="python", dtype={"chromosome": str})
    for column in ("gene", "chromosome", "start", "end"):
        if column not in table:
            raise ValueError(f"{path} has no column {column!r}; it needs gene, chromosome, start and end.")
    return table.assign(chromosome=plain_chromosome(table["chromosome"])).drop_duplicates("gene")


def _weighted_median(values: pd.Series, weights: pd.Series) -> float:
    order = np.argsort(values.to_numpy(), kind="stable")
    total = weights.to_numpy()[order].cumsum()
    return float(values.to_numpy()[order][np.searchsorted(total, total[-1] / 2)]) if len(order) else 0.0
