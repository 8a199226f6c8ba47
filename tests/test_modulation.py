"""Modulation filters against formulas, loops and masked two-dimensional transforms; ripples; published scores."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from problems import images
from scipy.io import loadmat, wavfile

from neurocompare.cochleagram import CochleagramPreprocess, ErbFilters, hertz_at
from neurocompare.errors import InputError
from neurocompare.metrics import METRICS
from neurocompare.modulation import (
    RATES,
    SCALES,
    TUCKUTE_2023,
    ModulationBank,
    cochleagram,
    cochleagram_mean,
    rate_filters,
    scale_filters,
    spectrotemporal,
)
from neurocompare.probe import probe
from neurocompare.sounds import Sound
from neurocompare.stimuli import StimulusSet

BANDS, FRAMES, PER_ERB, ENVELOPE_RATE = 30, 200, 5.0, 100
SMALL = {"rates": (0.0, 2.0, 8.0, 32.0), "scales": (0.0, 0.25, 1.0, 2.0)}
NH2015 = Path(os.environ.get("NEUROCOMPARE_MIRROR", "")) / "norman_haignere2015"


@functools.cache
def bank():
    return ModulationBank(BANDS, FRAMES, per_erb=PER_ERB, envelope_rate=ENVELOPE_RATE, **SMALL).double()


def random_cochleagrams(n=2, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random((n, 1, BANDS, FRAMES)))


def ripple(rate, scale, offset=0.0):
    """``(1, 1, bands, frames)``; with a rate above 0 its crests move down in frequency."""
    erb, seconds = torch.arange(BANDS)[:, None] / PER_ERB, torch.arange(FRAMES) / ENVELOPE_RATE
    return (offset + torch.cos(2 * math.pi * (rate * seconds + scale * erb))).double()[None, None]


def direct_rate_filter(rate, highest=False):
    """One sample at a time; ``(600,)`` frequencies."""
    impulse = []
    for frame in range(FRAMES):
        u = rate * frame / ENVELOPE_RATE
        impulse.append(u**2 * math.exp(-3.5 * u) * math.sin(2 * math.pi * u))
    response = np.fft.fft(np.array(impulse) - np.mean(impulse), 3 * FRAMES)
    gain = np.abs(response) / np.abs(response).max()
    if highest:
        best = gain[: len(gain) // 2].argmax()
        gain[best : len(gain) - best + 1] = 1
    return gain * np.exp(1j * np.angle(response))


def direct_scale_filter(scale, highest=False):
    ratio = (np.abs(np.fft.fftfreq(2 * BANDS, 1 / PER_ERB)) / scale) ** 2
    return np.where(highest & (ratio >= 1), 1, ratio * np.exp(1 - ratio))


def test_rate_filters_by_their_formula():
    rates = (2.0, 8.0, 32.0)
    found = rate_filters(rates, FRAMES, ENVELOPE_RATE).numpy()
    for i, rate in enumerate(rates):
        expected = direct_rate_filter(rate, rate == 32)
        np.testing.assert_allclose(found[i], expected[: 3 * FRAMES // 2 + 1], atol=1e-12)
    assert np.abs(found[:, 0]).max() < 1e-12  # zero mean
    # The best rate is somewhat below the nominal one, as the envelope's own slope has it.
    best = np.abs(found[:2]).argmax(1) * ENVELOPE_RATE / (3 * FRAMES)
    np.testing.assert_allclose(best, rates[:2], rtol=0.15)


def test_scale_filters_by_their_formula():
    found = scale_filters((0.25, 1.0, 2.0), BANDS, PER_ERB).numpy()
    for i, scale in enumerate((0.25, 1.0, 2.0)):
        np.testing.assert_allclose(found[i], direct_scale_filter(scale, scale == 2)[: BANDS + 1], atol=1e-12)
    assert found[0, 3] == 1  # 3 / 12 cycles per ERB


def by_masks(x):
    """Every filter by masking quadrants of two-dimensional transforms, ``(filters, bands, frames)``."""
    spectrum = np.fft.fft2(x, (2 * BANDS, 3 * FRAMES))
    sign_scale = np.sign(np.fft.fftfreq(2 * BANDS))[:, None]
    sign_rate = np.sign(np.fft.fftfreq(3 * FRAMES))[None]
    sign_scale[BANDS] = sign_rate[0, 3 * FRAMES // 2] = 0  # half the sampling rate has no sign
    found = []
    for rate, scale in bank().filters:
        in_time = direct_rate_filter(abs(rate), abs(rate) == 32) if rate else np.eye(1, 3 * FRAMES)[0]
        over_bands = direct_scale_filter(scale, scale == 2) if scale else np.eye(1, 2 * BANDS)[0]
        gains = over_bands[:, None] * in_time[None]
        if rate and scale:
            gains = gains * (1 + np.sign(rate) * sign_rate * sign_scale) / 2
        found.append(np.fft.ifft2(spectrum * gains)[:BANDS, :FRAMES].real)
    return np.stack(found)


def test_every_filter_by_masked_transforms():
    x = random_cochleagrams()
    found = bank().responses(x).detach().numpy()
    assert found.shape == (2, len(bank().filters), BANDS, FRAMES) == (2, 4 * 4 + 3 * 3, BANDS, FRAMES)
    for one, expected in zip(found, map(by_masks, x[:, 0].numpy()), strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-6)


def test_down_and_up_together_are_two_convolutions():
    """Of a cochleagram out of silence, by ``np.convolve`` of one band or frame at a time."""
    x = random_cochleagrams(1)
    found = bank().responses(x)[0].detach().numpy()
    down, up = (bank().filters.index(f) for f in ((8.0, 0.25), (-8.0, 0.25)))
    in_time = np.fft.ifft(direct_rate_filter(8.0)).real[:FRAMES]
    over_bands = np.fft.fftshift(np.fft.ifft(direct_scale_filter(0.25)).real)  # its middle is at BANDS
    slow = np.stack([np.convolve(band, in_time)[:FRAMES] for band in x[0, 0].numpy()])
    both = np.stack([np.convolve(frame, over_bands)[BANDS : 2 * BANDS] for frame in slow.T], 1)
    np.testing.assert_allclose(found[down] + found[up], both, atol=1e-6)


def test_power_is_the_mean_square_of_what_the_filters_give():
    x = random_cochleagrams(3)
    expected = bank().responses(x).square().mean(-1)
    torch.testing.assert_close(bank()(x), expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(bank()(x[1:2]), expected[1:2], rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(bank()(3 * x), 9 * expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("rate", [2.0, 8.0, 32.0])
@pytest.mark.parametrize("scale", [0.25, 1.0, 2.0])
@pytest.mark.parametrize("direction", [1, -1])
def test_a_ripple_drives_its_own_filter(rate, scale, direction):
    power = bank()(ripple(direction * rate, scale))[0, :, BANDS // 2]
    best = bank().filters[power.argmax()]
    assert best == (direction * rate, scale)
    opposite = bank().filters.index((-direction * rate, scale))
    assert power[opposite] < 0.05 * power.max()


def test_a_ripple_comes_out_at_its_own_amplitude():
    """In the middle, after onset; the gain at 8 Hz is that of a filter whose best rate is slightly lower."""
    responses = bank().responses(ripple(8.0, 0.25))[0, bank().filters.index((8.0, 0.25)), BANDS // 2, 100:]
    gain = np.abs(direct_rate_filter(8.0))[8 * 3 * FRAMES // ENVELOPE_RATE]
    assert responses.abs().max().item() == pytest.approx(gain, rel=0.03)
    assert gain > 0.95


def test_a_steady_spectrum_has_rate_0_alone():
    """In the middle, once it began long ago; the mean taken off a filter has no end, so that a little is left."""
    responses = bank().responses(ripple(0.0, 0.25, offset=1.0))[0, :, :, 95:125].abs().amax((1, 2))
    by_filter = dict(zip(bank().filters, responses.tolist(), strict=True))
    steady = {scale: response for (rate, scale), response in by_filter.items() if rate == 0}
    assert min(steady.values()) > 0.15
    assert max(steady, key=lambda scale: steady[scale] * (scale > 0)) == 0.25
    assert max(response for (rate, _), response in by_filter.items() if abs(rate) > 2) < 0.04 * min(steady.values())


def test_modulation_in_time_alone_has_scale_0():
    """The same in all bands: of rate 8 what is strongest is scale 0."""
    power = bank()(ripple(8.0, 0.0))[0].mean(1)
    assert bank().filters[power.argmax()] == (8.0, 0.0)


def test_a_rippled_sound_drives_its_own_filter():
    """Tones a third of an ERB apart, whose envelopes are those of a ripple of 4 Hz and 1/4 cycle per ERB."""
    seconds = np.arange(40_000) / 20_000
    erb = np.arange(4, 32, 1 / 3)
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, len(erb))
    own = spectrotemporal(TUCKUTE_2023, rates=(0, 1, 4, 16), scales=(0, 0.0625, 0.25, 1))
    filters = own.net.spectrotemporal[0].filters
    for rate in (4.0, -4.0):
        waves = [
            (1 + 0.9 * np.cos(2 * np.pi * (rate * seconds + 0.25 * e)))
            * np.sin(2 * np.pi * hertz_at(e) * seconds + phase)
            for e, phase in zip(erb, phases, strict=True)
        ]
        made = own.preprocess(Sound(np.sum(waves, 0), 20_000))
        power = own.net.spectrotemporal[0](torch.from_numpy(made)[None])[0].mean(1)
        moving = [i for i, (r, s) in enumerate(filters) if r and s]
        assert filters[max(moving, key=lambda i: power[i])] == (rate, 0.25)
        assert power[filters.index((rate, 0.25))] > 3 * power[filters.index((-rate, 0.25))]


@functools.cache
def sounds(n=4):
    rng = np.random.default_rng(0)
    content = {f"s{i}": Sound(rng.normal(0, 0.1, 16_000), 16_000) for i in range(n)}
    return StimulusSet("noises", tuple(content), content.__getitem__)


def test_the_models_probe():
    preprocess = CochleagramPreprocess(0.5)
    inputs = torch.from_numpy(np.stack([preprocess(sounds().open(i)) for i in sounds().ids]))
    made = probe(cochleagram(preprocess), sounds(), keep_features=True)["cochleagram"]
    np.testing.assert_array_equal(made.features, inputs.flatten(1))
    made = probe(cochleagram_mean(preprocess), sounds(), keep_features=True)["cochleagram_mean"]
    np.testing.assert_allclose(made.features, inputs.mean((1, 3)), rtol=1e-5)
    found = probe(spectrotemporal(preprocess, scales=(0, 0.25, 0.5)), sounds(), keep_features=True)
    assert list(found) == ["spectrotemporal", "amplitude"]
    assert {r.n_features for r in found.values()} == {(9 * 3 + 8 * 2) * 50}
    np.testing.assert_allclose(found["amplitude"].features ** 2, found["spectrotemporal"].features, rtol=1e-5)


def test_the_published_model():
    """111 filters in 211 bands of 400 frames, and the spacing that Tuckute et al. round to 6 bands per ERB."""
    model = spectrotemporal()
    net = model.net.spectrotemporal[0]
    assert len(net.filters) == len(set(net.filters)) == 111
    assert model.preprocess.shape == (1, 211, 400)
    assert model.preprocess.front_end.filters.per_erb == pytest.approx(6, rel=0.03)
    assert model.seed is None
    assert not any(p.requires_grad for p in model.net.parameters())
    assert model.fingerprint() == spectrotemporal().fingerprint()
    others = (spectrotemporal(rates=RATES[:-1]), spectrotemporal(dataclasses.replace(TUCKUTE_2023, level=0.2)))
    assert all(other.describe() != model.describe() for other in others)


@pytest.mark.parametrize("make", [cochleagram, cochleagram_mean, spectrotemporal])
def test_models_of_sounds_refuse_images(make):
    with pytest.raises(InputError, match="needs sounds, but got a Image"):
        probe(make(), images())


def test_nothing_is_made_on_another_device():
    net = ModulationBank(BANDS, FRAMES, per_erb=PER_ERB, envelope_rate=ENVELOPE_RATE, **SMALL).to("meta")
    assert net(torch.empty(2, 1, BANDS, FRAMES, device="meta")).device.type == "meta"


def test_without_means_there_are_filters_that_move():
    net = ModulationBank(BANDS, FRAMES, per_erb=PER_ERB, envelope_rate=100, rates=(2.0, 8.0), scales=(0.5,))
    assert net.filters == [(2.0, 0.5), (-2.0, 0.5), (8.0, 0.5), (-8.0, 0.5)]
    assert net(random_cochleagrams().float()).shape == (2, 4, BANDS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rates": (0, 100)}, "below 100 Hz, but rates up to 100 are asked for.*a higher rate of the envelope"),
        ({"scales": (0, 4)}, "below 3.06 cycles per ERB, but scales up to 4 .*a higher density of filters"),
        ({"rates": (4, 2)}, "rising rates, .*got \\[4, 2\\]"),
        ({"scales": (0,)}, "not 0 alone, got \\[0\\]"),
        ({"rates": ()}, "got \\[\\]"),
        ({"rates": (-1, 2)}, "0 Hz or more"),
        ({"preprocess": CochleagramPreprocess()}, "below 0.764 cycles per ERB, but scales up to 2"),
    ],
)
def test_it_says_what_it_cannot_be(settings, message):
    with pytest.raises(InputError, match=message):
        spectrotemporal(**settings)


def test_the_default_scales_can_be_seen():
    assert ErbFilters(density=4).per_erb > 2 * SCALES[-1]


@pytest.mark.slow
@pytest.mark.skipif(not NH2015.is_dir(), reason="NEUROCOMPARE_MIRROR names no folder that holds the real data")
def test_published_scores_of_the_filter_bank():
    """Explained variance of the six components of Norman-Haignere et al. 2015, as in Tuckute et al. 2023 to within .1."""
    published = {"lowfreq": 0.71, "highfreq": 0.55, "envsounds": 0.45, "pitch": 0.53, "speech": 0.66, "music": 0.34}
    stored = loadmat(NH2015 / "components.mat", squeeze_me=True)
    ids, names = list(map(str, stored["stim_names"])), list(map(str, stored["component_names"]))

    def opened(stimulus_id):
        rate, samples = wavfile.read(NH2015 / "sounds" / "wav" / f"{stimulus_id}.wav")
        return Sound(samples / 32768, rate)

    data = xr.DataArray(
        stored["R"],
        dims=("presentation", "neuroid"),
        coords={"stimulus_id": ("presentation", ids), "neuroid_id": ("neuroid", names)},
    ).assign_coords(repetition=("presentation", [0] * len(ids)))
    layer = probe(spectrotemporal(), StimulusSet("165 natural sounds", tuple(ids), opened))["spectrotemporal"]
    found = METRICS["tuckute2023"].score(layer, data).median("split")
    assert [str(name) for name in found["neuroid_id"].values] == list(published)
    np.testing.assert_allclose(found, list(published.values()), atol=0.1)
