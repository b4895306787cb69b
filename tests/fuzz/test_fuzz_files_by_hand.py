"""Files by hand: recordings, folders, experiments, cards, vectors and archives that are not what they should be."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
import soundfile
import yaml
from byhand import each, table
from outcomes import told, tried
from scipy.io import savemat

from ser_core.data import audio, cards, splits, synthetic
from ser_core.data.corpora import fetch, guessing, urdu_sindhi
from ser_core.experiments import configuration

# Recordings.

RATE = 8_000
TONE = 0.4 * np.sin(np.arange(2_000) / 4) * np.hanning(2_000)


def wav(samples=TONE, rate=RATE, kind="WAV", **how):
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, **how)
    return stream.getvalue()


def patched(whole, at, content):
    return whole[:at] + content + whole[at + len(content) :]


WAV, FLOAT, FLAC = wav(), wav(subtype="FLOAT"), wav(kind="FLAC")
OGG = wav(np.tile(TONE, 20), kind="OGG")
DATA = WAV.index(b"data")
RECORDINGS = {
    "nothing": b"",
    "one byte": b"R",
    "text": b"hello\n" * 40,
    "markup": b"<!DOCTYPE html><html>404</html>",
    "a pointer of LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "a zip": b"PK\x03\x04" + bytes(200),
    "MP3 tags only": b"ID3\x04\x00\x00\x00\x00\x00\x00" + bytes(50),
    "a head only": WAV[:44],
    "a head of RIFF": b"RIFF" + struct.pack("<I", 100) + b"WAVE",
    "half a WAV": WAV[: len(WAV) // 2],
    "half a float WAV": FLOAT[: len(FLOAT) // 2],
    "half a FLAC": FLAC[: len(FLAC) // 2],
    "half an AIFF": wav(kind="AIFF")[:2_000],
    "half an AIFF of floats": wav(kind="AIFF", subtype="FLOAT")[:5_000],
    "half an OGG": OGG[: len(OGG) // 2],
    "all but the end": WAV[:-1_000],
    "a hole in a FLAC": patched(FLAC, len(FLAC) // 2, bytes(300)),
    "a rate of 0": patched(WAV, 24, bytes(4)),
    "no channels": patched(WAV, 22, bytes(2)),
    "60,000 channels": patched(WAV, 22, b"\x60\xea"),
    "an unknown coding": patched(WAV, 20, b"\x99\x99"),
    "no bits": patched(WAV, 34, bytes(2)),
    "an empty data chunk": patched(WAV, DATA + 4, bytes(4)),
    "without data": WAV[:DATA],
    "no samples": wav(np.zeros(0)),
    "no samples, FLAC": wav(np.zeros(0), kind="FLAC"),
    "not a number": wav(np.where(np.arange(2_000) == 7, np.nan, TONE), subtype="FLOAT"),
    "all not a number": wav(np.full(90, np.nan), subtype="FLOAT"),
    "infinite": wav(np.where(np.arange(2_000) == 7, np.inf, TONE), subtype="FLOAT"),
    "int16 as float": wav(TONE * 32_768, subtype="FLOAT"),
    "int8 as float": wav(TONE * 127, subtype="FLOAT"),
    "1e30": wav(TONE * 1e30, subtype="FLOAT"),
    "1e300": wav(TONE * 1e300, subtype="DOUBLE"),
    "opposite phase": wav(np.stack([TONE, -TONE], axis=1)),
    "opposite, nearly": wav(np.stack([TONE, -0.999 * TONE], axis=1)),
    "pairs of opposites": wav(np.stack([TONE, -TONE, TONE, -TONE], axis=1)),
}


@each(RECORDINGS)
def test_a_recording_that_cannot_be_heard_as_it_was_is_refused(tmp_path, given):
    (tmp_path / "a.wav").write_bytes(given)
    assert tried("recordings", audio.read, tmp_path / "a.wav") is None


NOISE = np.random.default_rng(0).normal(size=2_000) * 0.1
ODD_RECORDINGS = {
    "silent recording": wav(np.zeros(2_000)),
    "very short recording": wav(TONE[900:950]),
    "beyond full scale": wav(TONE * 2.8, subtype="FLOAT"),
    "silent channel": wav(np.stack([TONE, 0 * TONE], axis=1)),
    "different channels": wav(np.stack([TONE, NOISE], axis=1)),
    "several channels": wav(np.stack([TONE] * 5, axis=1)),
    "low sampling rate": wav(rate=500),
}


@pytest.mark.parametrize("kind", ODD_RECORDINGS)
def test_what_is_odd_in_a_recording_is_told(tmp_path, kind):
    (tmp_path / "a.wav").write_bytes(ODD_RECORDINGS[kind])
    samples, rate = tried("recordings", audio.channels, tmp_path / "a.wav")
    assert kind in {name for name, _ in audio.oddities(samples, rate)}


# Folders of recordings, and the sheets beside them, of which `ser init` makes a corpus.

NAMES = [f"{who}_{word}_{take}.wav" for who in ("s1", "s2", "s3") for word in ("sad", "happy") for take in "12"]
FOLDERS = {
    "nothing": ([], None, None),
    "no recordings": (["a.txt", "b.mp3"], None, None),
    "no emotions": ([f"a{i}.wav" for i in range(6)], None, None),
    "one emotion": ([f"s{i}_sad.wav" for i in range(6)], None, None),
    "numbers": ([f"{i:04}.wav" for i in range(6)], None, None),
    "hidden only": ([f"._{name}" for name in NAMES], None, None),
    "a sheet of others": ([f"{i:04}.wav" for i in range(6)], "file,emotion\nx.wav,sad\ny.wav,happy\n", None),
    "a sheet without emotions": (
        [f"{i}.wav" for i in range(4)],
        "file,age\n0.wav,3\n1.wav,4\n2.wav,3\n3.wav,9\n",
        None,
    ),
    "a field that is none": (NAMES, None, {"speaker": "part 9"}),
    "an emotion by no words": (NAMES, None, {"emotion": "part 7"}),
    "a word that is none": (NAMES, None, {"word": "gloomy=sad"}),
}


@each(FOLDERS)
def test_a_folder_that_says_nothing_is_refused(ser, tmp_path, given):
    names, sheet, options = given
    place = tmp_path / "r"
    place.mkdir()
    for name in names:
        (place / name).write_bytes(WAV)
    if sheet:
        (place / "list.csv").write_text(sheet, encoding="utf-8")
    words = [word for name, value in (options or {}).items() for word in (f"--{name}", value)]
    assert not told("folders", ser("init", tmp_path / "lab", place, *words))
    assert not (tmp_path / "lab").exists()


def sheet(heads, *rows):
    """Return a sheet in which the rows are repeated over the recordings."""
    return "\n".join([f"file,{heads}", *(f"{name},{rows[i % len(rows)]}" for i, name in enumerate(NAMES)), ""])


WHOLE = sheet("emotion", "sad", "happy")
SHEETS = {
    "recordings are not in": WHOLE[: WHOLE.index("s3_")],
    "no recording here": WHOLE + "x.wav,sad\n",
    "a recording again": WHOLE + f"{NAMES[0]},sad\n",
    "several columns": sheet("emotion,label", "sad,happy"),
    "neither female nor male": sheet("emotion,gender", *["sad,f"] * 11, "happy,?"),
    "for one emotion": sheet("emotion", "sad", "traurig", "wut"),
    "have no emotion": sheet("emotion", "sad", "happy", ""),
    "for one word": sheet("emotion", "sad", "Sad", "joy"),
    "no word for an emotion": sheet("emotion", "sad", "joy", "qux"),
}


@pytest.mark.parametrize("kind", SHEETS)
def test_what_is_odd_in_a_sheet_is_told(tmp_path, kind):
    for name in NAMES:
        (tmp_path / name).write_bytes(WAV)
    (tmp_path / "list.csv").write_text(SHEETS[kind], encoding="utf-8")
    found = tried("folders", guessing.guess, tmp_path)
    assert any(kind in note for note in found.notes), found.notes


# YAML: experiments and cards. Each changes one field of what is valid.

EXPERIMENT = {"name": "x", "question": "Why?", "corpora": ["emodb"], "protocols": ["speaker"], "features": ["egemaps"]}
EXPERIMENT |= {"models": ["logreg"]}
NETWORK = {name: EXPERIMENT[name] for name in ("name", "question", "corpora", "protocols")}
FUSION = {"members": ["nus/a"], "rule": "mean", "average": False}
WRONG = {
    "corpora": (None, [], "emodb", ["atlantis"], ["emodb"] * 2, [["emodb"]], [{}], [1], ["a.csv"], ["emodb+"], ["+"])
    + (["emodb+emodb"], ["../x"], ["/etc/passwd"], ["emodb+atlantis"], [""]),
    "protocols": (None, [], ["atlantis"], ["speaker"] * 2, [["speaker"]], ["corpus"], ["khan"]),
    "features": (None, [], ["atlantis"], ["levels"] * 2, [["levels"]], [None], ["../levels"]),
    "models": (None, [], ["atlantis"], ["logreg"] * 2, [{}], [0], ["logreg "]),
    "normalisations": (["atlantis"], [["train"]], ["train"] * 2, 5, []),
    "labels": ("atlantis", [], {}, ["native"], 4),
    "folds": (0, 1, -3, 1.5, "five", [], {"emodb": {}}, [5], True, 10**9, "2 of 1", "9 of 6"),
    "seeds": ([], [-1], [0.5], ["x"], [2**32], [2**70], [0, 0], [None], "0", {}),
    "train_clips": (0, -1, 1.5, "all", [], True),
    "question": (None, "", [], 5, float("nan")),
    "name": ("y", "", None, "../x", 5),
    "tune": ("yes", 1, []),
    "recipe": ({"bogus": 1}, 5, "x", [], {"epochs": 5}),
    **{name: (1,) for name in ("bogus", "", "Corpora", 5, None)},
}
WRONG_NETWORKS = {
    "networks": (None, {}, [], "a", {"a": 5}, {"a": []}, {1: {}}, {"": {}}, {"a/b": {}}, {"..": {}}),
    "fusions": (None, {}, [], {"a": 5}, {"a": {}}, {"../a": FUSION}, {"a": FUSION | {"bogus": 1}}),
}
WRONG_SETTINGS = {
    "encoder": (None, [], 5),
    "epochs": (0, -1, "many", 1.5, None, []),
    "learning_rate": (0, -1, "small", float("nan"), float("inf")),
    "batch_size": (0, -8, 1.5, "x"),
    "dropout": (-0.1, 1.5, "x"),
    "pooling": ("atlantis", 5, []),
    "precision": ("fp7", 16),
    "schedule": ("atlantis", []),
    "warmup": (-1, 2, "x"),
    "freeze": (-1, "most"),
    "patience": (-1, "x"),
    "bogus": (1,),
    7: (1,),
}
WRONG_MEMBERS = {
    "members": (None, [], "nus/a", ["../x/y"], ["nus/a"] * 2),
    "rule": (None, "atlantis", []),
}


def one_each(wrong):
    return [{name: value} for name, values in wrong.items() for value in values]


EXPERIMENTS = [
    *(EXPERIMENT | one for one in one_each(WRONG)),
    *(NETWORK | one for one in one_each(WRONG_NETWORKS)),
    *(NETWORK | {"networks": {"a": {"encoder": "cnn1d-librosa94"} | one}} for one in one_each(WRONG_SETTINGS)),
    *(NETWORK | {"fusions": {"a": FUSION | one}} for one in one_each(WRONG_MEMBERS)),
]


@pytest.mark.parametrize("given", EXPERIMENTS, ids=str)
def test_an_experiment_with_a_wrong_field_is_refused(tmp_path, given):
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(given, allow_unicode=True), encoding="utf-8")
    assert tried("experiments", configuration.load, tmp_path / "x.yaml") is None


CARDS = table(
    r"""
    nothing            |
    no header          | # URDU\nSome text.
    an open header     | ---\ntitle: URDU\n
    a list             | ---\n- a\n---\n
    a word             | ---\nhello\n---\n
    no fields          | ---\n{}\n---\n
    a key twice        | ---\ntitle: a\ntitle: b\n---\n
    a Python object    | ---\ntitle: !!python/object/apply:os.system [echo]\n---\n
    tabs               | ---\ntitle:\n\t- a\n---\n
    an alias in itself | ---\ntitle: &a [*a]\n---\n
    only a title       | ---\ntitle: URDU\n---\n
    """
)


@each(CARDS)
def test_a_card_that_is_none_is_refused(tmp_path, monkeypatch, given):
    (tmp_path / "urdu.md").write_text(given, encoding="utf-8")
    monkeypatch.setattr(cards.card, "path", lambda name: tmp_path / "urdu.md")
    assert tried("cards", cards.load, "urdu") is None


# Vectors in .mat files, and archives.


def mat(**content):
    stream = io.BytesIO()
    savemat(stream, content)
    return stream.getvalue()


MATS = {
    "nothing": b"",
    "text": b"hello",
    "zeros": bytes(500),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(500),
    "half": mat(x=np.arange(60.0))[:300],
    "a word": mat(x="hello"),
    "cells": mat(x=np.array([["a", 1]], dtype=object)),
    "a struct": mat(x={"a": 1}),
    "no values": mat(x=np.zeros((0, 5))),
    "not a number": mat(x=np.array([1, np.nan])),
    "infinite": mat(x=np.array([1, np.inf])),
    "complex": mat(x=np.array([1 + 2j, 3])),
    "another length": mat(x=np.arange(59.0)),
}


@each(MATS)
def test_a_mat_file_without_a_vector_is_refused(tmp_path, given):
    place = tmp_path / "Feats - Urdu" / f"{urdu_sindhi.SETS[0]} funcs" / "Matfiles"
    place.mkdir(parents=True)
    for i in range(2):
        (place / f"Angry_000{i}.mat").write_bytes(mat(x=np.arange(60.0) + i))
    (place / "Sad_0001.mat").write_bytes(given)
    assert tried(".mat files", urdu_sindhi.read, tmp_path, "Urdu", urdu_sindhi.SETS[0]) is None


def archive(*members, mode=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", mode) as zipped:
        for name, content in members:
            zipped.writestr(name, content)
    return stream.getvalue()


def flagged(content, at, value):
    """Set a field in the local head and in the directory of an archive of one member."""
    directory = content.index(b"PK\x01\x02")
    return patched(patched(content, at, value), directory + at + 2, value)


ZIP = archive(("a.wav", WAV))
ARCHIVES = {
    "nothing": b"",
    "text": b"hello",
    "no members": archive(),
    "folders only": archive(("a/", b"")),
    "half": ZIP[: len(ZIP) // 2],
    "without its directory": ZIP[: ZIP.index(b"PK\x01\x02")],
    "encrypted": flagged(ZIP, 6, b"\x01\x00"),
    "method 97": flagged(ZIP, 8, b"\x61\x00"),
    "deflate64": flagged(ZIP, 8, b"\x09\x00"),
    "another checksum": flagged(ZIP, 14, b"\x01\x02\x03\x04"),
    "a damaged stream": patched(ZIP, 45, b"\xff" * 30),
    "up": archive(("../x", b"a")),
    "up within": archive(("a/../../x", b"a")),
    "from the root": archive(("/x", b"a")),
    "a drive": archive(("C:\\x", b"a")),
    "a drive's own": archive(("C:x", b"a")),
    "up, backslashes": archive(("..\\x", b"a")),
    "a share": archive(("\\\\host\\x", b"a")),
    "a dot": archive((".", b"a")),
    "a file twice": archive(("a", b"1"), ("b", b"2"), ("./a", b"3")),
    "a bomb": archive(("a", bytes(300_000_000))),
    "a gzip": zlib.compress(b"hello"),
}


@each(ARCHIVES)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_is_not_whole_and_plain_is_refused(tmp_path, given):
    (tmp_path / "a.zip").write_bytes(given)
    assert tried("archives", fetch.unpack, tmp_path / "a.zip", tmp_path / "in") is None
    assert not list(tmp_path.rglob("in/*"))


# Folds of one's own.

CLIPS = synthetic.clips(speakers=4, sentences=1)
ONE, TWO = CLIPS.index[:2]
FOLDS = {
    "nothing": "",
    "only a header": "clip,fold,role\n",
    "no clip": "fold,role\n0,train\n",
    "no role": f"clip,fold\n{ONE},0\n",
    "another role": f"clip,fold,role\n{ONE},0,val\n",
    "a role of case": f"clip,fold,role\n{ONE},0,Train\n",
    "a clip of nobody": f"clip,fold,role\n{ONE},0,train\nnobody,0,test\n",
    "no train part": f"clip,fold,role\n{ONE},0,test\n",
    "no test part": f"clip,fold,role\n{ONE},0,train\n",
    "trained and tested": f"clip,fold,role\n{ONE},0,train\n{ONE},0,test\n",
    "twice": f"clip,fold,role\n{ONE},0,train\n{TWO},0,test\n{TWO},0,test\n",
    "a fold of text": f"clip,fold,role\n{ONE},x,train\n{TWO},x,test\n",
    "half a fold": f"clip,fold,role\n{ONE},0.5,train\n{TWO},0.5,test\n",
    "a fold too large": f"clip,fold,role\n{ONE},1e30,train\n{TWO},1e30,test\n",
    "an infinite fold": f"clip,fold,role\n{ONE},inf,train\n{TWO},inf,test\n",
    "an empty fold": f"clip,fold,role\n{ONE},,train\n{TWO},0,test\n",
    "an empty role": f"clip,fold,role\n{ONE},0,\n{TWO},0,test\n",
    "a cell more": f"clip,fold,role\n{ONE},0,train,x\n",
}


@each(FOLDS)
def test_folds_that_divide_nothing_are_refused(tmp_path, given):
    (tmp_path / "f.csv").write_text(given, encoding="utf-8")
    assert tried("folds", splits.read, tmp_path / "f.csv", CLIPS) is None
