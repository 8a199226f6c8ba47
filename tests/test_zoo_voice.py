"""The packaged network of sounds computes what its own package computes."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from neurocompare import zoo
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.probe import probe
from neurocompare.sounds import Sound
from neurocompare.stimuli import StimulusSet
from neurocompare.zoo import voice

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("resemblyzer") is None, reason="Resemblyzer is not installed (extra: voice)"
)


def sound(seed: int = 0, seconds: float = 2.0, rate: int = 16_000) -> Sound:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate)).cumsum()
    return Sound(noise / np.abs(noise).max(), rate)


@needs_package
def test_layers_and_embedding_are_those_of_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "webrtcvad", ModuleType("webrtcvad"))  # not used here; it needs an old setuptools
    from resemblyzer import VoiceEncoder, audio

    model = zoo.load_model("voice_encoder")
    theirs = VoiceEncoder("cpu", verbose=False)
    level = voice.MelPreprocess().level
    mel = audio.wav_to_mel_spectrogram(np.asarray(sound().at_level(level)))
    made = model.preprocess(sound())
    np.testing.assert_array_equal(made, mel.T)
    with torch.inference_mode():
        found = {}
        model.visit(torch.from_numpy(made)[None], model.layers, found.__setitem__)
        hidden, _ = theirs.lstm(torch.from_numpy(mel)[None])
        embedded = theirs(torch.from_numpy(mel)[None])
    torch.testing.assert_close(found["lstm3"], hidden.transpose(1, 2), rtol=1e-4, atol=1e-5)
    unit = found["embedding"] / found["embedding"].norm()
    torch.testing.assert_close(unit, embedded, rtol=1e-4, atol=1e-5)


@needs_package
def test_it_is_probed_like_any_other_and_its_layers_keep_time_last():
    stimuli = StimulusSet("noises", ("a", "b", "c"), lambda name: sound(ord(name)))
    found = probe(zoo.load_model("voice_encoder"), stimuli, keep_features=True)
    assert list(found) == list(voice.LAYERS)
    assert found["lstm1"].shape == (256, 201)
    assert found["embedding"].shape == (256,)
    assert found["lstm2"].provenance["seconds"] == 2.0


@needs_package
def test_images_are_refused():
    pictures = StimulusSet("pictures", ("a",), lambda _: Image.new("RGB", (8, 8)))
    with pytest.raises(InputError, match="voice_encoder needs sounds, but got a Image"):
        probe(zoo.load_model("voice_encoder"), pictures)


@needs_package
def test_another_file_than_the_tested_one_is_refused(monkeypatch):
    monkeypatch.setattr(voice, "SHA256", "0" * 64)
    with pytest.raises(DataUnavailable, match=r"should hold pretrained\.pt with sha256 000"):
        zoo.load_model("voice_encoder")


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package Resemblyzer, .*neurocompare\[voice\]"):
        zoo.load_model("voice_encoder")


def test_random_weights_follow_the_seed():
    first, same, other = (zoo.load_model("voice_encoder", pretrained=False, seed=s) for s in (1, 1, 2))
    assert first.name == "voice_encoder (random weights)"
    assert first.fingerprint() == same.fingerprint() != other.fingerprint()
