"""Each loader on a tiny dataset in its source's own layout, and what it says of a broken one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import squareform
from tiny_sources import cifar_members, jpeg, publish, tar_of, zip_of

import data_loaders
from data_loaders import cichy2014, cifar10_jpeg, cowley2023, kriegeskorte2008
from data_loaders._files import DataFile
from data_loaders._image_folders import ImageFolders
from data_loaders.images import condensed
from neurocompare.errors import DataUnavailable, InputError


def mean_red(image) -> float:
    return float(np.asarray(image)[..., 0].mean())


def test_human_it_averages_the_sessions_of_each_subject(tiny_kriegeskorte):
    rdms, _, _ = tiny_kriegeskorte
    benchmark = data_loaders.load_benchmark("kriegeskorte2008.hIT")
    assert benchmark.data["subject"].values.tolist() == ["AA", "BB", "CC"]
    for row, sessions in zip(benchmark.data.values, rdms, strict=True):
        np.testing.assert_allclose(squareform(row), sessions.astype(float).mean(0))
    assert benchmark.metric == "rsa_spearman"


def test_monkey_it_and_the_group_average_are_not_confused(tiny_kriegeskorte):
    _, monkey, _ = tiny_kriegeskorte
    np.testing.assert_array_equal(data_loaders.load_benchmark("kriegeskorte2008.mIT").data.values, monkey)
    average = kriegeskorte2008.human_it_group_average()
    assert average.shape == monkey.shape
    assert (average.values != monkey).any()


def test_the_images_and_flags_of_kriegeskorte_keep_their_order(tiny_kriegeskorte):
    _, _, flags = tiny_kriegeskorte
    stimuli = kriegeskorte2008.load_stimuli()
    assert [mean_red(stimuli.open(i)) for i in stimuli.ids] == [0, 10, 20, 30, 40]
    assert list(stimuli.table.index) == list(stimuli.ids)
    assert stimuli.table["category"].tolist() == [f"kind {i}" for i in range(5)]
    assert stimuli.table["natural"].tolist() == [True] * 3 + [False] * 2
    np.testing.assert_array_equal(stimuli.table[list(kriegeskorte2008.CATEGORIES.values())], flags[:, :9])


def test_cichy_pairs_each_image_with_its_row(tiny_cichy):
    benchmark = data_loaders.load_benchmark("cichy2014.EVC")
    assert benchmark.stimuli.ids == tuple(f"92images_{i:05d}" for i in (1, 2, 3, 4))
    reds = [mean_red(benchmark.stimuli.open(i)) for i in benchmark.stimuli.ids]
    np.testing.assert_allclose(reds, [60, 120, 180, 240], atol=3)
    pair = benchmark.data.sel(subject="subject 02")[4]
    assert (pair["stimulus_1"].item(), pair["stimulus_2"].item()) == ("92images_00002", "92images_00004")
    assert pair.item() == tiny_cichy[1, 1, 3]


def test_cichy_knows_two_regions(tiny_cichy):
    with pytest.raises(InputError, match="region of cichy2014 'V1'; there are: EVC, IT"):
        cichy2014.load_cichy2014("V1")


def test_dissimilarities_must_be_square_and_symmetric():
    square = squareform(np.arange(1.0, 7))[None]
    np.testing.assert_array_equal(condensed(square, "x"), [np.arange(1.0, 7)])
    for bad in (square + np.triu(np.ones((4, 4)), 1), square + np.eye(4), square * np.nan):
        with pytest.raises(DataUnavailable, match="x should hold symmetric dissimilarities"):
            condensed(bad, "x")
    with pytest.raises(DataUnavailable, match="subjects x n x n"):
        condensed(square[0], "x")


@pytest.fixture
def raw():
    """Three neurons, five images, up to four repeats: image ``i`` has ``1 + i % 4``."""
    values = np.random.default_rng(2).poisson(3, (3, 5, 4)).astype(float)
    for image in range(5):
        values[:, image, 1 + image % 4 :] = np.nan
    return values


def test_each_repeat_of_cowley_is_a_presentation(tiny_cowley, raw):
    tiny_cowley(raw)
    benchmark = data_loaders.load_benchmark("cowley2023.V4")
    assert benchmark.data.shape == (1 + 2 + 3 + 4 + 1, 3)
    for row in benchmark.data:
        image = int(str(row["stimulus_id"].values)[-4:]) - 1
        np.testing.assert_array_equal(row, raw[:, image, int(row["repetition"])])
    assert benchmark.data.attrs["units"] == "spikes per 100 ms"
    assert benchmark.metric == "ridge"


def test_image_numbers_not_the_zip_order_pair_images_with_columns(tiny_cowley, raw):
    tiny_cowley(raw)
    stimuli = cowley2023.load_cowley2023().stimuli
    assert stimuli.ids == tuple(f"210325/image{i:04d}" for i in range(1, 6))
    np.testing.assert_allclose([mean_red(stimuli.open(i)) for i in stimuli.ids], [40, 80, 120, 160, 200], atol=3)


def test_an_averaged_session_with_a_folder_in_its_zip(tiny_cowley, raw):
    averages = np.nanmean(raw, 2)
    tiny_cowley(averages, "190923", "images_190923/")
    benchmark = cowley2023.load_cowley2023("190923")
    np.testing.assert_array_equal(benchmark.data.values, averages.T)
    assert benchmark.name == "cowley2023.V4_190923"
    assert set(benchmark.data["subject"].values) == {"WE"}


def test_a_presentation_missing_for_one_neuron_only_is_refused(tiny_cowley, raw):
    raw[1, 0, 0] = np.nan
    tiny_cowley(raw)
    with pytest.raises(DataUnavailable, match="missing for some neurons but not for others"):
        cowley2023.load_cowley2023()


def test_constant_neurons_are_dropped_and_mentioned(tiny_cowley, raw):
    raw[1] = np.where(np.isnan(raw[1]), np.nan, 4)
    tiny_cowley(raw)
    data = cowley2023.load_cowley2023().data
    assert data["neuroid_id"].values.tolist() == ["210325/neuron000", "210325/neuron002"]
    assert data.attrs["dropped"] == "1 neurons with a constant response"


def test_responses_that_do_not_fit_the_images_are_refused(mirror, monkeypatch, tiny_cowley, raw):
    tiny_cowley(raw[:, :4])
    files = dict(cowley2023.FILES)
    tiny_cowley(raw)
    images = "images/images_210325.zip"
    monkeypatch.setattr(cowley2023, "FILES", {**files, images: cowley2023.FILES[images]})
    np.save(mirror / "cowley2023/responses_raw/responses_210325.npy", raw[:, :4], allow_pickle=False)
    with pytest.raises(DataUnavailable, match=r"a column per image, but is \(3, 4, 4\) for 5"):
        cowley2023.load_cowley2023()


def test_missing_image_numbers_are_refused(mirror, monkeypatch):
    images = zip_of({"image0001.jpg": jpeg((1, 1, 1)), "image0003.jpg": jpeg((1, 1, 1))})
    publish(mirror, monkeypatch, cowley2023, {"images/images_210325.zip": images})
    with pytest.raises(DataUnavailable, match="has 2 with gaps"):
        cowley2023.load_cowley2023()


def test_unknown_sessions_name_the_known():
    with pytest.raises(InputError, match="session of cowley2023 '210324'; did you mean '210325'"):
        cowley2023.load_cowley2023("210324")


def reds(split) -> dict[str, list[int]]:
    """The red level of each image by class, sorted."""
    found: dict[str, list[int]] = {}
    for image, label in zip(split.inputs, split.labels, strict=True):
        found.setdefault(cifar10_jpeg.CLASSES[label], []).append(int(image[0].mean()))
    return {name: sorted(levels) for name, levels in found.items()}


def assert_is_tiny_cifar(dataset):
    assert dataset.train.inputs.shape == (4, 3, 32, 32)
    assert (dataset.train.inputs[:, 1:] < 5).all(), "the images are red"
    expected = ({"airplane": [10], "cat": [200, 250], "truck": [90]}, {"airplane": [130], "truck": [30]})
    for split, levels in zip((dataset.train, dataset.test), expected, strict=True):
        found = reds(split)
        assert found.keys() == levels.keys()
        for name in levels:
            np.testing.assert_allclose(found[name], levels[name], atol=3)


def test_cifar_from_a_tar_xz_then_from_the_decoded_cache(tiny_cifar, cache, monkeypatch):
    first = data_loaders.load_cifar10_jpeg()
    assert_is_tiny_cifar(first)
    monkeypatch.setattr(ImageFolders, "decode", None)
    second = data_loaders.load_dataset("cifar10_jpeg")
    np.testing.assert_array_equal(first.train.inputs, second.train.inputs)
    np.testing.assert_array_equal(first.test.labels, second.test.labels)
    assert first.preprocess == second.preprocess


@pytest.mark.parametrize("damage", [b"x", None])
def test_damaged_decoded_images_are_decoded_again(tiny_cifar, cache, damage):
    data_loaders.load_cifar10_jpeg()
    (kept,) = (cache / "cifar10_jpeg").glob("decoded-*-train.npy")
    kept.unlink() if damage is None else kept.write_bytes(kept.read_bytes()[:-1] + damage)
    assert_is_tiny_cifar(data_loaders.load_cifar10_jpeg())


def test_a_cache_that_cannot_be_written_costs_only_time(tiny_cifar, cache, caplog):
    cache.write_text("a file where the folder should be")
    assert_is_tiny_cifar(data_loaders.load_cifar10_jpeg())
    assert "cannot keep" in caplog.text


def test_cifar_from_the_zip_of_the_source(cache, server, monkeypatch):
    server.files["/archive.zip"] = zip_of(cifar_members("CIFAR-10-images-abc/"))
    archive = DataFile("cifar10_jpeg/archive.zip", None, f"{server.url}/archive.zip")
    tar = DataFile("cifar10_jpeg/cifar10_jpeg.tar.xz", "0" * 64, None)
    monkeypatch.setattr(cifar10_jpeg, "FILES", {"tar": tar, "zip": archive})
    assert_is_tiny_cifar(data_loaders.load_cifar10_jpeg())
    assert_is_tiny_cifar(data_loaders.load_cifar10_jpeg())
    assert len(server.requests) == 1


def test_cifar_is_shuffled_by_its_seed_and_cut_to_a_sample(tiny_cifar):
    orders = {tuple(data_loaders.load_cifar10_jpeg(seed=seed).train.inputs[:, 0, 0, 0]) for seed in range(8)}
    assert len(orders) > 2
    whole, part = data_loaders.load_cifar10_jpeg(seed=3), data_loaders.load_cifar10_jpeg(train_items=2, seed=3)
    np.testing.assert_array_equal(part.train.inputs, whole.train.first(2).inputs)
    assert len(part.test) == 2
    for items in (0, 5):
        with pytest.raises(InputError, match=f"has 4 train items, but {items} were asked for"):
            data_loaders.load_cifar10_jpeg(train_items=items)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"train/cat/0000.jpg": jpeg((1, 1, 1), 32)}, r"should hold train.*'train': 1, 'test': 0"),
        ({"train/cow/0000.jpg": jpeg((1, 1, 1), 32)}, "train/cow/0000.jpg of cifar10_jpeg should be a 32 x 32"),
        ({"train/cat/0000.jpg": jpeg((1, 1, 1), 16)}, r"train/cat/0000.jpg.*but is \(16, 16, 3\)"),
        ({"train/cat/0000.jpg": b"no image"}, "train/cat/0000.jpg of cifar10_jpeg cannot be decoded"),
    ],
)
def test_an_archive_with_something_else_is_refused(mirror, monkeypatch, members, message):
    publish(mirror, monkeypatch, cifar10_jpeg, {"cifar10_jpeg.tar.xz": tar_of(members, "xz")})
    with pytest.raises(DataUnavailable, match=message):
        data_loaders.load_cifar10_jpeg()


def test_unknown_names_name_the_nearest():
    with pytest.raises(InputError, match=r"unknown benchmark 'cowley\.V4'; did you mean 'cowley2023.V4'"):
        data_loaders.load_benchmark("cowley.V4")
    with pytest.raises(InputError, match="unknown dataset 'cifar10'; did you mean 'cifar10_jpeg'"):
        data_loaders.load_dataset("cifar10")
