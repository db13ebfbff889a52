"""Recordings from folders, tables, lists and Python, and splits that keep speakers on one side."""

from __future__ import annotations

import attar
import numpy as np
import pytest
import torch
from attar.errors import UsageError

SPEAKER = r"_(?P<group>[a-z])_"


def load(data, **options):
    return attar.task("audio", data=data, **options)


def speakers(task, split):
    """Return what is said in a split: recordings of one speaker and class are alike, others differ."""
    return {tuple(np.round(sample.flatten().tolist(), 2)) for sample in items(task, split)}


def items(task, split):
    part = {"train": task.train, "test": task.test, "validation": task.validation}[split]
    return part.read(torch.arange(len(part.labels)))


def test_a_folder_is_a_task(folder):
    task = load(folder)
    assert task.classes == ("high", "low")
    assert task.axes == ("channel", "band", "time")
    # The most common rate; of two, the first that is met.
    assert task.about["front_end"]["rate"] in (8000, 11025)
    assert task.about["front_end"]["seconds"] == pytest.approx(0.3)
    assert task.size("train") + task.size("test") + task.size("validation") == 16


def test_options_decide_the_form(folder):
    task = load(folder, rate=4000, seconds=0.2, features="mfcc", bands=13, window=25, hop=10)
    assert task.feature == (1, 13, 21)
    assert task.axes == ("channel", "cepstrum", "time")


def test_statistics_are_those_of_each_band_of_training_data(folder):
    task = load(folder, validation=0)
    values = items(task, "train").double()
    assert np.allclose(task.preprocess.mean, values.mean((0, 1, 3)), atol=1e-4)
    inputs = task.view(torch.arange(task.size("train"))).inputs
    assert torch.allclose(inputs.mean((0, 1, 3)), torch.zeros(64), atol=1e-3)


def test_splits_of_folders_are_kept(tmp_path, write):
    for split, count in (("train", 4), ("test", 2)):
        for label, pitch in (("low", 300), ("high", 1500)):
            for index in range(count):
                write(tmp_path / "own" / split / label / f"{index}.wav", pitch=pitch + index)
    task = load(tmp_path / "own", validation=0)
    assert (task.size("train"), task.size("test")) == (8, 4)


def test_an_unchanged_folder_is_decoded_once(folder, monkeypatch):
    before = load(folder)

    def refuse(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr("attar_audio.clips.ClipDecoder.__call__", refuse)
    assert load(folder).fingerprint == before.fingerprint
    with pytest.raises(AssertionError, match="decoded again"):
        load(folder, hop=8)


def test_the_front_end_is_part_of_the_fingerprint(folder):
    assert load(folder, window=32).fingerprint != load(folder, window=30).fingerprint


# Groups.


def test_groups_stay_on_one_side(folder):
    task = load(folder, group_pattern=SPEAKER, test=0.25, validation=0.25)
    sides = [len(items(task, split)) for split in ("train", "validation", "test")]
    assert sides == [8, 4, 4]
    found = [speakers(task, split) for split in ("train", "validation", "test")]
    assert not found[0] & found[1] | found[0] & found[2] | found[1] & found[2]
    # Without groups, speakers are on both sides.
    drawn = load(folder, test=0.25, validation=0)
    assert speakers(drawn, "train") & speakers(drawn, "test")


def test_test_groups_can_be_named(folder):
    first = load(folder, group_pattern=SPEAKER, test_groups="a", validation=0)
    other = load(folder, group_pattern=SPEAKER, test_groups="b, c", validation=0)
    assert (first.size("test"), other.size("test")) == (4, 8)
    assert not speakers(first, "test") & speakers(other, "test")


def test_splits_of_folders_give_way_to_groups(tmp_path, write):
    for split in ("train", "test"):
        for label, pitch in (("low", 300), ("high", 1500)):
            for speaker in "ab":
                write(tmp_path / "own" / split / label / f"0_{speaker}_0.wav", pitch=pitch + ord(speaker))
    task = load(tmp_path / "own", group_pattern=SPEAKER, test_groups="b", validation=0)
    assert (task.size("train"), task.size("test")) == (4, 4)


def test_what_has_no_file_names_has_no_groups():
    with pytest.raises(UsageError, match="'tones' have no file names; leave out"):
        load("tones", group_pattern=SPEAKER)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"group_pattern": "_(?P<group>["}, "is no regular expression"),
        ({"group_pattern": "_([a-z])_"}, r"names no group; put \(\?P<group>…\) around"),
        ({"group_pattern": r"speaker(?P<group>\d)"}, "finds no group in 'high/high_a_0.wav'; change it"),
        (
            {"group_pattern": SPEAKER, "test_groups": "z"},
            "unknown group in data.test_groups 'z': choose",
        ),
        ({"test_groups": "a"}, "nothing says what a group is; add data.group_pattern"),
        (
            {"group_pattern": SPEAKER, "test_groups": "a,b,c,d"},
            "would have no training sample beside",
        ),
        ({"group_pattern": "^(?P<group>low|high)"}, "no group of 2 can be held out for the test part"),
    ],
)
def test_what_is_wrong_with_groups_is_one_sentence(folder, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        load(folder, **options)


# Tables.


def table(folder):
    files = sorted(folder.rglob("*.wav"))
    return {
        "audio": [{"bytes": path.read_bytes(), "path": path.name} for path in files],
        "label": [path.parent.name for path in files],
    }


def test_parquet_is_read(folder, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(table(folder)), tmp_path / "sounds.parquet")
    task = load(tmp_path / "sounds.parquet", validation=0)
    assert task.classes == ("high", "low")
    assert task.size("train") + task.size("test") == 16
    apart = load(tmp_path / "sounds.parquet", group_pattern=SPEAKER, test_groups="d", validation=0)
    assert apart.size("test") == 4


def test_a_saved_data_set_of_hugging_face_is_read(folder, tmp_path):
    import datasets

    rows = datasets.Dataset.from_dict(table(folder)).cast_column("audio", datasets.Audio(decode=False))
    rows.save_to_disk(str(tmp_path / "saved"))
    task = load(tmp_path / "saved", group_pattern=SPEAKER, test_groups="d", validation=0)
    assert (task.size("train"), task.size("test")) == (12, 4)


# Python.


def test_waveforms_given_in_python():
    waves = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2, 4000)).astype(np.float32)
    labels = np.arange(20) % 2
    task = attar.task("audio", data=(waves, labels), rate=8000)
    assert task.feature == (1, 64, 32)
    whole = attar.task("audio", data=((waves * 32767).astype(np.int16), labels), rate=8000)
    assert torch.allclose(items(task, "test"), items(whole, "test"), atol=0.5)


