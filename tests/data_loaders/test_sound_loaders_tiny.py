"""Each loader of sound data on a tiny dataset in its source's own layout, and what it says of a broken one."""

from __future__ import annotations

import csv
import io
import subprocess
import sys

import numpy as np
import pytest
from tiny_sounds import (
    NAMES,
    ecog,
    encoded,
    main_frequency,
    neurons_mat,
    nh2015_members,
    norman_components,
    norman_sounds,
    spikes_mat,
    stim_info,
    tone,
    voxel_meta,
)
from tiny_sources import cell, npy, publish, sha256, tar_of, zip_of

import data_loaders
from data_loaders import harper2016, norman_haignere2015, norman_haignere2022, tuckute2023
from data_loaders._files import DataFile
from neurocompare.errors import DataUnavailable, InputError


@pytest.fixture
def tiny_norman(mirror, monkeypatch):
    """Four sounds, tones of 1 to 4 kHz, three components, seven voxels; returns R and W."""
    r, w, components = norman_components(np.random.default_rng(3))
    publish(mirror, monkeypatch, norman_haignere2015, {"components.mat": components, **norman_sounds()})
    return r, w


def test_components_pair_each_sound_with_its_row(tiny_norman):
    benchmark = norman_haignere2015.load_components()
    assert benchmark.stimuli.ids == NAMES
    found = [main_frequency(benchmark.stimuli.open(i)) for i in NAMES]
    assert found == pytest.approx([1000, 2000, 3000, 4000], abs=60)
    assert benchmark.stimuli.table["category"].tolist() == ["AniVoc", "EnvSound", "Song", "Nature"]
    np.testing.assert_array_equal(benchmark.data.values, tiny_norman[0])
    assert benchmark.data["neuroid_id"].values.tolist() == ["low", "high", "music"]
    assert benchmark.data["label"].values.tolist() == ["AniVoc", "EnvSound", "Song", "Nature"]
    assert benchmark.data.attrs["units"] == "component response magnitude (arbitrary units)"
    assert (benchmark.name, benchmark.metric) == ("norman_haignere2015.components", "tuckute2023")


def test_the_rdm_is_of_the_voxels_that_the_components_make_up(tiny_norman):
    r, w = tiny_norman
    benchmark = norman_haignere2015.load_rdm()
    expected = 1 - np.corrcoef(r @ w)
    assert benchmark.data.dims == ("subject", "pair")
    for pair in benchmark.data[0]:
        first, second = (NAMES.index(str(pair[f"stimulus_{k}"].values)) for k in (1, 2))
        assert pair.item() == pytest.approx(expected[first, second])
    assert benchmark.data["subject"].values.tolist() == ["group"]
    assert (benchmark.name, benchmark.metric) == ("norman_haignere2015.rdm", "rsa_spearman")


def test_a_sound_at_another_rate_is_refused_when_opened(mirror, monkeypatch, tiny_norman):
    _, _, components = norman_components(np.random.default_rng(3))
    sounds = norman_sounds() | {"sounds/wav/stim2_bell.wav": encoded(tone(900, 22_050), 22_050)}
    publish(mirror, monkeypatch, norman_haignere2015, {"components.mat": components, **sounds})
    stimuli = norman_haignere2015.load_stimuli()
    with pytest.raises(DataUnavailable, match=r"stim2_bell\.wav needs 44100 samples per second, but has 22050"):
        stimuli.open("stim2_bell")


ORDER = [2, 0, 3, 1]  # of the rows in the files of 2022


@pytest.fixture
def tiny_ecog(tiny_norman, mirror, monkeypatch):
    """Five components at 25 Hz and three electrodes at 100 Hz, rows by ``ORDER``; returns both in the order of ``NAMES``."""
    rng = np.random.default_rng(4)
    components, electrodes = rng.random((4, 6, 5)), rng.normal(size=(3, 4, 8))
    names = [NAMES[i] for i in ORDER]
    files = {"ecog_component_responses.mat": ecog(components[ORDER], names, 0.04)}
    for name, r in zip(("song-elec10", "song-elec2", "music-elec1"), electrodes, strict=True):
        files[f"individual-electrodes/{name}-response.mat"] = ecog(r[ORDER], names, 0.01)
    publish(mirror, monkeypatch, norman_haignere2022, files)
    return components, electrodes


