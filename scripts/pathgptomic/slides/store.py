"""Features of one slide as HDF5, in the layout that users of CLAM and TRIDENT know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pathgptomic.files import atomic


def write_features(path: str | Path, features: np.ndarray, coords: np.ndarray, facts: Mapping[str, Any]) -> None:
    """Write one slide and read it back before it gets its name.

    Parameters
    ----------
    path
        The file.
    features
        (n, dimension) float16 or float32, as they are stored.
    coords
        (n, 2) left and top in level-0 pixels.
    facts
        What is recorded: attributes of the file; those that CLAM and TRIDENT look for also stand at ``coords`` and
        ``features``.

    Raises
    ------
    ValueError
        If there is not one vector a tile, if values are missing or infinite (as beyond the range of float16), or if
        the file does not read back.
    """
    if len(features) != len(coords) or not np.isfinite(features).all():
        raise ValueError(f"the features of {Path(path).stem} do not fit {features.dtype}; set slides.dtype: float32")
    with atomic(path) as temporary:
        with h5py.File(temporary, "w") as file:
            # contiguous and uncompressed: read whole, or mapped, at the speed of the disk
            kept = file.create_dataset("features", data=features)
            kept.attrs["encoder"], kept.attrs["name"] = facts["encoder"], facts["slide_id"]
            at = file.create_dataset("coords", data=coords.astype(np.int64))
            at.attrs.update(_known_elsewhere(facts))
            file.attrs.update({name: value for name, value in facts.items() if value is not None})
        problem = verify(temporary, facts["hash"])
        if problem:
            raise ValueError(f"the features of {Path(path).stem} did not reach the disk whole: {problem}")


def _known_elsewhere(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of ``coords`` under the names of TRIDENT and CLAM, whose readers stop without them."""
    return {
        "patch_size": facts["tile"],
        "patch_size_level0": round(facts["side_level0"]),
        "level0_magnification": round(10 / facts["slide_mpp"]),
        "target_magnification": round(10 / facts["mpp"]),
        "overlap": max(0, facts["tile"] - facts["stride"]),
        "patch_level": facts["level"],
        "level0_width": facts["width"],
        "level0_height": facts["height"],
        "name": facts["slide_id"],
        "savetodir": "",
    }


def verify(path: str | Path, digest: str, slide: str | Path | None = None) -> str:
    """Return what is wrong with a file of features, or "" if it is whole and was made in the way named `digest`.

    Where the `slide` still exists, it must also have the size that it had when the features were made.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("hash") != digest:
                return "made with other settings"
            if slide is not None and Path(slide).is_file() and Path(slide).stat().st_size != file.attrs["slide_bytes"]:
                return "made from another file"
            features, coords = file["features"], file["coords"]
            if features.ndim != 2 or coords.shape != (len(features), 2):
                return f"features {features.shape} and coords {coords.shape} do not belong together"
            if len(features) and not (np.isfinite(features[0]).all() and np.isfinite(features[-1]).all()):
                return "holds values that are not finite"
            return ""
    except (OSError, KeyError, ValueError) as error:
        return f"does not read ({error})"
