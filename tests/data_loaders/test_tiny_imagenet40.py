"""Forty classes of Tiny ImageNet from both layouts, and the real ones."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image
from tiny_sources import jpeg, publish, tar_of, zip_of

import data_loaders
from data_loaders import tiny_imagenet40
from data_loaders._files import DataFile

TAR = {
    "train/n01443537/n01443537_0.JPEG": jpeg((10, 0, 0), 64),
    "train/n03042490/n03042490_5.JPEG": jpeg((250, 0, 0), 64),
    "test/n03042490/n03042490_323.JPEG": jpeg((90, 0, 0), 64),
}


def reds(split):
    return {
        tiny_imagenet40.IMAGES.classes[label]: round(float(image[0].mean()))
        for image, label in zip(split.inputs, split.labels, strict=True)
    }


def test_from_the_tar(mirror, monkeypatch):
    publish(mirror, monkeypatch, tiny_imagenet40, {"tiny_imagenet40.tar": tar_of(TAR)})
    dataset = data_loaders.load_dataset("tiny_imagenet40")
    assert dataset.input_shape == (3, 64, 64)
    assert dataset.n_outputs == 40
    assert reds(dataset.train) == pytest.approx({"goldfish": 10, "cliff dwelling": 250}, abs=3)
    assert reds(dataset.test) == pytest.approx({"cliff dwelling": 90}, abs=3)


def test_from_the_zip_of_the_source_the_same_images_of_the_same_classes(cache, server, monkeypatch):
    names = sorted(f"{number}.JPEG" for number in range(500))
    level = {name: min(place // 2, 250) for place, name in enumerate(names)}
    chosen = [names[place] for place in (0, 169, 170, 249, 250, 279, 280, 499)]
    root = "IMagenet-abc/tiny-imagenet-200"
    members = {f"{root}/train/n01443537/images/n01443537_{name}": jpeg((level[name], 0, 0), 64) for name in chosen}
    members[f"{root}/train/n02124075/images/n02124075_0.JPEG"] = jpeg((1, 1, 1), 64)  # not one of the forty
    members[f"{root}/test/images/test_0.JPEG"] = jpeg((1, 1, 1), 64)
    server.files["/archive.zip"] = zip_of(members)
    source = DataFile("tiny_imagenet40/archive.zip", None, f"{server.url}/archive.zip")
    monkeypatch.setattr(tiny_imagenet40, "FILES", {"zip": source})
    dataset = data_loaders.load_tiny_imagenet40()
    found = [
        sorted(round(float(v)) for v in split.inputs[:, 0].mean((1, 2))) for split in (dataset.train, dataset.test)
    ]
    assert found[0] == pytest.approx([0, 84], abs=3)
    assert found[1] == pytest.approx([125, 139], abs=3)


def test_a_grey_image_has_three_equal_planes(mirror, monkeypatch):
    stream = io.BytesIO()
    Image.new("L", (64, 64), 77).save(stream, "JPEG")
    publish(
        mirror,
        monkeypatch,
        tiny_imagenet40,
        {"tiny_imagenet40.tar": tar_of({**TAR, "test/n01443537/n01443537_33.JPEG": stream.getvalue()})},
    )
    split = data_loaders.load_tiny_imagenet40().test
    grey = split.inputs[split.labels == 0][0]
    np.testing.assert_array_equal(grey[0], grey[1])
    np.testing.assert_array_equal(grey[0], grey[2])
    assert abs(float(grey.mean()) - 77) < 3


@pytest.mark.skipif(not os.environ.get("NEUROCOMPARE_MIRROR"), reason="NEUROCOMPARE_MIRROR is not set")
def test_the_real_ones():
    dataset = data_loaders.load_tiny_imagenet40()
    assert np.bincount(dataset.train.labels).tolist() == [170] * 40
    assert np.bincount(dataset.test.labels).tolist() == [30] * 40
