"""HMAX stage by stage against numpy; the whole is deterministic, tolerates shifts, and knows its own patches."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from neurocompare import hmax
from neurocompare.errors import InputError
from neurocompare.hmax import C2, PATCH_SIDES, S1C1, hmax_c2
from neurocompare.probe import probe
from neurocompare.stimuli import StimulusSet


@functools.cache
def edges():
    return S1C1()


@functools.cache
def model(seed=0):
    return hmax_c2(seed, n_patches=24, side=96)


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape).astype(np.float32))


def photographs():
    """As grey images in [0, 1], ``(1, 1, height, width)``."""
    greys = [Image.fromarray(photo).convert("L") for photo in load_sample_images().images]
    return [torch.from_numpy(np.asarray(grey, np.float32) / 255)[None, None] for grey in greys]


def test_the_filters_are_those_of_the_paper():
    """Serre et al. 2007, table 1 and eq. 1."""
    assert [len(k[0, 0]) for k in edges().filters] == list(range(7, 38, 2))
    kernels = edges().filters[1].detach().double()
    assert kernels.sum((1, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(kernels.square().sum((1, 2, 3)), torch.ones(4, dtype=torch.float64), rtol=1e-5, atol=0)
    raw = np.empty((9, 9))
    for row, column in np.ndindex(9, 9):
        x, y = column - 4, row - 4
        u, v = (x + y) / 2**0.5, (y - x) / 2**0.5
        raw[row, column] = np.exp(-(u**2 + 0.3**2 * v**2) / (2 * 3.6**2)) * np.cos(2 * np.pi * u / 4.6)
    cosine = np.sum((raw - raw.mean()) * kernels[1, 0].numpy()) / np.linalg.norm(raw - raw.mean())
    assert cosine == pytest.approx(1, abs=1e-6)


def test_s1_is_the_cosine_between_filter_and_image():
    x = noise(1, 1, 40, 30)
    found = edges().s1(x, 2)[0]
    assert found.shape == (4, 40, 30)
    padded = np.pad(x[0, 0].numpy(), 5, mode="edge")
    for row, column in ((0, 0), (11, 13), (39, 29), (20, 0)):
        patch = padded[row : row + 11, column : column + 11]
        for angle in range(4):
            kernel = edges().filters[2][angle, 0].numpy()
            expected = abs((patch * kernel).sum()) / np.linalg.norm(patch)
            assert found[angle, row, column].item() == pytest.approx(expected, abs=1e-5)


def test_s1_knows_orientation_and_not_contrast():
    x = torch.zeros(1, 1, 40, 40)
    x[..., 20:] = 1  # an upright edge: luminance changes along the rows, which is angle 0
    response = edges().s1(x, 3)[0, :, 20].amax(1)
    assert response.argmax() == 0
    torch.testing.assert_close(edges().s1(0.3 * x, 3), edges().s1(x, 3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_uniform_images_have_no_edges(level):
    for m in edges()(torch.full((1, 1, 70, 70), level)):
        assert m.abs().max() < 1e-4


def test_c1_is_the_maximum_over_position_and_two_scales():
    x = noise(2, 1, 50, 60)
    maps = edges()(x)
    assert len(maps) == 8
    for band in (0, 3, 7):
        width = 8 + 2 * band
        larger = np.maximum(edges().s1(x, 2 * band), edges().s1(x, 2 * band + 1)).numpy()
        windows = np.lib.stride_tricks.sliding_window_view(larger, (width, width), axis=(2, 3))
        expected = windows[:, :, :: width // 2, :: width // 2].max((4, 5))
        np.testing.assert_array_equal(maps[band], expected)


def c2_by_hand(maps, patches):
    """Serre et al. 2007, eq. 4, at every place where a patch fits, in loops; then the maximum."""
    best = 0.0
    side = patches.shape[-1]
    for m in maps:
        for row in range(m.shape[1] - side + 1):
            for column in range(m.shape[2] - side + 1):
                distance = ((m[:, row : row + side, column : column + side] - patches) ** 2).sum()
                best = max(best, np.exp(-distance / (2 * (side / 4) ** 2)))
    return best


def test_c2_by_hand():
    maps = [noise(2, 4, 9, 8, seed=1), noise(2, 4, 5, 6, seed=2), noise(2, 4, 3, 3, seed=3)]  # the last is too small
    patches = [0.3 * noise(3, 4, 4, 4, seed=4), 0.5 * noise(2, 4, 6, 6, seed=5)]
    found = C2(patches)(maps)
    assert found.shape == (2, 5)
    for image in range(2):
        single = [m[image].numpy() for m in maps]
        expected = [c2_by_hand(single, patch.numpy()) for group in patches for patch in group]
        np.testing.assert_allclose(found[image], expected, rtol=1e-4)


def test_c2_does_not_see_where():
    """What moves about on an empty map, and from one band to another, is the same to it."""
    thing, patches = noise(4, 5, 5), [noise(6, 4, 4, 4, seed=1)]
    maps = [torch.zeros(1, 4, 20, 20) for _ in range(4)]
    maps[0][0, :, 4:9, 4:9] = maps[1][0, :, 11:16, 5:10] = thing
    elsewhere = maps[3][:, :, :15, :12]
    elsewhere[0, :, 6:11, 4:9] = thing
    c2 = C2(patches)
    torch.testing.assert_close(c2([maps[0]]), c2([maps[1]]))
    torch.testing.assert_close(c2([maps[0], maps[2]]), c2([maps[2], elsewhere]))
    assert (c2([maps[0]]) - c2([maps[2]])).abs().max() > 1e-3


def test_a_photograph_holds_every_patch_taken_from_it():
    """Some patches come from each of the two photographs, and where they come from they are matched exactly."""
    found = torch.cat([model().net(photo) for photo in photographs()])
    assert found.shape == (2, 24)
    torch.testing.assert_close(found.amax(0), torch.ones(24), rtol=1e-3, atol=0)
    assert (found[0] > 0.999).any()
    assert (found[1] > 0.999).any()
    assert found.min() < 0.99


def windows_of(c1, side):
    """Every window of a C1 map as bytes."""
    view = np.lib.stride_tricks.sliding_window_view(c1, (side, side), axis=(1, 2))
    return {view[:, row, column].tobytes() for row, column in np.ndindex(view.shape[1:3])}


def test_patches_are_windows_of_the_second_band_of_both_photographs():
    """As in the authors' software, which takes them from filters of 11 and 13 pixels."""
    maps = [edges().c1(photo, 1)[0].numpy() for photo in photographs()]
    of_photo = [windows_of(c1, 16) for c1 in maps]
    patches = [p.numpy().tobytes() for p in model().net.c2.patches[-1]] + [
        p.numpy().tobytes() for p in model(1).net.c2.patches[-1]
    ]
    found = [[patch in windows for windows in of_photo] for patch in patches]
    assert all(map(any, found))
    assert all(map(any, zip(*found, strict=True)))