def test_intracranial_components_are_matched_by_name_and_keep_their_time(tiny_ecog):
    components, _ = tiny_ecog
    benchmark = norman_haignere2022.load_components()
    assert benchmark.data.dims == ("presentation", "neuroid", "time_bin")
    assert tuple(benchmark.data["stimulus_id"].values) == benchmark.stimuli.ids == NAMES
    np.testing.assert_array_equal(benchmark.data.values, components.transpose(0, 2, 1))
    np.testing.assert_allclose(benchmark.data["time_bin_start"], [0, 0.04, 0.08, 0.12, 0.16, 0.2])
    np.testing.assert_allclose(benchmark.data["time_bin_end"], [0.04, 0.08, 0.12, 0.16, 0.2, 0.24])
    assert benchmark.data["neuroid_id"].values.tolist() == [f"component0{n}" for n in range(1, 6)]
    assert benchmark.data["label"].values.tolist() == ["AniVoc", "EnvSound", "Song", "Nature"]
    assert benchmark.name == "norman_haignere2022.components"


def test_electrodes_are_in_the_order_of_their_numbers(tiny_ecog):
    _, electrodes = tiny_ecog
    data = norman_haignere2022.load_electrodes().data
    assert data["neuroid_id"].values.tolist() == ["music-elec01", "song-elec02", "song-elec10"]
    assert data["selectivity"].values.tolist() == ["music", "song", "song"]
    np.testing.assert_array_equal(data.values, electrodes[[2, 1, 0]].transpose(1, 0, 2))
    np.testing.assert_allclose(data["time_bin_end"] - data["time_bin_start"], 0.01)


def test_the_intracranial_rdm_is_over_components_averaged_over_time(tiny_ecog):
    components, _ = tiny_ecog
    benchmark = norman_haignere2022.load_rdm()
    expected = 1 - np.corrcoef(components.mean(1))
    np.testing.assert_allclose(benchmark.data.values[0], expected[np.triu_indices(4, 1)])
    assert (benchmark.name, benchmark.metric) == ("norman_haignere2022.rdm", "rsa_spearman")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["stim7_cow", "stim2_bel", "stim30_rap", "stim11_rain"],
            r"name each of the 4 sounds once.*2 names differ.*2_bel'",
        ),
        ([*NAMES, "stim99_new"], r"1 names differ \(first: 'stim99_new'\)"),
        (["stim7_cow", "stim7_cow", "stim30_rap", "stim11_rain"], r"1 names differ \(first: 'stim2_bell'\)"),
        ([*NAMES, "stim7_cow"], r"1 names differ \(first: 'stim7_cow'\)"),
    ],
)
def test_names_that_are_not_the_sounds_are_refused(tiny_norman, mirror, monkeypatch, names, message):
    content = ecog(np.ones((len(names), 3, 2)), names, 0.04)
    publish(mirror, monkeypatch, norman_haignere2022, {"ecog_component_responses.mat": content})
    with pytest.raises(DataUnavailable, match=r"ecog_component_responses\.mat should .*" + message):
        norman_haignere2022.load_components()


UNITS = [
    ("exp45_1x32/P1.U/cluster.01.data.mat", "Yes", 900, 3.5),
    ("exp45_1x32/P1.U/cluster.02.data.mat", "No", 900, 4.5),
    ("dataAC/E1/cluster.02.data.mat", "Maybe", 0, 5.5),
    ("dataAC/E1/cluster.03.data.mat", "Yes", -1, 6.5),
]
TINY_RATE = 400


@pytest.fixture
def few_repeats(monkeypatch):
    """Two repeats, and sounds at 400 Hz."""
    monkeypatch.setattr(harper2016, "REPEATS", 2)
    monkeypatch.setattr(harper2016, "RATE", TINY_RATE)


@pytest.fixture
def trains():
    """Spike times of each unit, clip (20, then a chord sequence) and repeat, in ms; one repeat without any spike."""
    rng = np.random.default_rng(5)
    times = [[[rng.uniform(-50, 5300, 400) for _ in range(2)] for _ in range(21)] for _ in UNITS]
    times[0][1][0] = np.empty(0)
    return times


def clip_sound(clip: int, seconds: float = 5.0) -> bytes:
    """A ramp from ``(clip + 1) / 100`` up, so that each sample says where it is from."""
    n = round(seconds * TINY_RATE)
    return encoded((clip + 1) / 100 + 0.5 * np.arange(n) / n, TINY_RATE)


