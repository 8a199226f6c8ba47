"""Freeman, Ziemba, Heeger, Simoncelli & Movshon 2013, Nat Neurosci 16:974: V1 and V2 of macaques, single cells, textures.

The public part of what Brain-Score holds (``movshon.FreemanZiemba2013.public``): naturalistic textures, and noise of the
same spectra, behind a round aperture of 4 degrees; 102 cells in V1 and 103 in V2, 20 repetitions. As there, the spike counts
of bins of 1 ms are averaged from 50 to 200 ms, and splits of the ``brainscore`` preset represent textures and noise alike on
both sides. See ``_brainscore`` for the files.
"""

from __future__ import annotations

from data_loaders._brainscore import Source, load_region
from data_loaders._files import locate, read_checksums
from neurocompare.benchmark import Benchmark
from neurocompare.errors import unknown_name

FILES = read_checksums("freemanziemba2013", "https://brainscore-storage.s3.amazonaws.com/brainio-brainscore/")
REGIONS = ("V1", "V2")
SOURCE = Source(
    name="freemanziemba2013",
    window=(50, 200),
    units="spikes per ms, mean from 50 to 200 ms",
    labels=("texture_type", "texture_family"),
    stratified_by="texture_type",
    subject="macaques, not told apart",
    citation="Freeman, Ziemba, Heeger, Simoncelli & Movshon 2013, Nat Neurosci 16:974-981, doi:10.1038/nn.3402; "
    "as published with Brain-Score (Schrimpf et al. 2018, bioRxiv 407007)",
    licence="none stated",
)


def load_freemanziemba2013(region: str) -> Benchmark:
    """Responses of one region to each presentation of each texture.

    Args:
        region: ``"V1"`` or ``"V2"``.
    Raises:
        InputError: no such region.
        DataUnavailable: a file cannot be had or does not hold what it should.
    """
    if region not in REGIONS:
        raise unknown_name("region of freemanziemba2013", region, REGIONS)
    responses = locate(FILES["assy_movshon_FreemanZiemba2013_public.nc"])
    table, images = (locate(FILES[f"stimulus_FreemanZiemba2013_aperture-public.{kind}"]) for kind in ("csv", "zip"))
    return load_region(SOURCE, region, responses, table, images)