def test_every_place_may_be_sampled_and_none_twice(monkeypatch):
    rng = np.random.default_rng(0)
    maps = [rng.random(shape, dtype=np.float32) for shape in ((4, 5, 7), (4, 8, 4))]
    monkeypatch.setattr(hmax, "_photographed", lambda: maps)
    patches = hmax._sample(2 * 4 + 5 * 1, 4, rng)
    assert {p.numpy().tobytes() for p in patches} == windows_of(maps[0], 4) | windows_of(maps[1], 4)


def test_patches_come_in_four_sizes_and_by_the_seed():
    sizes = [tuple(p.shape) for p in model().net.c2.patches]
    assert sizes == [(6, 4, side, side) for side in PATCH_SIDES]
    assert [len(p) for p in hmax_c2(n_patches=10).net.c2.patches] == [3, 3, 2, 2]
    again, other = hmax_c2(0, n_patches=24, side=96), model(1)
    assert again.fingerprint() == model().fingerprint() != other.fingerprint()
    assert (model().name, other.seed) == ("hmax_c2", 1)
    assert not any(p.requires_grad for p in model().net.parameters())
    for group in model().net.c2.patches:
        assert len({p.numpy().tobytes() for p in group}) == len(group)


def scene(kind, shift=0):
    """A striped square or a filled triangle on grey, some pixels to the right."""
    x = np.full((96, 96), 128, np.uint8)
    rows, columns = np.mgrid[:96, :96]
    columns = columns - shift
    inside = (np.abs(rows - 48) < 16) & (columns > 24) & (columns < 56)
    if kind == "square":
        x[inside] = np.where((rows // 4) % 2, 220, 40)[inside]
    else:
        x[inside & (rows - 32 < columns - 24)] = 230
    return Image.fromarray(x)


def test_c2_tolerates_translation_where_c1_does_not():
    scenes = {f"{kind} {shift}": scene(kind, shift) for kind in ("square", "triangle") for shift in (0, 14)}
    found = probe(model(), StimulusSet("scenes", tuple(scenes), scenes.__getitem__))
    assert list(found) == ["c1", "c2"]
    assert found["c2"].n_features == 24

    def ratio(layer):
        """How far two places of one thing are apart, to how far two things are in one place; squared."""
        gram = found[layer].gram
        power = np.diagonal(gram)
        apart = power[:, None] + power - 2 * gram
        return (apart[0, 1] + apart[2, 3]) / (apart[0, 2] + apart[1, 3])

    assert ratio("c2") < 0.1
    assert ratio("c1") > 0.3


def test_what_it_cannot_be():
    with pytest.raises(InputError, match=r"a side of 68 pixels or more, for patches of 16 x 16 .*but got 60"):
        hmax_c2(side=60)
    with pytest.raises(InputError, match="a patch of each of the sizes 4, 8, 12, 16, but got 3 patches"):
        hmax_c2(n_patches=3)


def test_the_smallest_side_is_just_enough():
    found = hmax_c2(n_patches=4, side=68).net(noise(1, 1, 68, 68))
    assert found.shape == (1, 4)
    assert found.min() > 0
    assert found.max() < 1
