"""Sounds: checks, resampling, level, duration; each against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from neurocompare.errors import InputError
from neurocompare.sounds import CLIPPED_RUN, Sound, check_not_clipped
from neurocompare.stimuli import StimulusSet

RATE = 8000


def tone(hz: float = 440, seconds: float = 0.5, rate: int = RATE, peak: float = 0.5) -> Sound:
    return Sound(peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate), rate)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros((4, 2)), RATE, r"one channel.*\(4, 2\)"),
        (np.ones(4) * [1, 2, 1, 2], 0, "sampling rate above 0 Hz, but got 0"),
        (np.zeros(0), RATE, "the file is empty"),
        (np.array([0, np.nan, 1]), RATE, "finite, but 1 are not"),
        (np.zeros(10), RATE, "all 10 are 0: silence"),
    ],
)
def test_what_cannot_be_heard_is_refused(samples, rate, message):
    with pytest.raises(InputError, match=message):
        Sound(samples, rate)


def test_samples_are_kept_as_they_are_and_cannot_be_changed():
    given = np.array([0.0, 0.5, -0.5])
    sound = Sound(given, RATE)
    given[:] = 9
    np.testing.assert_array_equal(sound, np.float32([0, 0.5, -0.5]))
    with pytest.raises(ValueError, match="read-only"):
        sound.samples[0] = 1


@pytest.mark.parametrize("rate", [4000, 20000, 44100])
def test_resampling_keeps_a_tone(rate):
    """Away from the ends, where the filter has seen all it needs, it is the same tone sampled at other times."""
    sound = tone().at_rate(rate)
    assert sound.rate == rate
    assert sound.seconds == pytest.approx(0.5, abs=1 / rate)
    inner = slice(rate // 10, -rate // 10)
    np.testing.assert_allclose(sound.samples[inner], tone(rate=rate).samples[: sound.samples.size][inner], atol=2e-3)


def test_resampling_removes_what_the_new_rate_cannot_hold():
    assert tone(hz=3500).at_rate(4000).level < 0.01 * tone(hz=3500).level


def test_level_is_the_root_mean_square():
    assert tone().level == pytest.approx(0.5 / 2**0.5, rel=1e-3)
    assert tone().at_level(0.02).level == pytest.approx(0.02)


@pytest.mark.parametrize("seconds", [0.25, 0.5, 0.75])
def test_lasting_cuts_or_adds_silence(seconds):
    sound = tone().lasting(seconds)
    shared = min(sound.samples.size, tone().samples.size)
    assert sound.seconds == seconds
    np.testing.assert_array_equal(sound.samples[:shared], tone().samples[:shared])
    assert not sound.samples[shared:].any()


def test_clipping_is_a_run_at_full_scale_not_a_peak():
    check_not_clipped(tone(hz=1000, peak=1.0), "peaks")  # 8 samples per period: none has a neighbour at full scale
    cut = Sound(np.clip(3 * tone(hz=50).samples, -1, 1), RATE)
    with pytest.raises(InputError, match=r"shout\.wav is clipped: .* samples in a row are at its extreme, full scale"):
        check_not_clipped(cut, "shout.wav")
    long = np.r_[np.zeros(5), -np.ones(CLIPPED_RUN), 0.5]
    with pytest.raises(InputError, match=f"{CLIPPED_RUN} samples in a row"):
        check_not_clipped(Sound(long, RATE), "low")


def test_the_same_samples_at_another_rate_are_another_sound():
    samples = tone().samples
    by_rate = [StimulusSet("s", ("a",), lambda _, r=rate: Sound(samples, r)).contents["a"] for rate in (8000, 16000)]
    again = StimulusSet("s", ("a",), lambda _: Sound(samples, 8000)).contents["a"]
    assert by_rate[0] != by_rate[1]
    assert by_rate[0] == again