def counts_of(trains) -> np.ndarray:
    edges = np.arange(0, 5205, 5)
    return np.array([[[np.histogram(t, edges)[0] for t in c] for c in unit[:20]] for unit in trains], dtype=np.uint8)


def binned_files(trains, clips=harper2016.CLIPS) -> dict[str, bytes]:
    stream = io.BytesIO()
    path, single, depth, noise = (np.array(column) for column in zip(*UNITS, strict=True))
    np.savez_compressed(
        stream,
        counts=counts_of(trains),
        clip_file=np.array(clips),
        path=path,
        single_unit=single,
        depth_um=depth,
        noise_ratio=noise,
    )
    sounds = {f"sounds/{name}.wav": clip_sound(clip) for clip, name in enumerate(clips)}
    return {harper2016.COUNTS: stream.getvalue(), **sounds}


@pytest.fixture
def tiny_harper(few_repeats, trains, mirror, monkeypatch):
    publish(mirror, monkeypatch, harper2016, binned_files(trains))
    return counts_of(trains)


def test_single_units_of_known_depth_are_kept(tiny_harper):
    data = harper2016.load_harper2016().data
    assert data["neuroid_id"].values.tolist() == ["exp45_1x32/P1.U/cluster.01", "dataAC/E1/cluster.02"]
    assert data["subject"].values.tolist() == ["exp45", "dataAC"]
    assert data["depth_um"].values.tolist() == [900, 0]
    assert data["noise_ratio"].values.tolist() == [3.5, 5.5]


def test_each_segment_has_the_smoothed_counts_of_its_bins(tiny_harper):
    """Against a convolution of each response by itself."""
    data = harper2016.load_harper2016().data
    assert data.shape == (20 * 3 * 2, 2, 333)
    for row in data[::11]:
        clip, part = (int(digits) for digits in str(row["stimulus_id"].values)[4:].split("/part"))
        for unit, neuroid in zip((0, 2), row, strict=True):
            whole = np.convolve(tiny_harper[unit, clip, int(row["repetition"])], [0.25, 0.5, 0.25], "same")
            np.testing.assert_allclose(neuroid, whole[333 * part : 333 * (part + 1)], atol=1e-12)


def test_bins_lie_before_the_end_of_what_is_heard(tiny_harper):
    data = harper2016.load_harper2016().data
    np.testing.assert_allclose(data["time_bin_start"], 0.335 + 0.005 * np.arange(333))
    np.testing.assert_allclose(data["time_bin_end"], 0.340 + 0.005 * np.arange(333))


def test_the_test_clips_are_held_out_with_all_their_segments(tiny_harper):
    benchmark = harper2016.load_harper2016()
    held_out = benchmark.data["stimulus_id"].values[~benchmark.data["train_0"].values]
    assert sorted(set(held_out)) == [f"clip{c:02d}/part{p}" for c in (3, 6, 9, 19) for p in range(3)]
    assert len(held_out) == 4 * 3 * 2
    assert benchmark.stimuli.table["clip"].tolist() == [f"clip{c:02d}" for c in range(20) for _ in range(3)]
    assert [s[:6] for s in benchmark.data["stimulus_id"].values.tolist()] == benchmark.data["clip"].values.tolist()
    assert benchmark.stimuli.table["file"]["clip12/part1"] == "source.2.sound.0.snr.0.token.0.fw.1.frozen.1"


@pytest.mark.parametrize("part", range(3))
def test_the_sound_of_a_segment_ends_where_its_bins_end(tiny_harper, part):
    sound = harper2016.load_harper2016().stimuli.open(f"clip07/part{part}")
    assert (sound.rate, sound.seconds) == (TINY_RATE, 2.0)
    end = (part + 1) * 333 * 2  # at 400 Hz a bin has two samples
    places = np.arange(end - 800, end)
    expected = np.where(places < 0, 0, 0.08 + 0.5 * places / 2000)
    np.testing.assert_allclose(sound.samples, expected, atol=1e-4)


def test_clips_in_another_order_are_refused(few_repeats, trains, mirror, monkeypatch):
    publish(mirror, monkeypatch, harper2016, binned_files(trains, harper2016.CLIPS[::-1]))
    with pytest.raises(DataUnavailable, match=r"counts_5ms\.npz should have the clips in the order of source\.1"):
        harper2016.load_harper2016()