@pytest.mark.parametrize(
    ("train", "options", "sentence"),
    [
        (
            (np.zeros((4, 4000)), np.arange(4) % 2),
            {},
            "say at which rate .* was sampled, in Hz",
        ),
        ((np.full((4, 4000), 9.0), np.arange(4) % 2), {"rate": 8000}, r"reaches 9; give floats in \[-1, 1\]"),
        ((np.full((4, 4000), np.nan), np.arange(4) % 2), {"rate": 8000}, "NaN or infinite samples"),
        ((np.zeros((4, 2, 2, 100)), np.arange(4) % 2), {"rate": 8000}, r"give waveforms \(n,\) or"),
    ],
)
def test_what_is_no_waveform_is_refused(train, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        attar.task("audio", data=train, **options)


# Speech Commands.


@pytest.fixture
def commands(tmp_path, write):
    """Five words of six speakers, in the layout of the archive."""
    place = tmp_path / "root" / "SpeechCommands" / "speech_commands_v0.02"
    for word in ("yes", "no", "up", "cat", "dog"):
        for speaker in range(6):
            write(
                place / word / f"{speaker:08x}_nohash_0.wav", pitch=300 + 50 * speaker, rate=16000, seconds=1
            )
    write(place / "_background_noise_" / "rain.wav", seconds=2)
    words = ("yes", "no", "up", "cat", "dog")
    (place / "testing_list.txt").write_text("".join(f"{word}/{5:08x}_nohash_0.wav\n" for word in words))
    (place / "validation_list.txt").write_text("".join(f"{word}/{4:08x}_nohash_0.wav\n" for word in words))
    return tmp_path / "root"


def test_speech_commands_are_split_by_their_lists(commands):
    task = load("speech-commands", root=commands)
    assert task.classes == ("cat", "dog", "no", "up", "yes")
    assert [task.size(split) for split in ("train", "validation", "test")] == [20, 5, 5]
    assert task.about["front_end"]["rate"] == 16000


def test_the_mini_commands_are_eight_words(commands):
    assert load("speech-commands-mini", root=commands).classes == ("no", "up", "yes")


def test_speech_commands_by_speaker(commands):
    pattern = r"/(?P<group>[0-9a-f]+)_nohash"
    task = load("speech-commands", root=commands, group_pattern=pattern, test_groups=f"{0:08x}", validation=0)
    assert (task.size("train"), task.size("test")) == (25, 5)


def test_speech_commands_that_are_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"speech-commands is not in .*: give its folder with --root, or"):
        load("speech-commands", root=tmp_path)


def test_an_empty_class_is_refused(folder):
    (folder / "middle").mkdir()
    with pytest.raises(UsageError, match=r"middle' holds no recordings; add some \(.*\.wav"):
        load(folder)


def test_the_command_line_takes_a_group_pattern(folder, cli):
    few = ("--ipc", 1, "--group-pattern", SPEAKER, "--set", "data.test_groups=b", "--dry-run", "--json")
    done = cli("distill", "audio", "--data", folder, *few)
    assert done.code == 0, done.err
    wrong = cli("compare", "audio", "--data", folder, "--group-pattern", "(", "--methods", "dm", "--dry-run")
    assert (wrong.code, "is no regular expression" in wrong.err) == (2, True)


def test_data_without_files_have_no_groups(cli):
    done = cli("distill", "tensor", "--data", "digits", "--ipc", 1, "--group-pattern", "x", "--dry-run")
    assert done.code == 2
    assert "data.options.group_pattern" in done.err or "data.group_pattern" in done.err


# Recordings that cannot be read.


def test_all_bad_recordings_are_named_or_left_out(folder, caplog):
    files = sorted(folder.rglob("*.wav"))
    files[0].write_bytes(b"")
    files[-1].write_bytes(b"these are words")
    with pytest.raises(UsageError, match=r"2 recordings are bad: .*is empty, .*cannot be read as sound; "):
        load(folder)
    task = load(folder, bad="skip")
    assert sum(task.size(split) for split in ("train", "validation", "test")) == len(files) - 2
    assert task.about["skipped"]["names"] == [str(path.relative_to(folder)) for path in (files[0], files[-1])]
    assert f"2 of {len(files)} recordings cannot be read and are left out" in caplog.text


def test_groups_are_those_of_the_recordings_that_are_left(folder):
    # The first file is of speaker a: were its group kept, all others would move by one.
    sorted(folder.rglob("*.wav"))[0].write_bytes(b"")
    task = load(folder, bad="skip", group_pattern=SPEAKER, test_groups="a")
    assert task.size("test") == 3
    assert not speakers(task, "train") & speakers(task, "test")
