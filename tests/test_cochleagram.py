"""The ERB filters against formulas; the front end against scipy at the full rate, and on tones, clicks and silence."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from problems import images
from scipy.signal import fftconvolve, hilbert, resample_poly
from scipy.signal.windows import kaiser

from neurocompare.cochleagram import FLOOR, Cochleagram, CochleagramPreprocess, ErbFilters, erb_number, hertz_at
from neurocompare.errors import InputError
from neurocompare.sounds import Sound

RATE, HOP = 20_000, 100
FILTERS = ErbFilters()
CENTRES = hertz_at(FILTERS.erb_centres)
UNCOMPRESSED = Cochleagram(compression=1)


def tone(hertz, seconds=1.0, amplitude=0.1):
    return amplitude * torch.sin(2 * math.pi * hertz * torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE)


def noise(n=3, seconds=1.0, seed=0):
    """Noise that comes and goes, ``(n, samples)``, float64."""
    rng = np.random.default_rng(seed)
    slow = np.repeat(rng.random((n, round(seconds * 20))), 1000, axis=1)
    return torch.from_numpy(0.1 * slow * rng.standard_normal(slow.shape))


def test_the_erb_scale_counts_bandwidths():
    """Glasberg & Moore 1990, eq. 3: one ERB further on at 24.7 (4.37 kHz + 1) Hz more; their eq. 4; and the inverse."""
    hertz = np.array([50.0, 440.0, 1000.0, 9000.0])
    slope = (erb_number(hertz + 0.01) - erb_number(hertz - 0.01)) / 0.02
    np.testing.assert_allclose(1 / slope, 24.7 * (4.37 * hertz / 1000 + 1), rtol=2e-4)
    np.testing.assert_allclose(erb_number(hertz), 21.4 * np.log10(4.37 * hertz / 1000 + 1), rtol=4e-3)
    np.testing.assert_allclose(hertz_at(erb_number(hertz)), hertz, rtol=1e-12)


@pytest.mark.parametrize(("settings", "bands"), [({}, 50), ({"density": 4}, 203), ({"density": 4, "ends": True}, 211)])
def test_squared_gains_sum_to_one(settings, bands):
    filters = ErbFilters(**settings)
    inner = hertz_at(filters.erb_centres[[filters.density - 1, -filters.density]])
    hertz = np.linspace(0, 10_000, 5001) if filters.ends else np.linspace(*inner, 5001)
    gains = filters.gains(hertz)
    assert gains.shape == (bands, 5001)
    np.testing.assert_allclose((gains**2).sum(0), 1, atol=1e-12)


def test_a_filter_by_its_formula():
    """A half-cosine on the ERB scale that reaches to its neighbours' centres; the range ends where the last two do."""
    hertz = np.array([49.0, 51.0, 800.0, 850.0, 9990.0, 10_001.0])
    gains = FILTERS.gains(hertz)
    spacing = (erb_number(10_000) - erb_number(50)) / 51
    for band, frequency in np.ndindex(gains.shape):
        off = (erb_number(hertz[frequency]) - erb_number(50) - (band + 1) * spacing) / spacing
        assert gains[band, frequency] == pytest.approx(math.cos(math.pi / 2 * off) if abs(off) < 1 else 0, abs=1e-12)
    assert not gains[:, [0, 5]].any()
    assert (gains[[0, -1], [1, 4]] > 0).all()


def test_energy_is_preserved():
    """Of a sound between the centres of the first and the last band: squared magnitudes are twice a real band's energy."""
    spectrum = torch.fft.rfft(noise())
    hertz = torch.fft.rfftfreq(RATE, 1 / RATE)
    spectrum[:, (hertz < CENTRES[0] + 20) | (hertz > CENTRES[-1] - 20)] = 0
    waves = torch.fft.irfft(spectrum)
    energies = torch.zeros(3, 50, dtype=torch.float64)
    for bands, magnitudes in UNCOMPRESSED.magnitudes(waves):
        energies[:, bands.rows] = magnitudes.square().sum(-1) * bands.step / 2
    # What is cut off at the end of the sound spreads a little beyond the range.
    torch.testing.assert_close(energies.sum(1), waves.square().sum(1), rtol=1e-3, atol=0)
    assert (energies > 0).all()


