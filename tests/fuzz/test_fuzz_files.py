"""Recordings, archives, stores, cards, experiments and vectors of anybody, whole, cut, bent or made up."""

import io
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from hypothesis import given
from hypothesis import strategies as st
from outcomes import tried
from scipy.io import savemat

from ser_core import files
from ser_core.data import audio, cards, corpora
from ser_core.data.corpora import fetch, urdu_sindhi
from ser_core.experiments import configuration, specs
from ser_core.files import yamlfile

RATE = 8_000
TONE = (0.4 * np.sin(np.arange(2_000) / 4) * np.hanning(2_000)).astype("float32")


def recording(kind, **how):
    stream = io.BytesIO()
    soundfile.write(stream, TONE, RATE, format=kind, **how)
    return stream.getvalue()


SOUNDS = [recording("WAV"), recording("WAV", subtype="FLOAT"), recording("FLAC"), recording("OGG"), recording("AIFF")]


def bent(draw, whole):
    """Damage of the kinds that disks, networks and editors do: cut, overwritten, filled in, taken out."""
    at = draw(st.integers(0, len(whole)))
    how = draw(st.sampled_from(["cut", "put", "flip", "drop", "zero"]))
    if how == "cut":
        return whole[:at]
    if how == "put":
        return whole[:at] + draw(st.binary(min_size=1, max_size=8)) + whole[at:]
    n = draw(st.integers(1, 64))
    middle = {"flip": bytes(255 - byte for byte in whole[at : at + n]), "drop": b"", "zero": bytes(n)}[how]
    return whole[:at] + middle + whole[at + n :]


@given(data=st.data(), whole=st.sampled_from(SOUNDS))
def test_a_recording_is_finite_on_scale_and_whole(tmp_path, data, whole):
    path = tmp_path / "a.wav"
    path.write_bytes(bent(data.draw, whole))
    found = tried("recordings", audio.read, path)
    if found is not None:
        samples, rate = found
        assert rate > 0 and len(samples) and np.isfinite(samples).all() and np.abs(samples).max() <= audio.FULL_SCALE
        audio.levels(samples, rate), audio.oddities(samples[:, None], rate), audio.trim_silence(samples, rate)


@given(kept=st.integers(0, len(SOUNDS[0]) - 1), whole=st.sampled_from(SOUNDS[:2]))
def test_half_a_wav_is_never_a_whole_one(tmp_path, kept, whole):
    path = tmp_path / "a.wav"
    path.write_bytes(whole[: kept * len(whole) // len(SOUNDS[0])])
    found = tried("recordings", audio.read, path)
    assert found is None or len(found[0]) >= len(TONE) - 1


NUMBERS = st.one_of(st.floats(width=32), st.sampled_from([0.0, 1e30, -1e30, float("nan"), float("inf"), 32767.0]))


@given(values=st.lists(NUMBERS, min_size=1, max_size=40), n_channels=st.integers(1, 3), rate=st.sampled_from([1, 8000]))
def test_any_samples_give_levels_or_a_refusal(tmp_path, values, n_channels, rate):
    path = tmp_path / "a.wav"
    table = np.resize(np.asarray(values, "float32"), (len(values), n_channels))
    soundfile.write(path, table, rate, subtype="FLOAT")
    found = tried("recordings", audio.read, path)
    if found is not None:
        assert all(np.isfinite(list(audio.levels(*found).values())))


names = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["../x", "/x", "a/../../x", "..\\x", "C:\\x", "C:x", "a//b", ".", "./a", "a\x00b", "a/", "-", "\u202e"]
    ),
)


@given(
    members=st.lists(st.tuples(names, st.binary(max_size=30)), max_size=4), link=st.booleans(), strip=st.integers(0, 1)
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_never_leaves_its_folder(tmp_path, members, link, strip):
    inside = tmp_path / "in" / "side"
    inside.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        for name, content in members:
            entry = zipfile.ZipInfo(name or "x")
            if link:
                entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            zipped.writestr(entry, content)
    before = {path for path in tmp_path.rglob("*") if inside not in path.parents}
    written = tried("archives", fetch.unpack, tmp_path / "a.zip", inside, strip=strip)
    assert {path for path in tmp_path.rglob("*") if inside not in path.parents} == before
    assert not any(path.is_symlink() for path in inside.rglob("*"))
    assert written is None or all(path.resolve().is_relative_to(inside.resolve()) for path in written)


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.wav", SOUNDS[0])
    return stream.getvalue()


@given(data=st.data())
def test_a_bent_archive_gives_what_was_in_it_or_nothing(tmp_path, data):
    (tmp_path / "a.zip").write_bytes(bent(data.draw, zipped()))
    written = tried("archives", fetch.unpack, tmp_path / "a.zip", tmp_path / "to")
    assert written is None or [path.read_bytes() for path in written] in ([SOUNDS[0]], [b""])


@given(data=st.data())
def test_a_bent_store_is_a_table_of_its_shape_or_refused(tmp_path, data):
    path = tmp_path / "a.parquet"
    files.write_parquet(pd.DataFrame({"clip": list("abcd"), "x": np.arange(4.0)}), path, {"a": 1})
    path.write_bytes(bent(data.draw, path.read_bytes()))
    for call in (lambda: files.read_parquet(path, index="clip"), lambda: files.read_metadata(path)):
        found = tried("stores", call)
        assert found is None or isinstance(found, dict | pd.DataFrame)


VECTOR = io.BytesIO()
savemat(VECTOR, {"x": np.arange(60.0)}, do_compression=True)


@given(data=st.data())
def test_a_bent_vector_is_finite_or_refused(tmp_path, data):
    place = tmp_path / "Feats - Urdu" / f"{urdu_sindhi.SETS[0]} funcs" / "Matfiles"
    place.mkdir(parents=True, exist_ok=True)
    (place / "Angry_0001.mat").write_bytes(bent(data.draw, VECTOR.getvalue()))
    found = tried(".mat files", urdu_sindhi.read, tmp_path, "Urdu", urdu_sindhi.SETS[0])
    assert found is None or np.isfinite(found[0].to_numpy()).all()


# YAML: experiments and cards

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**70),
    st.floats(),
    st.dates(),
    st.text(max_size=8),
    st.sampled_from(["emodb", "speaker", "clip", "egemaps", "logreg", "train", "loo", "match", "native", "../x"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.text(max_size=5), st.integers()), inner, max_size=3)
    ),
    max_leaves=6,
)
VALID = {"name": "x", "question": "Why?", "corpora": ["emodb"], "protocols": ["speaker"], "features": ["egemaps"]}
VALID |= {"models": ["logreg"]}


