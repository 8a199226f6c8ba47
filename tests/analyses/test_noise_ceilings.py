"""The published reference numbers of the 92 images come out."""

from __future__ import annotations

import os

import numpy as np
import pytest

from analyses import noise_ceilings

pytestmark = pytest.mark.skipif(
    not os.environ.get("NEUROCOMPARE_MIRROR"), reason="NEUROCOMPARE_MIRROR names no mirror, so there are no recordings"
)


def test_ceilings_and_the_one_bit_model_come_out_to_the_digits_given(tmp_path):
    paths = noise_ceilings.main(tmp_path)
    assert {path.suffix for path in paths} == {".nc", ".svg", ".pdf", ".png"}
    tau = noise_ceilings.compute().sel(metric="rsa_tau_a")
    expected = {
        "kriegeskorte2008.hIT": (0.254, 0.477, 0.223),
        "kriegeskorte2008.mIT": (np.nan, np.nan, 0.262),
        "cichy2014.IT": (0.316, 0.384, None),
        "cichy2014.EVC": (0.164, 0.268, None),
    }
    for benchmark, numbers in expected.items():
        part = tau.sel(benchmark=benchmark)
        for name, number in zip(("lower", "upper", "animacy"), numbers, strict=True):
            if number is not None:
                assert float(part[name]) == pytest.approx(number, abs=5e-4, nan_ok=True), (benchmark, name)