def test_a_clip_shorter_than_the_responses_is_refused(few_repeats, trains, mirror, monkeypatch):
    files = binned_files(trains)
    files[f"sounds/{harper2016.CLIPS[2]}.wav"] = clip_sound(2, 4.0)
    publish(mirror, monkeypatch, harper2016, files)
    stimuli = harper2016.load_harper2016().stimuli
    stimuli.open("clip02/part1")
    with pytest.raises(DataUnavailable, match=r"fw\.2\.frozen\.3 should last 4\.995 s or more.*but lasts 4\.000 s"):
        stimuli.open("clip02/part2")


@pytest.fixture
def publish_raw(few_repeats, mirror, monkeypatch):
    """Publishes the files of the source in place of the binned ones."""

    def publish_members(members: dict[str, bytes]) -> None:
        publish(mirror, monkeypatch, harper2016, {harper2016.METADATA: neurons_mat(UNITS)})
        nowhere = DataFile("harper2016/nowhere.npz", "0" * 64, None)
        monkeypatch.setattr(harper2016, "FILES", {**harper2016.FILES, harper2016.COUNTS: nowhere})
        content = zip_of(members)
        monkeypatch.setattr(harper2016, "RAW", DataFile("harper2016/spikesandwav.zip", sha256(content), None))
        (mirror / "harper2016/spikesandwav.zip").write_bytes(content)

    return publish_members


def raw_members(trains) -> dict[str, bytes]:
    """One member has ``_1`` before its suffix, units that are not used are missing."""
    sounds = {f"spikesandwav/SH.En.C/{name}": clip_sound(clip) for clip, name in enumerate(harper2016.CLIPS)}
    spikes = {f"spikesandwav/{UNITS[0][0]}": spikes_mat(trains[0])}
    spikes[f"spikesandwav/{UNITS[2][0][:-4]}_1.mat"] = spikes_mat(trains[2])
    return {"spikesandwav/": b"", **spikes, **sounds}


def test_both_layouts_give_the_same(tiny_harper, trains, publish_raw):
    binned = harper2016.load_harper2016()
    publish_raw(raw_members(trains))
    raw = harper2016.load_harper2016()
    assert raw.fingerprint == binned.fingerprint


def test_raw_files_that_lack_something_are_refused_by_name(trains, publish_raw):
    members = raw_members(trains)
    unit = f"spikesandwav/{UNITS[0][0]}"
    wrong = {
        r"hold exp45_1x32/P1.U/cluster.01.data.mat or .*_1.mat, but": {unit: None},
        r"hold SH.En.C/source.1.*frozen.4 or ": {f"spikesandwav/SH.En.C/{harper2016.CLIPS[3]}": None},
        r"cluster.01.data.mat should have spikes for 20 clips first, but has 19": {unit: spikes_mat(trains[0][:19])},
        r"cluster.01.data.mat should have 2 repeats of source.1.*frozen.1, but has 1": {
            unit: spikes_mat([repeats[:1] for repeats in trains[0]])
        },
    }
    for message, change in wrong.items():
        publish_raw({name: content for name, content in (members | change).items() if content is not None})
        with pytest.raises(DataUnavailable, match=message):
            harper2016.load_harper2016()


SCANS_OF = [3, 2, 3, 3, 3]  # of five voxels


@pytest.fixture
def voxels():
    """Responses of four sounds x five voxels x three scans; one voxel was scanned twice only."""
    values = np.random.default_rng(6).normal(size=(4, 5, 3))
    values[:, 1, 2] = np.nan
    return values


@pytest.fixture
def publish_voxels(tiny_norman, mirror, monkeypatch):
    """Publishes an archive of given members."""

    def publish_members(members: dict[str, bytes]) -> None:
        publish(mirror, monkeypatch, tuckute2023, {"data.tar": tar_of(members)})

    return publish_members


@pytest.fixture
def tiny_nh2015(voxels, publish_voxels):
    members = nh2015_members(voxels[ORDER], [NAMES[i] for i in ORDER], SCANS_OF)
    publish_voxels(members)
    return members


