"""Sounds read from files, a user's own folder of them, and sounds to train on in each source's own layout."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_sounds import encoded, main_frequency, tone
from tiny_sources import publish

from data_loaders import esc, fsdd
from data_loaders.sounds import read_sound, sound_folder, sound_set, stimulus_table
from data_loaders.speech_commands import speech_commands_folder
from neurocompare.errors import DataUnavailable, InputError

SAMPLES = np.random.default_rng(0).uniform(-0.9, 0.9, 4000).round(2)


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_a_file_gives_its_samples_and_rate(tmp_path, kind):
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(SAMPLES, 22_050, kind))
    for source in (path, path.read_bytes()):
        sound = read_sound(source)
        assert sound.rate == 22_050
        np.testing.assert_array_equal(sound.samples, np.rint(SAMPLES * 32_767) / 32_768)


def test_ogg_keeps_what_is_heard():
    sound = read_sound(encoded(tone(1500, seconds=0.5), kind="OGG", subtype="VORBIS"))
    assert main_frequency(sound) == pytest.approx(1500, abs=2)
    assert sound.seconds == 0.5


def test_channels_are_mixed_down_to_their_mean():
    both = np.column_stack([SAMPLES, 0.5 * SAMPLES[::-1], np.zeros(4000)])
    np.testing.assert_allclose(read_sound(encoded(both)).samples, both.mean(1), atol=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"crow\.wav is not there"),
        (b"", r"crow\.wav is empty \(0 bytes\)"),
        (b"no sound at all", r"crow\.wav cannot be decoded as sound \(Format not recognised\.?\); save it as wav"),
        (encoded(np.zeros(0), 16_000), r"crow\.wav: a sound needs samples, but has none"),
        (encoded(np.zeros(100), 16_000), r"crow\.wav: a sound needs samples that vary, but all 100 are 0: silence"),
        (encoded(SAMPLES, 8000), r"crow\.wav needs 16000 samples per second, but has 8000; resample it"),
    ],
)
def test_what_is_no_such_sound_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "crow.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataUnavailable, match=message):
        read_sound(path, rate=16_000)


def test_a_set_opens_files_and_contents_by_id(tmp_path):
    (tmp_path / "a.flac").write_bytes(encoded(tone(3000), kind="FLAC"))
    sounds = {"b": encoded(tone(1000)), "a": tmp_path / "a.flac"}
    table = stimulus_table(sounds, {"kind": ["x", "y"]})
    stimuli = sound_set("mine", sounds, table)
    assert stimuli.ids == ("b", "a")
    assert [main_frequency(stimuli.open(i)) for i in stimuli.ids] == pytest.approx([1000, 3000], abs=30)
    assert stimuli.table["kind"].to_dict() == {"b": "x", "a": "y"}
    assert list(sound_set("mine", sounds).table.index) == ["b", "a"]


def test_a_set_names_the_sound_that_cannot_be_opened(tmp_path):
    (tmp_path / "a.wav").write_bytes(encoded(tone(1000)))
    stimuli = sound_set("mine", {"a": tmp_path / "a.wav", "b": b"noise"}, rate=8000)
    with pytest.raises(DataUnavailable, match=r"a\.wav needs 8000 samples per second, but has 44100"):
        stimuli.open("a")
    with pytest.raises(DataUnavailable, match="sound 'b' of 'mine' cannot be decoded"):
        stimuli.open("b")


@pytest.fixture
def folder(tmp_path):
    """A folder of three sounds, one in a folder in it, and files that are none."""
    root = tmp_path / "own sounds"
    (root / "birds").mkdir(parents=True)
    contents = {
        "rain.flac": encoded(tone(2000), kind="FLAC"),
        "birds/crow.WAV": encoded(tone(1000)),
        "zip.ogg": encoded(tone(3000, seconds=0.5), kind="OGG", subtype="VORBIS"),
        "notes.txt": b"about",
        "._rain.flac": b"what one operating system leaves behind",
    }
    for name, content in contents.items():
        (root / name).write_bytes(content)
    return root


def test_a_folder_is_a_stimulus_set(folder):
    for path in (folder, str(folder)):
        stimuli = sound_folder(path)
        assert stimuli.name == "own sounds"
        assert stimuli.ids == ("birds/crow", "rain", "zip")
        assert [main_frequency(stimuli.open(i)) for i in stimuli.ids] == pytest.approx([1000, 2000, 3000], abs=30)


def test_equal_sounds_are_equal_whatever_the_format(folder):
    (folder / "again.wav").write_bytes(encoded(tone(2000)))
    contents = sound_folder(folder).contents
    assert contents["again"] == contents["rain"] != contents["birds/crow"]


def test_a_folder_with_a_clipped_sound_is_refused(folder):
    (folder / "loud.wav").write_bytes(encoded(np.clip(3 * tone(200), -1, 1)))
    with pytest.raises(InputError, match=r"loud\.wav is clipped: \d+ samples in a row.*record it again"):
        sound_folder(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.wav", b"", r"bad\.wav is empty"),
        ("bad.ogg", b"OggS and nothing more", r"bad\.ogg cannot be decoded"),
        ("bad.wav", encoded(np.zeros(9)), r"bad\.wav: .*silence"),
        ("rain.wav", encoded(tone(900)), r"rain\.flac and .*rain\.wav differ only in their suffix.*id 'rain'; rename"),
    ],
)
def test_a_folder_with_a_bad_sound_is_refused_by_name(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(DataUnavailable, match=message):
        sound_folder(folder)


def test_a_folder_without_sounds_says_what_was_looked_for(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"film")
    with pytest.raises(DataUnavailable, match=r"needs sounds \(\.wav, \.flac, \.ogg\), but has none"):
        sound_folder(tmp_path)
    with pytest.raises(DataUnavailable, match=r"a\.mp4 should be a folder of sounds, but is a file"):
        sound_folder(tmp_path / "a.mp4")
    with pytest.raises(DataUnavailable, match="nowhere should be a folder of sounds, but is not there"):
        sound_folder(tmp_path / "nowhere")


def test_digits_have_their_split_by_index(mirror, monkeypatch):
    names = ["1_theo_10", "1_theo_4", "0_lucas_5", "1_george_0"]
    contents = {f"recordings/{n}.wav": encoded(tone(500 * (i + 1), 8000, 0.1), 8000) for i, n in enumerate(names)}
    publish(mirror, monkeypatch, fsdd, contents)
    stimuli = fsdd.fsdd_sounds()
    assert stimuli.ids == ("0_lucas_5", "1_george_0", "1_theo_4", "1_theo_10")
    assert [main_frequency(stimuli.open(i)) for i in stimuli.ids] == pytest.approx([1500, 2000, 1000, 500], abs=10)
    assert stimuli.table["digit"].tolist() == [0, 1, 1, 1]
    assert stimuli.table["speaker"].tolist() == ["lucas", "george", "theo", "theo"]
    assert stimuli.table["index"].tolist() == [5, 0, 4, 10]
    assert stimuli.table["split"].tolist() == ["train", "test", "test", "train"]


def test_digits_named_otherwise_are_refused(mirror, monkeypatch):
    publish(mirror, monkeypatch, fsdd, {"recordings/one_theo.wav": encoded(tone(500, 8000), 8000)})
    with pytest.raises(DataUnavailable, match=r"named DIGIT_SPEAKER_INDEX\.wav, but got recordings/one_theo\.wav"):
        fsdd.fsdd_sounds()


def ogg(hertz: float) -> bytes:
    return encoded(tone(hertz, seconds=0.3), kind="OGG", subtype="VORBIS")


@pytest.fixture
def tiny_esc(mirror, monkeypatch):
    names = {"002 - Rain/3-7-A.ogg": 1000, "001 - Dog bark/1-9-B.ogg": 2000, "001 - Dog bark/1-9-A.ogg": 3000}
    publish(mirror, monkeypatch, esc, {name: ogg(hertz) for name, hertz in names.items()})


def test_environmental_sounds_are_split_by_fold(tiny_esc):
    stimuli = esc.esc_sounds(test_fold=1)
    assert stimuli.ids == ("1-9-A", "1-9-B", "3-7-A")
    assert [main_frequency(stimuli.open(i)) for i in stimuli.ids] == pytest.approx([3000, 2000, 1000], abs=10)
    assert stimuli.table["category"].tolist() == ["Dog bark", "Dog bark", "Rain"]
    assert stimuli.table["fold"].tolist() == [1, 1, 3]
    assert stimuli.table["split"].tolist() == ["test", "test", "train"]
    assert esc.esc_sounds().table["split"].tolist() == ["train", "train", "test"]


def test_a_fold_that_is_not_there_is_an_error(tiny_esc):
    with pytest.raises(InputError, match=r"esc10 has the folds \[1, 3\] here, but test_fold is 2"):
        esc.esc_sounds(test_fold=2)


def test_environmental_sounds_named_otherwise_are_refused(mirror, monkeypatch):
    publish(mirror, monkeypatch, esc, {"Rain/a.ogg": ogg(500)})
    with pytest.raises(DataUnavailable, match=r"named 'NNN - CLASS/FOLD-\*\.ogg', but got 'Rain/a\.ogg'"):
        esc.esc_sounds()


def test_blanks_are_encoded_in_the_url_and_not_in_the_path():
    file = esc.FILES["001 - Dog bark/1-100032-A.ogg"]
    assert file.path == "esc10/001 - Dog bark/1-100032-A.ogg"
    assert file.url == f"{esc.SOURCE}001%20-%20Dog%20bark/1-100032-A.ogg"


ESC50 = (
    "filename,fold,target,category,esc10,src_file,take\n1-1-A-0.wav,1,0,dog,True,1,A\n5-2-A-3.wav,5,3,cow,False,2,A\n"
)


@pytest.fixture
def esc50(tmp_path):
    """Two clips, one of a class of ESC-10."""
    root = tmp_path / "ESC-50-master"
    for name in ("meta", "audio"):
        (root / name).mkdir(parents=True)
    (root / "meta/esc50.csv").write_text(ESC50)
    for name, hertz in {"1-1-A-0": 1000, "5-2-A-3": 2000}.items():
        (root / f"audio/{name}.wav").write_bytes(encoded(tone(hertz)))
    return root


def test_esc50_from_a_folder(esc50):
    stimuli = esc.esc_folder(str(esc50))
    assert (stimuli.name, stimuli.ids) == ("esc50", ("1-1-A-0", "5-2-A-3"))
    assert [main_frequency(stimuli.open(i)) for i in stimuli.ids] == pytest.approx([1000, 2000], abs=60)
    assert stimuli.table["category"].tolist() == ["dog", "cow"]
    assert stimuli.table["split"].tolist() == ["train", "test"]
    ten = esc.esc_folder(esc50, esc10=True, test_fold=1)
    assert (ten.name, ten.ids) == ("esc10", ("1-1-A-0",))


def test_esc50_names_what_its_folder_lacks(esc50):
    with pytest.raises(InputError, match=r"esc50 has the folds \[1, 5\] here, but test_fold is 2"):
        esc.esc_folder(esc50, test_fold=2)
    (esc50 / "audio/5-2-A-3.wav").unlink()
    with pytest.raises(DataUnavailable, match=r"hold all 2 clips, but .*5-2-A-3\.wav is not there"):
        esc.esc_folder(esc50)
    (esc50 / "meta/esc50.csv").write_text(ESC50.replace("fold", "part"))
    with pytest.raises(DataUnavailable, match=r"esc50\.csv needs the columns filename, .* but lacks fold"):
        esc.esc_folder(esc50)
    (esc50 / "meta/esc50.csv").unlink()
    with pytest.raises(DataUnavailable, match=r"ESC-50 needs .*esc50\.csv, but it is not there"):
        esc.esc_folder(esc50)
    with pytest.raises(DataUnavailable, match="should be a folder of sounds"):
        esc.esc_folder(esc50 / "nowhere")


@pytest.fixture
def commands(tmp_path):
    """Three words of two speakers, and a long noise."""
    names = ("yes/0a_nohash_0", "yes/0a_nohash_1", "no/ff_nohash_0", "_background_noise_/hum")
    for i, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.wav").write_bytes(encoded(tone(500 * (i + 1), 16_000, 0.1), 16_000))
    (tmp_path / "validation_list.txt").write_text("yes/0a_nohash_1.wav\nstop/11_nohash_0.wav\n")
    (tmp_path / "testing_list.txt").write_text("no/ff_nohash_0.wav\n")
    return tmp_path


def test_commands_have_the_split_of_the_lists(commands):
    stimuli = speech_commands_folder(str(commands))
    assert stimuli.ids == ("no/ff_nohash_0", "yes/0a_nohash_0", "yes/0a_nohash_1")
    assert [main_frequency(stimuli.open(i)) for i in stimuli.ids] == pytest.approx([1500, 500, 1000], abs=10)
    assert stimuli.table["word"].tolist() == ["no", "yes", "yes"]
    assert stimuli.table["speaker"].tolist() == ["ff", "0a", "0a"]
    assert stimuli.table["split"].tolist() == ["test", "train", "validation"]


def test_commands_name_what_is_wrong(commands):
    (commands / "yes/0a_nohash_0.wav").write_bytes(encoded(tone(500, 8000), 8000))
    with pytest.raises(DataUnavailable, match=r"0a_nohash_0\.wav needs 16000 samples per second, but has 8000"):
        speech_commands_folder(commands).open("yes/0a_nohash_0")
    (commands / "yes/me.wav").write_bytes(b"")
    with pytest.raises(DataUnavailable, match=r"me\.wav should be named SPEAKER_nohash_NUMBER\.wav"):
        speech_commands_folder(commands)
    (commands / "testing_list.txt").unlink()
    with pytest.raises(DataUnavailable, match=r"needs .*testing_list\.txt, but it is not there; without it test"):
        speech_commands_folder(commands)


def test_a_folder_without_commands_is_refused(tmp_path):
    for name in ("validation_list.txt", "testing_list.txt"):
        (tmp_path / name).write_text("")
    with pytest.raises(DataUnavailable, match="should hold a folder of wav files for each word, but has none"):
        speech_commands_folder(tmp_path)
    with pytest.raises(DataUnavailable, match="should be a folder of sounds"):
        speech_commands_folder(tmp_path / "nowhere")
