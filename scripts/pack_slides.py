"""Pack the image features of a cohort into bags (rule pack_slides)."""

from pathlib import Path

from pathgptomic.job import job
from pathgptomic.slides.pack import pack_slides

with job(snakemake):
    pack_slides(
        files=dict(snakemake.input.items()),
        settings=snakemake.params.settings,
        out=str(Path(snakemake.output.bags).parent),
    )
