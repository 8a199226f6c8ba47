"""Stimulus sets and the way from an image to an input."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from problems import images

from neurocompare.errors import InputError
from neurocompare.stimuli import ImagePreprocess, StimulusSet, batches


def stimulus_set(content, name="set"):
    return StimulusSet(name, tuple(content), content.__getitem__)


def noise_image(seed=0, size=(9, 7)):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def test_the_fingerprint_follows_content_and_order_not_the_file():
    a, b = noise_image(0), noise_image(1)
    stream = io.BytesIO()
    a.save(stream, "PNG")
    same = Image.open(io.BytesIO(stream.getvalue())).convert("RGB")
    base = stimulus_set({"a": a, "b": b}).fingerprint
    assert stimulus_set({"a": same, "b": b}, "another name").fingerprint == base
    touched = a.copy()
    touched.putpixel((0, 0), (1, 2, 3))
    others = [
        {"b": b, "a": a},
        {"a": b, "b": a},
        {"a": a, "c": b},
        {"a": a},
        {"a": touched, "b": b},
        {"a": a.transpose(Image.Transpose.TRANSPOSE), "b": b},
    ]
    prints = {stimulus_set(content).fingerprint for content in others}
    assert len(prints | {base}) == len(others) + 1


def test_ids_must_be_unique():
    with pytest.raises(InputError, match="'set' repeats an id"):
        StimulusSet("set", ("a", "b", "a"), lambda name: None)


def test_in_memory_opens_each_stimulus_once():
    opened = []
    kept = StimulusSet("set", ("a", "b"), lambda name: opened.append(name) or noise_image()).in_memory()
    for name in ("a", "b", "a", "b", "a"):
        kept.open(name)
    assert opened == ["a", "b"]
    assert kept.ids == ("a", "b")


def test_preprocessing_by_hand():
    image = noise_image()
    found = ImagePreprocess(7, 9, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))(image)
    pixels = np.asarray(image, float) / 255
    expected = ((pixels - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]).transpose(2, 0, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32
    assert found.shape == (3, 7, 9)


def test_resizing_keeps_the_order_of_sides_and_antialiases():
    image = Image.fromarray(np.tile(np.uint8([[0, 255]] * 4), (1, 40))[..., None].repeat(3, 2))  # 80 wide, 4 high
    found = ImagePreprocess(2, 10)(image)
    assert found.shape == (3, 2, 10)
    # Stripes finer than the new pixels average out; without antialiasing they would come out black or white.
    np.testing.assert_allclose(found, 0.5, atol=0.03)


def test_one_mean_means_grey():
    found = ImagePreprocess(7, 9, (0.0,), (1.0,))(noise_image())
    np.testing.assert_allclose(found[0], np.asarray(noise_image().convert("L"), float) / 255, rtol=1e-6)
    assert found.shape == (1, 7, 9)


def test_modes_other_than_rgb_are_converted():
    grey = Image.fromarray(np.full((7, 9), 51, np.uint8))
    np.testing.assert_allclose(ImagePreprocess(7, 9)(grey), 0.2, rtol=1e-6)


def test_describe_tells_settings_apart():
    descriptions = [
        ImagePreprocess(8, 8).describe(),
        ImagePreprocess(8, 9).describe(),
        ImagePreprocess(8, 8, (0.5, 0.5, 0.5)).describe(),
        ImagePreprocess(8, 8, std=(0.5, 0.5, 0.5)).describe(),
    ]
    assert len({str(d) for d in descriptions}) == 4
    assert str(ImagePreprocess(8, 8).describe()) == str(descriptions[0])


@pytest.mark.parametrize("size", [1, 5, 24, 100])
def test_batches_cover_every_stimulus_once(size):
    stimuli, preprocess = images(24), ImagePreprocess(10, 10)
    whole = np.zeros((24, 3, 10, 10), np.float32)
    times = np.zeros(24, int)
    for rows, load in batches(stimuli, preprocess, size):
        whole[rows] = load()
        times[rows] += 1
    assert (times == 1).all()
    np.testing.assert_array_equal(whole, np.stack([preprocess(stimuli.open(i)) for i in stimuli.ids]))


def test_a_stimulus_that_cannot_be_decoded_is_named():
    stimuli = StimulusSet("broken", ("a",), lambda name: Image.open(io.BytesIO(b"no image")))
    _, load = batches(stimuli, ImagePreprocess(4, 4), 1)[0]
    with pytest.raises(InputError, match="stimulus 'a' of 'broken' cannot be decoded: cannot identify"):
        load()