def at_full_rate(waves, filters, length):
    """Each step of the front end but compression at the rate of the sound, one band at a time, by scipy."""
    spectrum = np.fft.rfft(waves, length)
    gains = filters.gains(np.fft.rfftfreq(length, 1 / RATE))
    low_pass = np.sinc(np.arange(-5 * HOP, 5 * HOP + 1) / HOP) / HOP * kaiser(10 * HOP + 1, 5)
    envelopes = []
    for gain in gains:
        magnitude = np.abs(hilbert(np.fft.irfft(spectrum * gain, length)))
        around = np.concatenate([magnitude[:, -5 * HOP :], magnitude], 1)  # what begins before the sound comes last
        smooth = fftconvolve(around, low_pass[None], "valid", axes=1)
        envelopes.append(smooth[:, : waves.shape[1] : HOP])
    return np.stack(envelopes, 1)


@pytest.mark.parametrize("settings", [{}, {"density": 2, "ends": True}, {"n_bands": 8, "low": 200.0, "high": 4000.0}])
def test_the_front_end_at_full_rate(settings):
    waves = noise()
    filters = ErbFilters(**settings)
    expected = at_full_rate(waves.numpy(), filters, 25_000).clip(0)  # the sound, and 0.25 s of silence
    found = Cochleagram(compression=1, **settings)(waves).numpy() - FLOOR
    assert found.shape == expected.shape == (3, len(filters), 200)
    # A magnitude has no highest frequency: cusps where it touches 0 are what the lower rate misses.
    assert np.abs(found - expected).max() < 0.003 * expected.max()
    assert np.sqrt(np.square(found - expected).mean() / np.square(expected).mean()) < 0.0005
    compressed = Cochleagram(**settings)(waves).numpy()
    np.testing.assert_allclose(compressed, (found + FLOOR) ** 0.3, rtol=1e-10)


def test_tones_come_out_in_their_own_bands_with_their_own_amplitudes():
    bands = [0, 7, 21, 35, 49]
    envelopes = UNCOMPRESSED(torch.stack([tone(CENTRES[band]) for band in bands]))
    middle = envelopes[:, :, 90:110].mean(-1)
    assert middle.argmax(1).tolist() == bands
    np.testing.assert_allclose(middle[range(5), bands], 0.1, rtol=2e-3)
    neighbours = middle[1:4, :][range(3), [b + 2 for b in bands[1:4]]]
    assert (neighbours < 1e-3).all()


def test_the_modulation_of_a_tone_comes_out():
    seconds = torch.arange(2 * RATE, dtype=torch.float64) / RATE
    for modulation in (5, 24):
        waves = (1 + 0.8 * torch.cos(2 * math.pi * modulation * seconds)) * tone(CENTRES[40], 2)
        envelope = UNCOMPRESSED(waves[None])[0, 40, 100:300]  # one second: a bin per Hz
        strengths = torch.fft.rfft(envelope).abs() / 200
        assert strengths[1:].argmax() + 1 == modulation
        assert 2 * strengths[modulation] / strengths[0] == pytest.approx(0.8, rel=0.02)


def test_frames_are_where_the_sound_is():
    waves = torch.zeros(3, RATE, dtype=torch.float64)
    frames = [0, 70, 199]
    waves[range(3), [HOP * frame for frame in frames]] = 1
    assert Cochleagram()(waves)[:, 30:].sum(1).argmax(1).tolist() == frames


def test_the_end_of_a_sound_is_not_heard_at_its_beginning():
    waves = noise(1)
    waves[:, : RATE - 100] = 0
    made = UNCOMPRESSED(waves)
    assert made[..., :100].max() < 2e-4 * made.max()


def test_a_batch_is_so_many_single_sounds():
    waves = noise(12, 2.0)  # more than are worked on at once
    together = Cochleagram()(waves)
    torch.testing.assert_close(together, torch.cat([Cochleagram()(wave[None]) for wave in waves]), rtol=0, atol=1e-12)


