"""Majaj, Hong, Solomon & DiCarlo 2015, J Neurosci 35:13402: V4 and IT of two macaques, multi-unit arrays, 64 objects.

The public part of what Brain-Score holds (``dicarlo.MajajHong2015.public``): 3,200 images of objects on photographs, of no
or medium variation in place, size and pose; 88 sites in V4 and 168 in IT, mean response from 70 to 170 ms, normalised at the
source. Splits of the ``brainscore`` preset represent objects alike on both sides. See ``_brainscore`` for the files.
"""

from __future__ import annotations

from data_loaders._brainscore import Source, load_region
from data_loaders._files import DataFile, locate, read_checksums
from neurocompare.benchmark import Benchmark
from neurocompare.errors import unknown_name

FILES = read_checksums("majaj2015", "https://brainscore-storage.s3.amazonaws.com/brainio-brainscore/")
RESPONSES = "assy_dicarlo_MajajHong2015_public.nc"
OLDER = DataFile(
    f"majaj2015/{RESPONSES}",
    None,
    f"https://brainio.dicarlo.s3.amazonaws.com/{RESPONSES}",
    "13d28ca0ce88ee550b54db3004374ae19096e9b9",
)
REGIONS = ("V4", "IT")
SOURCE = Source(
    name="majaj2015",
    window=(70, 170),
    units="mean firing rate from 70 to 170 ms, normalised at the source",
    labels=("category_name", "object_name"),
    stratified_by="object_name",
    subject="not stated",
    citation="Majaj, Hong, Solomon & DiCarlo 2015, J Neurosci 35:13402-13418, doi:10.1523/JNEUROSCI.5181-14.2015; "
    "as published with Brain-Score (Schrimpf et al. 2018, bioRxiv 407007)",
    licence="none stated",
)


def load_majaj2015(region: str) -> Benchmark:
    """Responses of one region to each presentation of each image.

    Args:
        region: ``"V4"`` or ``"IT"``.
    Raises:
        InputError: no such region.
        DataUnavailable: a file cannot be had or does not hold what it should.
    """
    if region not in REGIONS:
        raise unknown_name("region of majaj2015", region, REGIONS)
    responses = locate(FILES[RESPONSES], OLDER)
    table, images = (locate(FILES[f"stimulus_hvm-public.{kind}"]) for kind in ("csv", "zip"))
    return load_region(SOURCE, region, responses, table, images)
