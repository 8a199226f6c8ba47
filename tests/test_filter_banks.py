"""Gabor filters, the V1-like bank and the random convnet, against formulas, gratings and scipy."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from problems import images
from scipy.ndimage import correlate, correlate1d

from neurocompare.errors import InputError
from neurocompare.filter_banks import V1Bank, gabor, gabor_v1, random_filters
from neurocompare.probe import probe

SIDE = 64
WAVELENGTHS = (4.0, 8.0)
ANGLES = [math.pi * i / 8 for i in range(8)]


def grating(wavelength, angle, *, phase=0.0, contrast=1.0, side=SIDE):
    """``(1, 1, side, side)``, 0.5 on average; x to the right, y downwards."""
    y, x = torch.meshgrid(*[torch.arange(side, dtype=torch.float64)] * 2, indexing="ij")
    wave = torch.cos(2 * math.pi / wavelength * (x * math.cos(angle) + y * math.sin(angle)) - phase)
    return (0.5 + 0.5 * contrast * wave)[None, None]


@functools.cache
def bank(semisaturation=0.1):
    return V1Bank(WAVELENGTHS, 8, semisaturation).double()


def energies(x, net=None):
    """The complex cells at the middle of the image before normalisation, ``(scales, orientations)``."""
    maps = (net or bank()).linear(x)
    return torch.stack([m[0, :, :, m.shape[-2] // 2, m.shape[-1] // 2].square().sum(0).sqrt() for m in maps])


def test_the_gabor_function_by_its_formula():
    """Dayan & Abbott 2001, eq. 2.27, one pixel at a time; the even one has its mean taken off under the envelope."""
    kernel = gabor(5.0, 0.3, math.pi / 2, sigma=2.0, aspect=0.5, size=9)
    for row, column in np.ndindex(9, 9):
        x, y = column - 4, row - 4
        along = x * math.cos(0.3) + y * math.sin(0.3)
        across = -x * math.sin(0.3) + y * math.cos(0.3)
        envelope = math.exp(-(along**2 + (0.5 * across) ** 2) / (2 * 2.0**2))
        assert kernel[row, column] == pytest.approx(envelope * math.sin(2 * math.pi * along / 5), abs=1e-12)
    even, envelope = (gabor(w, 0.3, 0.0, sigma=2.0, aspect=0.5, size=9, zero_mean=w == 5) for w in (5.0, 1e9))
    plain = gabor(5.0, 0.3, 0.0, sigma=2.0, aspect=0.5, size=9, zero_mean=False)
    np.testing.assert_allclose(even, plain - envelope * (plain.sum() / envelope.sum()), atol=1e-12)
    assert plain[4, 4] == 1


def test_filters_have_zero_mean():
    for scale in bank().filters:
        assert scale.sum((1, 2, 3)).abs().max() < 1e-6 * scale.abs().sum((1, 2, 3)).min()


def test_a_grating_of_full_contrast_drives_its_own_filter_with_one():
    for i, wavelength in enumerate(WAVELENGTHS):
        for j, angle in enumerate(ANGLES):
            assert energies(grating(wavelength, angle))[i, j] == pytest.approx(1, abs=5e-3)


def test_energy_does_not_depend_on_the_phase_of_a_grating():
    """Quadrature; simple cells, to the contrary, do."""
    for i, wavelength in enumerate(WAVELENGTHS):
        phases = [2 * math.pi * k / 12 for k in range(12)]
        found = torch.stack([energies(grating(wavelength, ANGLES[3], phase=p))[i, 3] for p in phases])
        assert found.max() / found.min() < 1.01
        even = [bank().linear(grating(wavelength, ANGLES[3], phase=p))[i][0, 0, 3, 4, 4].item() for p in phases]
        assert min(even) < -0.9
        assert max(even) > 0.9


def test_each_channel_is_tuned_to_its_own_grating():
    for i, wavelength in enumerate(WAVELENGTHS):
        for j, angle in enumerate(ANGLES):
            assert energies(grating(wavelength, angle)).argmax() == 8 * i + j
    tuning = [energies(grating(8.0, ANGLES[2] + math.radians(d)))[1, 2].item() for d in range(0, 91, 15)]
    assert tuning == sorted(tuning, reverse=True)
    assert tuning[-1] < 0.01


def test_the_bandwidth_is_one_octave():
    """Half the amplitude at 2/3 and 4/3 of the preferred frequency."""
    net = V1Bank((12.0,), 4, 0.1).double()
    for factor in (2 / 3, 4 / 3):
        assert energies(grating(12.0 / factor, ANGLES[0]), net)[0, 0] == pytest.approx(0.5, abs=0.02)
    assert energies(grating(12.0, ANGLES[0]), net)[0, 0] == pytest.approx(1, abs=5e-3)


def test_contrast_saturates_as_divisive_normalisation_says():
    """``R^-2 = s^2 c^-2 + k`` for a cell whose own contrast energy is ``c^2`` and whose pool's is ``k c^2``."""
    semisaturation = 0.2
    net = bank(semisaturation)
    contrasts = torch.tensor([0.05, 0.1, 0.2, 0.4, 0.8], dtype=torch.float64)
    responses = torch.stack(
        [net.normalised(grating(8.0, 0.0, contrast=float(c)))[1][0, :, 0, 8, 8].square().sum() for c in contrasts]
    )
    slope, k = np.polyfit(contrasts**-2, 1 / responses, 1)
    assert slope == pytest.approx(semisaturation**2, rel=0.02)
    assert k >= 1
    np.testing.assert_allclose(slope * contrasts**-2 + k, 1 / responses, rtol=1e-3)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_uniform_images_drive_nothing(level):
    x = torch.full((1, 1, SIDE, SIDE), level, dtype=torch.float64)
    for output in layers(bank(), x).values():
        assert output.abs().max() < 1e-6


