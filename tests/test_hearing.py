"""From labelled sounds to a dataset, and a network that learns from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurocompare.cochleagram import CochleagramPreprocess
from neurocompare.dataset import SoundTask
from neurocompare.errors import InputError
from neurocompare.hearing import heard, trainable
from neurocompare.networks import convnet
from neurocompare.rules import RULES
from neurocompare.sounds import Sound
from neurocompare.stimuli import StimulusSet
from neurocompare.train import Run, train

RATE, SECONDS = 8000, 0.25
EAR = CochleagramPreprocess(SECONDS, rate=RATE, n_bands=12, low=100, high=4000)


def sound(name: str) -> Sound:
    """A tone whose pitch and whose tremolo are in its name."""
    pitch, tremolo, seed = name.split("-")
    time = np.arange(round(SECONDS * RATE)) / RATE
    noise = 0.02 * np.random.default_rng(int(seed)).standard_normal(time.size)
    return Sound(
        (1 + np.sin(2 * np.pi * float(tremolo) * time)) * np.sin(2 * np.pi * float(pitch) * time) / 4 + noise, RATE
    )


def task() -> SoundTask:
    names = [f"{pitch}-{tremolo}-{seed}" for seed in range(20) for pitch in (400, 1600) for tremolo in (8, 30)]
    labels = {n: dict(zip(("pitch", "tremolo"), n.split("-")[:2], strict=True)) for n in names}
    sounds = StimulusSet("tones", tuple(names), sound)
    return SoundTask("tones", sounds, tuple(names[:60]), tuple(names[60:]), labels, SECONDS, "nobody", "none")


@pytest.fixture(scope="module")
def tones():
    return heard(task(), EAR)


def test_inputs_are_what_the_preprocessing_makes_of_the_same_sounds(tones):
    """So that networks are probed with what they were trained on."""
    assert tones.input_shape == EAR.shape
    assert tones.train.inputs.dtype == np.float32
    again = tones.preprocess(sound(task().train[3]))
    np.testing.assert_allclose(tones.train.inputs[3], again, atol=1e-5)
    assert tones.train.inputs.mean() == pytest.approx(0, abs=1e-4)
    assert tones.train.inputs.std() == pytest.approx(1, abs=1e-3)


def test_the_test_split_has_no_say_in_the_normalisation(tones):
    loud = replace(task(), test=task().train[:1], train=task().train[1:])
    other = heard(replace(loud, test=task().test[:1]), EAR)
    assert (other.preprocess.mean, other.preprocess.std) == (heard(loud, EAR).preprocess.mean, other.preprocess.std)
    assert other.preprocess.mean != tones.preprocess.mean


def test_both_tasks_are_learnt_and_the_network_comes_back_with_its_ear(tones, tmp_path):
    net = convnet(tones.n_outputs, input_shape=tones.input_shape, channels=(4, 8), hidden=(16,))
    run = train(net, RULES["backprop"].for_net(net, seed=0), tones, epochs=25, batch_size=20, learning_rate=0.01)
    each = run.record["test_accuracy_by_task"]
    assert each["pitch"] > 0.9
    assert each["tremolo"] > 0.9
    run.save(tmp_path)
    assert Run.load(tmp_path).preprocess == tones.preprocess


def test_what_is_no_sound_task_is_left_as_it_is(tones):
    assert trainable(tones) is tones


def test_an_empty_split_is_refused():
    with pytest.raises(InputError, match="tones has no sounds in one of its splits"):
        heard(replace(task(), test=()), EAR)
