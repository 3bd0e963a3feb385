"""Write a simulated cohort as a mirror of the GDC: its answers, and files in its formats under UUID/NAME."""

import functools
import gzip
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pathgptomic.cohort.simulate.expression import bulk_expression, cell_profiles
from pathgptomic.cohort.simulate.gdc_files import star_genes, write_gene_copies, write_maf, write_star_counts
from pathgptomic.cohort.simulate.gdc_hits import case_hit, file_hit, lost_case, name_uuid
from pathgptomic.cohort.simulate.pictures import Picture, pictures, write_picture
from pathgptomic.cohort.simulate.spec import Spec
from pathgptomic.cohort.simulate.tables import write_truth
from pathgptomic.cohort.simulate.world import World, simulate
from pathgptomic.files import atomic
from pathgptomic.seeds import rng

logger = logging.getLogger(__name__)

RELEASE = "Simulated Release 1.0"
REPLICATE_EVERY, NORMAL_EVERY, LOST_EVERY = 20, 15, 50  # patients


def simulate_mirror(
    *, settings: Mapping[str, Any], seed: int, threads: int, mirror_out: str, truth_out: str, hazards_out: str
) -> None:
    """Simulate a cohort and write it as a local mirror of the GDC.

    Parameters
    ----------
    settings
        The `simulate` section of the cohort file.
    seed
        Of every random choice.
    threads
        Slides drawn at the same time.
    mirror_out
        Folder: ``answers/{files,cases,status}.json`` and ``<uuid>/<file name>``.
    truth_out, hazards_out
        As `write_truth` says.
    """
    spec = Spec.from_dict(settings)
    world = simulate(spec, seed)
    with atomic(mirror_out) as folder:
        folder.mkdir()
        hits = [*_molecular_files(world, spec, seed, folder), *_slide_files(world, spec, seed, folder, threads)]
        _write_answers(folder / "answers", hits, list(_cases(world, seed)))
    logger.info("wrote %d files of %d patients", len(hits), len(world.patients))
    write_truth(world, spec, seed, truth_out=truth_out, hazards_out=hazards_out)


def _cases(world: World, seed: int) -> Iterator[dict[str, Any]]:
    for number, (patient_id, patient) in enumerate(world.patients.iterrows()):
        yield case_hit(str(patient_id), patient, seed, number)
    for number in range(max(len(world.patients) // LOST_EVERY, 1)):
        yield lost_case(f"SIMU-01-Z{number:03d}", seed)


def _molecular_files(world: World, spec: Spec, seed: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Write the molecular files and yield their hits."""
    genes = cell_profiles(spec.genes, seed).genes
    rows = star_genes(genes)
    tpm = bulk_expression(world, spec, seed)
    put = functools.partial(_put, folder, seed)
    for number, (case, patient) in enumerate(tqdm(world.patients.iterrows(), desc="molecular files", unit="patient")):
        plate = f"A{100 + number % 30:03d}"
        tumour, normal = f"{case}-01A-11D-{plate}-01", f"{case}-10A-01D-{plate}-01"
        if patient["has_expression"]:
            for aliquot, values in _rna(case, plate, number, tpm.loc[case].to_numpy(), seed):
                write = functools.partial(write_star_counts, genes=rows, tpm=values, seed=seed)
                yield put("expression", "rna_seq.augmented_star_gene_counts.tsv", write, aliquot)
        if patient["has_cnv"]:
            write = functools.partial(write_gene_copies, genes=genes, copies=world.copy_number.loc[case], seed=seed)
            yield put("cnv", "ascat3.gene_level_copy_number.v36.tsv", write, tumour, normal)
        if patient["has_mutations"]:
            mutated = world.mutations.columns[world.mutations.loc[case]].tolist()
            write = functools.partial(write_maf, mutated=mutated, aliquot=tumour, seed=seed)
            yield put("mutations", "wxs.aliquot_ensemble_masked.maf.gz", write, tumour, normal)


def _put(
    folder: Path, seed: int, kind: str, ending: str, write: Callable[[Path], None], *aliquots: str
) -> dict[str, Any]:
    """Write one file of a patient's aliquots and return its hit."""
    uuid = name_uuid(seed, kind, *aliquots)
    path = folder / uuid / f"{name_uuid(seed, 'name', kind, *aliquots)}.{ending}"
    path.parent.mkdir()
    write(path)
    return file_hit(
        kind, aliquots[0][:12], uuid=uuid, name=path.name, **fingerprint(path), seed=seed, aliquots=aliquots
    )


def _rna(patient_id: str, plate: str, number: int, tpm: np.ndarray, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the RNA aliquots of a patient: the tumour, of some a second vial, of some a normal sample."""
    noise = rng(seed, "simulate", "other aliquots", patient_id)
    yield f"{patient_id}-01A-11R-{plate}-07", tpm
    if number % REPLICATE_EVERY == 1:
        yield f"{patient_id}-01B-11R-{plate}-07", tpm * np.exp(0.5 * noise.normal(size=len(tpm)))
    if number % NORMAL_EVERY == 2:
        yield f"{patient_id}-11A-11R-{plate}-07", noise.permutation(tpm)


def _slide_files(world: World, spec: Spec, seed: int, folder: Path, threads: int) -> Iterator[dict[str, Any]]:
    """Draw the slides, in several processes, and yield their hits."""
    drawn = list(pictures(world, spec, seed, folder))
    with ProcessPoolExecutor(threads) as pool:
        done = pool.map(write_picture, drawn, chunksize=4)
        for picture, _ in tqdm(zip(drawn, done, strict=True), total=len(drawn), desc="slides", unit="slide"):
            yield _slide_hit(picture, seed)


def _slide_hit(picture: Picture, seed: int) -> dict[str, Any]:
    path = Path(picture.path)
    return file_hit(
        picture.kind,
        picture.patient_id,
        uuid=path.parent.name,
        name=path.name,
        **fingerprint(path),
        seed=seed,
        aliquots=(path.name.split(".")[0],),
    )


def fingerprint(path: Path) -> dict[str, Any]:
    """Return the MD5 and the size of a file."""
    with open(path, "rb") as handle:
        return {"md5": hashlib.file_digest(handle, "md5").hexdigest(), "size": path.stat().st_size}


def _write_answers(folder: Path, files: list[dict[str, Any]], cases: list[dict[str, Any]]) -> None:
    folder.mkdir()
    (folder / "status.json").write_text(json.dumps({"status": "OK", "data_release": RELEASE}) + "\n")
    for kind, hits in (("files", files), ("cases", cases)):
        answer = {"data": {"hits": hits, "pagination": {"count": len(hits), "total": len(hits)}}, "warnings": {}}
        with gzip.GzipFile(folder / f"{kind}.json.gz", "wb", mtime=0) as handle:
            handle.write(json.dumps(answer).encode())