def layers(net, x):
    seen = {}
    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, output))
        for name, module in net.named_modules()
        if name in ("simple", "complex")
    ]
    net(x)
    for handle in handles:
        handle.remove()
    return seen


def test_the_bank_by_scipy():
    """Every step again: correlation with replicated borders, sampling, normalisation, rectification, energy."""
    x = np.random.default_rng(0).random((SIDE, SIDE))
    net = bank()
    simple, complex_ = [], []
    for wavelength, kernels in zip(WAVELENGTHS, net.filters, strict=True):
        step = int(wavelength // 2)
        maps = np.stack([correlate(x, k[0].detach().numpy(), mode="nearest") for k in kernels])
        maps = maps.reshape(2, 8, SIDE, SIDE)[..., step // 2 :: step, step // 2 :: step]
        pool = (maps**2).sum((0, 1))
        t = np.arange(-7, 8)
        window = np.exp(-(t**2) / (2 * (4 * 0.5622) ** 2))
        for axis in (0, 1):
            pool = correlate1d(pool, window / window.sum(), axis=axis, mode="nearest")
        maps = maps / np.sqrt(0.1**2 + pool)
        simple.append(np.maximum(np.concatenate([maps, -maps]), 0).ravel())
        complex_.append(np.sqrt((maps**2).sum(0)).ravel())
    found = layers(net, torch.from_numpy(x)[None, None])
    np.testing.assert_allclose(found["simple"][0].detach(), np.concatenate(simple), atol=2e-4)
    np.testing.assert_allclose(found["complex"][0].detach(), np.concatenate(complex_), atol=2e-4)


def test_complex_cells_are_the_energy_of_the_simple_ones():
    x = torch.from_numpy(np.random.default_rng(1).random((2, 1, SIDE, SIDE)))
    net = V1Bank((8.0,), 8, 0.1).double()
    found = layers(net, x)
    simple = found["simple"].unflatten(1, (4, -1))
    assert simple.min() == 0
    torch.testing.assert_close(simple.square().sum(1).sqrt(), found["complex"], rtol=1e-5, atol=1e-6)
    assert found["complex"].max() <= 1 / net.window.max()  # a cell is in its own pool, at the middle of the window


def test_v1_probes_and_is_not_trained():
    model = gabor_v1(side=32, wavelengths=(4, 8))
    found = probe(model, images())
    assert list(found) == ["simple", "complex"]
    positions = 16**2 + 8**2
    assert [r.n_features for r in found.values()] == [4 * 8 * positions, 8 * positions]
    assert not any(p.requires_grad for p in model.net.parameters())
    assert model.seed is None
    assert model.fingerprint() == gabor_v1(side=32, wavelengths=(4, 8)).fingerprint()
    assert model.describe() != gabor_v1(side=32, wavelengths=(4, 8), semisaturation=0.2).describe()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wavelengths": (1.5,)}, "wavelengths from 2 pixels.* to the side of the input, 128, .*got 1.5"),
        ({"wavelengths": (8, 200)}, "got 200"),
        ({"wavelengths": ()}, "one wavelength or more"),
        ({"orientations": 0}, "one orientation or more"),
        ({"semisaturation": 0.0}, "semisaturation contrast above 0, but got 0.0"),
    ],
)
def test_v1_says_what_it_cannot_be(settings, message):
    with pytest.raises(InputError, match=message):
        gabor_v1(**settings)


def test_a_random_stage_by_scipy():
    """Correlation over all channels with zeros around, rectification, the larger of each 2 x 2."""
    model = random_filters(3, side=8, channels=(3, 2))
    x = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    for stage in (model.net.stage1, model.net.stage2):
        weights = stage[0].weight.detach().numpy()
        drive = [sum(correlate(x[c], kernel[c], mode="constant") for c in range(len(x))) for kernel in weights]
        rectified = np.maximum(drive, 0)
        expected = rectified.reshape(len(weights), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))
        found = stage(torch.from_numpy(x)[None])[0].detach().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)
        x = found


def test_random_filters_by_seed():
    same, again, other = random_filters(1), random_filters(1), random_filters(2)
    assert same.fingerprint() == again.fingerprint() != other.fingerprint()
    assert (same.name, same.seed, other.seed) == ("random_filters", 1, 2)
    assert not any(p.requires_grad for p in same.net.parameters())
    for stage in (same.net.stage1, same.net.stage2, same.net.stage3):
        weight = stage[0].weight
        assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.05)
        assert stage[0].bias is None


def test_random_filters_keep_activity_within_range_and_probe():
    model = random_filters(side=32, channels=(16, 32, 64))
    found = probe(model, images())
    assert list(found) == ["stage1", "stage2", "stage3"]
    assert [r.n_features for r in found.values()] == [16 * 16**2, 32 * 8**2, 64 * 4**2]
    for r in found.values():
        assert 0.1 < np.diagonal(r.gram).mean() / r.n_features < 10


def test_random_filters_say_what_they_cannot_be():
    with pytest.raises(InputError, match="3 stages that each halve the image need a side of 8 or more, but got 7"):
        random_filters(side=7)
    with pytest.raises(InputError, match="one stage or more"):
        random_filters(channels=())
