"""Facts of the real sounds and recordings; needs a mirror that holds them.

The digits compared with are those published with the mirror, to the decimals given.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from scipy.io import loadmat
from scipy.stats import spearmanr

from data_loaders import esc, fsdd, harper2016, norman_haignere2015, norman_haignere2022
from data_loaders._files import locate
from data_loaders.sounds import read_sound
from neurocompare.assembly import average_time
from neurocompare.sounds import check_not_clipped


@pytest.fixture(autouse=True)
def _mirror_with_sounds(real_mirror):
    for name in ("norman_haignere2015", "norman_haignere2022", "harper2016_ns1", "fsdd", "esc10"):
        if not (real_mirror / name).is_dir():
            pytest.skip(f"NEUROCOMPARE_MIRROR holds no {name}")


def test_the_165_sounds_have_two_seconds_and_their_categories():
    stimuli = norman_haignere2015.load_stimuli()
    sounds = [stimuli.open(i) for i in stimuli.ids]
    assert {(sound.rate, sound.samples.size) for sound in sounds} == {(44_100, 88_200)}
    for stimulus_id, sound in zip(stimuli.ids, sounds, strict=True):
        check_not_clipped(sound, stimulus_id)
    assert len(set(stimuli.contents.values())) == 165
    assert Counter(stimuli.table["category"]) == {
        "Mechanical": 39,
        "EnvSound": 27,
        "Music": 24,
        "HumNonVoc": 15,
        "HumVoc": 13,
        "Song": 11,
        "EngSpeech": 10,
        "AniVoc": 10,
        "ForSpeech": 7,
        "AniNonVoc": 5,
        "Nature": 4,
    }


def test_components_are_large_for_what_they_are_named_after():
    data = norman_haignere2015.load_components().data
    assert data.shape == (165, 6)
    assert data["neuroid_id"].values.tolist() == ["lowfreq", "highfreq", "envsounds", "pitch", "speech", "music"]
    labels = data["label"].values
    by_category = {name: data.values[labels == name].mean(0) for name in set(labels)}
    for component, kinds in {4: {"EngSpeech", "ForSpeech", "Song"}, 5: {"Music", "Song"}}.items():
        assert set(sorted(by_category, key=lambda name: -by_category[name][component])[: len(kinds)]) == kinds


def test_the_intracranial_rdm_against_that_of_fmri():
    ecog, fmri = norman_haignere2022.load_rdm(), norman_haignere2015.load_rdm()
    assert ecog.stimuli.ids == fmri.stimuli.ids
    assert dict(ecog.data.sizes) == {"subject": 1, "pair": 13_530}
    assert spearmanr(ecog.data.values[0], fmri.data.values[0])[0] == pytest.approx(0.751, abs=5e-4)


def test_the_intracranial_rows_are_the_categories_of_their_own_file():
    """All but three sounds have the category of 2015 in the file of 2022, whose rows are in another order."""
    path = locate(norman_haignere2022.FILES["ecog_component_responses.mat"])
    content = loadmat(path)
    info = content["C"][0, 0]
    kinds = norman_haignere2015.cell_strings(info["category_labels"])
    names = norman_haignere2015.cell_strings(content["stim_names"])
    theirs = {
        name.removesuffix(".wav"): kinds[k - 1]
        for name, k in zip(names, info["category_assignments"][:, 0], strict=True)
    }
    benchmark = norman_haignere2022.load_components()
    ours = dict(zip(benchmark.stimuli.ids, benchmark.data["label"].values, strict=True))
    assert list(theirs) != list(ours)
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert {theirs[name] for name in differing} == {"SfX"}
    assert len(differing) == 3
    row = names.index("stim523_computer-synthesized_speech.wav")
    np.testing.assert_array_equal(
        benchmark.data[benchmark.stimuli.ids.index("stim523_computer-synthesized_speech")], content["R"][row].T
    )


def test_intracranial_responses_over_time():
    components, electrodes = norman_haignere2022.load_components().data, norman_haignere2022.load_electrodes().data
    assert dict(components.sizes) == {"presentation": 165, "neuroid": 15, "time_bin": 75}
    assert dict(electrodes.sizes) == {"presentation": 165, "neuroid": 33, "time_bin": 300}
    for data, step in ((components, 0.04), (electrodes, 0.01)):
        np.testing.assert_allclose(data["time_bin_start"], step * np.arange(data.sizes["time_bin"]), atol=1e-9)
        assert data["time_bin_end"].values[-1] == pytest.approx(3)
    assert Counter(electrodes["selectivity"].values) == {"speech": 15, "music": 11, "song": 7}
    # The sound lasts 2 s: what responds to it has risen before and fallen after.
    course = np.abs(electrodes.values).mean((0, 1))
    assert course[20:200].min() > course[0]
    assert course[290] < course[190]


def test_electrodes_respond_to_what_they_were_chosen_for():
    data = average_time(norman_haignere2022.load_electrodes().data)
    wanted = {"speech": ("EngSpeech", "ForSpeech", "Song"), "music": ("Music", "Song"), "song": ("Song",)}
    labels = data["label"].values
    for column, kind in enumerate(data["selectivity"].values):
        chosen = np.isin(labels, wanted[str(kind)])
        assert data.values[chosen, column].mean() > data.values[~chosen, column].mean()


@pytest.fixture
def ferret():
    return harper2016.load_harper2016()


def test_ferret_units_and_segments(ferret):
    assert dict(ferret.data.sizes) == {"presentation": 1200, "neuroid": 73, "time_bin": 333}
    assert len(ferret.stimuli) == 60
    assert Counter(ferret.data["subject"].values) == {"exp45": 21, "dataAC": 24, "exp57": 25, "exp42": 3}
    sounds = [ferret.stimuli.open(i) for i in ferret.stimuli.ids]
    assert {(sound.rate, sound.samples.size) for sound in sounds} == {(48_828, 97_656)}
    for (stimulus_id, row), sound in zip(ferret.stimuli.table.iterrows(), sounds, strict=True):
        end = round((int(stimulus_id[-1]) + 1) * 1.665 * 48_828)
        clip = read_sound(locate(harper2016.FILES[f"sounds/{row['file']}.wav"]))
        np.testing.assert_array_equal(sound.samples[-min(end, 97_656) :], clip.samples[max(0, end - 97_656) : end])
        assert not sound.samples[: 97_656 - min(end, 97_656)].any()
    kept = ferret.data.values.sum() / (60 * 20 * 73 * 333 * 0.005)
    assert 5 < kept < 20, "spikes per second"


def test_the_metadata_of_the_source_agree_with_the_binned_file():
    neurons = loadmat(locate(harper2016.FILES[harper2016.METADATA]))["neuron"].ravel()
    assert len(neurons) == 119
    units, _ = harper2016._binned_counts(locate(harper2016.FILES[harper2016.COUNTS]))
    kept = [n for n in neurons if n["singleT"].item() in ("Yes", "Maybe") and n["depth"].item() >= 0]
    assert [n["path"].item() for n in kept] == units["path"].tolist()
    assert [n["depth"].item() for n in kept] == units["depth_um"].tolist()


def halves(ferret, clips: tuple[int, ...], seed: int = 0, times: int = 60) -> np.ndarray:
    """Correlations between means over random halves of the repeats, over the clips end to end, mean over halvings."""
    chosen = ferret.data[np.isin(ferret.data["clip"].values, [f"clip{c:02d}" for c in clips])].values
    responses = chosen.reshape(3 * len(clips), 20, 73, 333).transpose(2, 1, 0, 3).reshape(73, 20, -1)
    rng, found = np.random.default_rng(seed), []
    for _ in range(times):
        order = rng.permutation(20)
        a, b = (responses[:, half].mean(1) for half in (order[:10], order[10:]))
        a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
        found.append((a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1)))
    return np.mean(found, axis=0)


def test_reliability_of_the_ferret_units(ferret):
    """With clips counted from 0 and this window the digits are those published; counted from 1 they are not."""
    half = halves(ferret, harper2016.TEST_CLIPS)
    assert np.median(half) == pytest.approx(0.61, abs=0.01)
    assert np.median(np.sqrt(2 / (1 + 1 / half))) == pytest.approx(0.87, abs=5e-3)
    counted_from_1 = halves(ferret, tuple(clip - 1 for clip in harper2016.TEST_CLIPS))
    assert abs(np.median(counted_from_1) - 0.61) > 0.02


def test_no_clip_is_cut_off():
    """19 clips exceed 1, which is not their full scale: no clip stays at its extreme, as one that is cut off would."""
    beyond = 0
    for clip in harper2016.CLIPS:
        samples = read_sound(locate(harper2016.FILES[f"sounds/{clip}.wav"]), rate=48_828).samples
        assert (samples == samples.max()).sum() == (samples == samples.min()).sum() == 1
        beyond += np.abs(samples).max() > 1
    assert beyond == 19


def test_spoken_digits():
    stimuli = fsdd.fsdd_sounds()
    table = stimuli.table
    assert len(stimuli) == 1200
    assert set(Counter(zip(table["digit"], table["speaker"], strict=True)).values()) == {20}
    assert Counter(table["split"]) == {"train": 900, "test": 300}
    assert set(table["index"][table["split"] == "test"]) == {0, 1, 2, 3, 4}
    sounds = [stimuli.open(i) for i in stimuli.ids]
    assert {sound.rate for sound in sounds} == {8000}
    assert 0.14 < min(s.seconds for s in sounds) < max(s.seconds for s in sounds) < 2.3
    by_content = defaultdict(set)
    for stimulus_id, content in stimuli.contents.items():
        by_content[content].add(table["split"][stimulus_id])
    assert max(map(len, by_content.values())) == 1, "no recording is in both splits"


def test_environmental_sounds():
    stimuli = esc.esc_sounds()
    table = stimuli.table
    assert set(Counter(table["category"]).values()) == {20}
    assert Counter(table["fold"]) == {1: 80, 2: 80, 3: 40}
    assert Counter(table["split"]) == {"train": 160, "test": 40}
    sounds = [stimuli.open(i) for i in stimuli.ids[::10]]
    assert {sound.rate for sound in sounds} == {44_100}
    assert {round(sound.seconds) for sound in sounds} == {5}
    splits_of = defaultdict(set)
    for stimulus_id, split in table["split"].items():
        splits_of[stimulus_id.split("-")[1]].add(split)
    assert max(map(len, splits_of.values())) == 1, "no source recording is in both splits"