def test_a_scan_is_a_presentation_and_voxels_without_three_are_left_out(tiny_nh2015, voxels):
    benchmark = tuckute2023.load_tuckute2023("NH2015")
    data = benchmark.data
    assert data.shape == (4 * 3, 4)
    for row in data:
        sound, scan = NAMES.index(str(row["stimulus_id"].values)), int(row["repetition"])
        np.testing.assert_array_equal(row, voxels[sound, [0, 2, 3, 4], scan])
    assert data["subject"].values.tolist() == [f"NH2015/listener{n}" for n in (1, 1, 4, 1)]
    assert data["hemisphere"].values.tolist() == ["rh", "lh", "rh", "lh"]
    assert "roi" not in data.coords
    assert set(data["label"].values) == {"AniVoc", "EnvSound", "Song", "Nature"}
    assert (benchmark.name, benchmark.metric) == ("tuckute2023.NH2015", "tuckute2023")


def write_csv(path, columns: dict[str, list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["", *columns])
        writer.writerows([i, *row] for i, row in enumerate(zip(*columns.values(), strict=True)))


def nh2015_csv() -> dict[str, list]:
    meta = voxel_meta(SCANS_OF)[np.array(SCANS_OF) == 3]
    columns = {name: meta[name].tolist() for name in ("subj_idx", "voxel_id")}
    hemispheres = [entry.decode() for entry in meta["hemi"]]
    return {**columns, "hemi": hemispheres, "roi_label_general": ["Primary", "", "Lateral", "Anterior"]}


@pytest.mark.parametrize("place", ["cache", "mirror"])
def test_a_csv_of_the_voxels_adds_their_regions(tiny_nh2015, mirror, cache, place):
    write_csv({"cache": cache, "mirror": mirror}[place] / "tuckute2023/NH2015_df_roi_meta.csv", nh2015_csv())
    data = tuckute2023.load_tuckute2023("NH2015").data
    assert data["roi"].values.tolist() == ["Primary", "", "Lateral", "Anterior"]
    assert data["hemisphere"].values.tolist() == ["rh", "lh", "rh", "lh"]


def test_a_csv_of_other_voxels_is_refused(tiny_nh2015, cache):
    path = cache / "tuckute2023/NH2015_df_roi_meta.csv"
    good = nh2015_csv()
    for wrong in ({k: v[:3] for k, v in good.items()}, {**good, "voxel_id": good["voxel_id"][::-1]}):
        write_csv(path, wrong)
        with pytest.raises(DataUnavailable, match=r"should have the 4 voxels of NH2015 in their order.*remove it"):
            tuckute2023.load_tuckute2023("NH2015")
    write_csv(path, {"subj_idx": [1], "voxel_id": [1]})
    with pytest.raises(DataUnavailable, match="should have the column hemi, but has"):
        tuckute2023.load_tuckute2023("NH2015")


def test_constant_voxels_are_dropped_and_missing_responses_are_not(voxels, publish_voxels):
    voxels[:, 3] = 1.5
    publish_voxels(nh2015_members(voxels, NAMES, SCANS_OF))
    data = tuckute2023.load_tuckute2023("NH2015").data
    assert data["neuroid_id"].values.tolist() == [f"NH2015/voxel{n:05d}" for n in (0, 1, 3)]
    assert data.attrs["dropped"] == "1 voxels with a constant response"
    voxels[2, 4, 1] = np.nan
    publish_voxels(nh2015_members(voxels, NAMES, SCANS_OF))
    with pytest.raises(InputError, match="responses must be finite, but 1 are not"):
        tuckute2023.load_tuckute2023("NH2015")


def b2021_members(values: np.ndarray) -> dict[str, bytes]:
    """Four sounds and one of music, the voxels' table a pickle of ``{"subj_idx": ...}`` in the archive's form."""
    import pandas as pd

    stream = io.BytesIO()
    table = {"subj_idx": [1, 20, 20], "hemi": ["lh", "rh", "rh"], "voxel_id": [0, 1, 2]}
    pd.DataFrame(table).to_pickle(stream)
    return {
        "data/neural/B2021/voxel_features_array.npy": npy(values),
        "data/neural/B2021/stim_info_v4.mat": stim_info([*(NAMES[i] for i in ORDER), "music1"]),
        "data/neural/B2021/df_roi_meta.pkl": stream.getvalue(),
    }


def test_the_command_of_the_message_makes_the_table_that_is_needed(publish_voxels, tmp_path):
    values = np.random.default_rng(7).normal(size=(5, 3, 3))
    publish_voxels(b2021_members(values[[*ORDER, 4]]))
    with pytest.raises(DataUnavailable, match=r"only in a pickle.*If you trust its source") as caught:
        tuckute2023.load_tuckute2023("B2021")
    command = str(caught.value).partition(" with: ")[2].replace("python -c", f"'{sys.executable}' -c")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    benchmark = tuckute2023.load_tuckute2023("B2021")
    assert benchmark.data["subject"].values.tolist() == [f"B2021/listener{n}" for n in (1, 20, 20)]
    np.testing.assert_array_equal(benchmark.data.values.reshape(4, 3, 3), values[:4].transpose(0, 2, 1))
    assert benchmark.name == "tuckute2023.B2021"


def test_archives_that_are_not_what_they_should_be_are_refused(
    tiny_nh2015, voxels, publish_voxels, mirror, monkeypatch
):
    good, neural = dict(tiny_nh2015), "data/neural/NH2015/"
    objects = io.BytesIO()
    np.save(objects, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    wrong = {
        r"one file neural/NH2015/voxel_features_meta.npy, but has 0": {f"{neural}voxel_features_meta.npy": None},
        r"one file neural/NH2015/voxel_features_array.npy, but has 2": {
            "old/" + f"{neural}voxel_features_array.npy": b"x"
        },
        r"NH2015/neural_stim_meta.npy should be an array of plain values, but numpy says: .*allow_pickle": {
            f"{neural}neural_stim_meta.npy": objects.getvalue()
        },
        r"should be 4 sounds x 4 voxels x 3 scans, but are \(4, 4, 2\)": {
            f"{neural}voxel_features_array.npy": npy(voxels[..., :2])
        },
        r"data.tar, NH2015, should name each of the 4 sounds once.*first: 'stim11_rain'": {
            f"{neural}neural_stim_meta.npy": npy(np.array([(b"stim7_cow.wav",)] * 4, dtype=[("f0", "S40")]))
        },
    }
    for message, change in wrong.items():
        publish_voxels({name: content for name, content in (good | change).items() if content is not None})
        with pytest.raises(DataUnavailable, match=message):
            tuckute2023.load_tuckute2023("NH2015")
    publish(mirror, monkeypatch, tuckute2023, {"data.tar": b"<html>not found</html>" * 100})
    with pytest.raises(DataUnavailable, match=r"data\.tar should be a tar archive, but is not"):
        tuckute2023.load_tuckute2023("NH2015")


def test_a_member_too_large_is_refused_before_it_is_read(tiny_nh2015, monkeypatch):
    monkeypatch.setattr(tuckute2023, "LARGEST_MEMBER", 100)
    with pytest.raises(
        DataUnavailable, match=r"neural/NH2015/voxel_features_meta.npy should have 100 bytes at most, but"
    ):
        tuckute2023.load_tuckute2023("NH2015")


def test_unknown_groups_name_the_known():
    with pytest.raises(InputError, match="group of tuckute2023 'NH2016'; did you mean 'NH2015'"):
        tuckute2023.load_tuckute2023("NH2016")


def test_nested_cells_of_names_are_read():
    nested = np.empty((2, 1), dtype=object)
    nested[:, 0] = [cell(["stim1_a"]), np.array(["stim2_b"])]
    assert [tuckute2023._text(entry) for entry in nested.ravel()] == ["stim1_a", "stim2_b"]


@pytest.mark.parametrize(
    ("region", "benchmark", "expected"),
    [
        ("kriegeskorte2008.mIT", "kriegeskorte2008.hIT", True),
        ("kriegeskorte2008.mIT", "kriegeskorte2008.mIT", False),
        ("kriegeskorte2008.mIT", "cichy2014.IT", False),  # the same objects on another background
        ("norman_haignere2022.electrodes", "norman_haignere2015.components", True),
        ("norman_haignere2022.electrodes", "norman_haignere2022.rdm", False),  # the same recordings
        ("norman_haignere2015.components", "tuckute2023.NH2015", False),
        ("tuckute2023.B2021", "tuckute2023.NH2015", True),
    ],
)
def test_a_region_models_other_recordings_with_the_same_stimuli(region, benchmark, expected):
    assert data_loaders.can_model(region, benchmark) is expected