def test_precision_is_that_of_the_sound():
    made, single = Cochleagram()(noise()), Cochleagram()(noise().float())
    assert (made.dtype, single.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(single.double(), made, rtol=0, atol=2e-3)


def test_nothing_is_made_on_another_device():
    made = Cochleagram()(torch.empty(2, RATE, device="meta"))
    assert made.device.type == "meta"
    assert made.shape == (2, 50, 200)


def test_gradients_are_finite_in_silence_too():
    waves = noise(2, 0.2)
    waves[1] = 0
    waves.requires_grad_()
    Cochleagram(n_bands=5)(waves).sum().backward()
    assert waves.grad.isfinite().all()
    assert waves.grad[0].abs().max() > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 16_000}, "up to 10000 Hz needs sounds at 20000 Hz or more, but the rate is 16000"),
        ({"envelope_rate": 300}, "20000 Hz, must be a multiple of the envelope's, 300 Hz"),
        ({"compression": 0.0}, "a power above 0.*got 0.0"),
        ({"n_bands": 0}, "one band and a density of 1 or more, got 0 and 1"),
        ({"density": 0}, "got 50 and 0"),
        ({"low": 500.0, "high": 400.0}, "low < high, but got 500.0 to 400.0 Hz"),
    ],
)
def test_it_says_what_it_cannot_be(settings, message):
    with pytest.raises(InputError, match=message):
        Cochleagram(**settings)


def recorded(seconds=2.0, rate=44_100, seed=0):
    return Sound(np.random.default_rng(seed).normal(0, 0.05, round(seconds * rate)), rate)


def test_preprocessing_by_its_steps():
    preprocess = CochleagramPreprocess(seconds=1.5, mean=0.2, std=0.1)
    sound = recorded()
    wave = sound.samples[: 3 * 22_050].astype(float)
    wave = resample_poly(wave - wave.mean(), 200, 441)
    made = Cochleagram()(torch.from_numpy(0.1 * wave / np.sqrt((wave**2).mean()))[None])
    found = preprocess(sound)
    assert found.dtype == np.float32
    assert found.shape == preprocess.shape == (1, 50, 300)
    np.testing.assert_allclose(found, (made - 0.2) / 0.1, atol=2e-3)


def test_loudness_and_offset_of_a_recording_do_not_matter():
    sound = recorded()
    expected = CochleagramPreprocess()(sound)
    for other in (sound.samples * 7, sound.samples / 30, sound.samples + 0.3):
        np.testing.assert_allclose(CochleagramPreprocess()(Sound(other, sound.rate)), expected, atol=1e-3)


def test_a_short_sound_is_as_loud_as_a_long_one_and_followed_by_silence():
    short, long = recorded(0.5), recorded(2.0)
    made = CochleagramPreprocess()(short)
    assert made[0, :, 5:95].mean() == pytest.approx(CochleagramPreprocess()(long)[0, :, 5:95].mean(), rel=0.02)
    assert made[0, :, 150:].max() < 0.2 * made[0, :, 5:95].mean()  # compressed: a hundredth of it


def test_bands_that_were_not_recorded_are_silent():
    made = CochleagramPreprocess()(recorded(1.0, 8000))
    above = hertz_at(FILTERS.erb_centres - 1 / FILTERS.per_erb) > 4600  # that resampling lets nothing into
    assert np.isfinite(made).all()
    assert made[0, above, 5:190].max() < 0.25 * made[0, ~above, 5:190].mean()  # compressed: a hundredth of it
    assert 5 < above.sum() < 20


def test_preprocessing_is_described():
    preprocess = CochleagramPreprocess(1.0, n_bands=20, density=2, ends=True, mean=0.3)
    described = json.loads(json.dumps(preprocess.describe()))
    assert described["kind"] == "cochleagram"
    assert CochleagramPreprocess.from_description(described) == preprocess
    for name, value in dataclasses.asdict(preprocess).items():
        other = dataclasses.replace(preprocess, **{name: not value if name == "ends" else value * 2})
        assert other.describe() != preprocess.describe()


def test_what_is_no_sound_or_silent_is_refused():
    with pytest.raises(InputError, match="needs sounds, but got a Image; choose a benchmark with sounds"):
        CochleagramPreprocess()(images().open("s000"))
    late = np.zeros(3 * RATE)
    late[-RATE:] = recorded(1, RATE).samples
    with pytest.raises(InputError, match="all 40000 are 0: silence"):
        CochleagramPreprocess()(Sound(late, RATE))
