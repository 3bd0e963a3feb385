"""Peak memory of reading a slide as the workflow does: ``python -m tests.benchmarks.slides_memory SLIDE``.

Tiles are averaged instead of encoded, which would take an hour on a CPU; the encoder is loaded and run on the first
batch, so that its memory counts.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, "scripts")

import numpy as np
import psutil

from pathgptomic.slides.encode import make_encoder
from pathgptomic.slides.feed import Job, feed


def main(slide: str) -> None:
    """Print the peak of this process and of the reading one, together, and the number of tiles."""
    encoder = make_encoder(name="efficientnet-lite0", weights=None, tile=224, device="cpu")
    tiles = reader = 0
    features = []
    with tempfile.TemporaryDirectory() as folder:
        job = Job("slide", slide, None, folder)
        for message in feed([job], {"size": 224, "stride": 224, "mpp": 0.5}, batch=64, threads=1, patience_s=600):
            if message.event == "tiles":
                if not tiles:
                    encoder.run(message.tiles)
                features.append(np.repeat(message.tiles.mean(axis=(1, 2)), 427, axis=1).astype(np.float16))
                tiles += len(message.tiles)
            for child in psutil.Process().children():
                reader = max(reader, peak(child.pid))
            if message.event == "failed":
                raise SystemExit(message.content["reason"])
    sys.stdout.write(json.dumps({"gigabytes": (peak(os.getpid()) + reader) / 2**20, "tiles": tiles}) + "\n")


def peak(process: int) -> int:
    """Return the peak resident memory of a process in KiB; getrusage would count what its parent held at its start."""
    return int(Path(f"/proc/{process}/status").read_text().split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    main(sys.argv[1])