@given(changed=st.dictionaries(st.sampled_from(sorted(configuration.FIELDS)), values, min_size=1, max_size=2))
def test_an_experiment_is_sound_or_refused(tmp_path, changed):
    path = tmp_path / "x.yaml"
    changed.pop("name", None)
    path.write_text(yaml.safe_dump(VALID | changed, allow_unicode=True), encoding="utf-8")
    found = tried("experiments", configuration.load, path)
    if found is not None:
        assert isinstance(found.question, str) and found.systems
        for system in found.systems:
            assert os.sep not in system.folder and ".." != system.folder and specs.read(vars(system)) == system


@given(text=st.one_of(st.text(max_size=60), st.binary(max_size=60)))
def test_any_text_is_yaml_or_refused(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    for call in (yamlfile.read, configuration.load):
        tried("YAML", call, path)


ODD_YAML = {
    "nested lists": "[" * 5_000 + "]" * 5_000,
    "nested mappings": "{a: " * 3_000 + "}" * 3_000,
    "billion laughs": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{n}: &{n} [{', '.join([f'*{m}'] * 9)}]\n" for m, n in zip("abcdefgh", "bcdefghi", strict=True)),
    "an alias within itself": "&a [*a]",
    "a key twice": "a: 1\nb: 2\na: 3",
    "a Python object": "!!python/object/apply:os.system [echo]",
    "two documents": "a: 1\n---\nb: 2",
    "tabs": "a:\n\t- b",
    "a list as a key": "? [a]\n: b",
    "utf-16": "a: 1".encode("utf-16"),
    "nothing": "",
    "a null byte": "a: \x00",
    "a long number": "a: " + "9" * 5_000,
    "a date that is none": "a: 2024-13-45",
    "base 60": "a: 1:99",
}


@pytest.mark.parametrize("text", ODD_YAML.values(), ids=ODD_YAML)
def test_odd_yaml_is_read_or_refused(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    tried("YAML", yamlfile.read, path)
    assert tried("YAML", configuration.load, path) is None


CARD = cards.path("urdu").read_text(encoding="utf-8")


@given(part=st.sampled_from(["declared", "measured", "title", "citation"]), value=values)
def test_a_card_of_other_types_is_refused_where_it_is_read(tmp_path_factory, part, value):
    folder = tmp_path_factory.mktemp("cards")
    (folder / "urdu.md").write_text("", encoding="utf-8")
    _, header, prose = CARD.split("---\n", 2)
    changed = yaml.safe_dump(yaml.safe_load(header) | {part: value}, allow_unicode=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards.card, "path", lambda name: folder / "urdu.md")
        (folder / "urdu.md").write_text(f"---\n{changed}---\n{prose}", encoding="utf-8")
        card = tried("cards", cards.load, "urdu")
        assert card is None or isinstance(card.header["measured"], dict)


@given(data=st.data())
def test_a_bent_card_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cards") / "urdu.md"
    path.write_bytes(bent(data.draw, CARD.encode()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards.card, "path", lambda name: path)
        tried("cards", cards.load, "urdu")


# Folders

parts = st.sampled_from(["Actor_01", "Actor_02", ".Trash", "a b", "\u0627\u062f\u0627\u0633", "__MACOSX"])
leaves = st.sampled_from(
    [
        "03-01-01-01-01-01-01.wav",
        "03-01-05-02-02-02-02.WAV",
        "._03-01-01-01-01-01-01.wav",
        "x.mp3",
        "x (1).wav",
        "empty.wav",
    ]
)


@given(tree=st.lists(st.tuples(parts, leaves, st.sampled_from(["file", "link", "dangling", "folder"])), max_size=6))
def test_every_recording_of_a_folder_is_a_clip_or_a_problem(tmp_path_factory, tree):
    folder = tmp_path_factory.mktemp("ravdess")
    outside = folder.parent / f"{folder.name}.wav"
    outside.write_bytes(SOUNDS[0])
    for part, leaf, kind in tree:
        path = folder / part / leaf
        path.parent.mkdir(exist_ok=True)
        if path.exists() or path.is_symlink():
            continue
        if kind == "file":
            path.write_bytes(b"" if "empty" in leaf else SOUNDS[0])
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(outside if kind == "link" else folder / "nowhere")
    reading = tried("folders", corpora.read, "ravdess", folder)
    if reading is not None:
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
        assert there <= {*reading.clips["path"], *reading.problems["path"]}


def test_the_counts_say_that_nothing_was_wrong():
    table = pd.read_csv(Path(__file__).with_name("counts.csv"))
    assert (table["wrong"] == 0).all() and (table["refused"] + table["accepted"] == table["inputs"]).all()
    assert table["refused"].sum() >= 500 and len(table) >= 10
