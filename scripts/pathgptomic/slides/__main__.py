"""Features of single slides, without a workflow: ``python -m pathgptomic.slides SLIDE ... --out FOLDER``.

FOLDER gets slides.tsv (what became of each slide) and, named by slide, embedded/ (HDF5 as CLAM and TRIDENT write it),
overlays/ (which tiles were read, and why others were not), thumbnails/ and tissue/ (outlines for QuPath).
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import pandas as pd

from pathgptomic.slides.embed import embed_slides


def main(arguments: list[str]) -> int:
    """Encode slides named on the command line; return 1 if one of them could not be used."""
    parser = argparse.ArgumentParser(
        prog="python -m pathgptomic.slides", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slides", nargs="+", type=Path, help="slide files of any format that OpenSlide reads")
    parser.add_argument("--out", type=Path, default=Path("slides"), help="folder for features and pictures")
    parser.add_argument("--encoder", default="efficientnet-lite0", help="name of the registry, or timm:MODEL")
    parser.add_argument("--weights", help="file of the encoder's weights, where they do not come with the software")
    parser.add_argument("--mpp", type=float, help="microns per pixel of level 0, where the slides do not state it")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--backend", choices=("torch", "openvino"), default="torch")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args(arguments)
    names = pd.Series([path.stem for path in chosen.slides])
    if names.duplicated().any():
        parser.error(f"two slides are named {names[names.duplicated()].iloc[0]}; their features would be one file")
    try:
        _embed(chosen, names)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    result = pd.read_csv(chosen.out / "slides.tsv", sep="\t", keep_default_na=False)
    for row in result.itertuples():
        logging.info("%s: %s %s", row.slide_id, row.status, row.reason or f"{row.tiles} tiles in {row.features}")
    return int(not result["status"].isin(["ok", "empty"]).all())


def _embed(chosen: argparse.Namespace, names: pd.Series) -> None:
    """Write the tables that the workflow would have, and embed the slides as one batch of it."""
    with tempfile.TemporaryDirectory() as folder:
        listed, overrides = Path(folder) / "slides.tsv", Path(folder) / "mpp.tsv"
        table = pd.DataFrame({"slide_id": names, "patient_id": names, "path": [str(path) for path in chosen.slides]})
        table.to_csv(listed, sep="\t", index=False)
        table.assign(mpp=chosen.mpp).to_csv(overrides, sep="\t", index=False)
        embed_slides(
            slides=str(listed),
            overrides=None if chosen.mpp is None else str(overrides),
            settings=SETTINGS | {"encoder": chosen.encoder, "backend": chosen.backend},
            weights=chosen.weights,
            batch=0,
            device=chosen.device,
            threads=chosen.threads,
            folder=str(chosen.out),
            table_out=str(chosen.out / "slides.tsv"),
        )


# the defaults of config/schemas/slides.schema.yaml, in one batch and of every kind of slide
SETTINGS = {
    "precision": "auto",
    "dtype": "float16",
    "tile": {"size": None, "stride": None, "mpp": None, "minimum_tissue": 0.5, "maximum_unreadable": 0.05},
    "tissue": {},
    "quality": {},
    "select": "all",
    "batches": 1,
    "batch_size": 64,
    "patience_minutes": 10,
    "keep_slides": True,
}

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    sys.exit(main(sys.argv[1:]))
