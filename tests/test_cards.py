import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_core import paths
from ser_core.data import cards, corpora
from ser_core.errors import SerError

RATE = 16_000


def sound(seed, seconds=0.5):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * RATE))


def put(folder, name, samples):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)


@pytest.fixture
def urdu(tmp_path, monkeypatch):
    """A small URDU in its own repository; returns the corpus's folder."""
    monkeypatch.setattr(paths, "repository", lambda: tmp_path)
    monkeypatch.setattr(paths, "working", lambda: tmp_path)
    monkeypatch.delenv("SER_RESULTS", raising=False)
    folder = tmp_path / "urdu"
    for i, name in enumerate(
        ["Angry/SM1_F1_A01", "Angry/SM1_F2_A02", "Sad/SM1_F3_S01", "Sad/SF2_F1_S02", "Happy/SM3_F1_H01"]
    ):
        put(folder, f"{name}.wav", sound(i, 0.5 + i / 10))
    put(folder, "Happy/SM3_F2_H02.wav", sound(4, 0.9))
    (folder / "Happy/SM3_F3_H03.wav").write_bytes(b"")
    return folder


def test_measure_against_counts_by_hand(urdu):
    cards.write("urdu", urdu, progress=False)
    measured = cards.load("urdu").header["measured"]
    assert measured.pop("duplicates") == [
        {"kind": "exact", "clips": ["urdu/SM3_F1_H01", "urdu/SM3_F2_H02"], "similarity": 1.0}
    ]
    assert measured == {
        "copy": "WAV, 16 kHz",
        "clips": 6,
        "hours": 0.0,
        "durations": {"min": 0.5, "median": 0.75, "max": 0.9},
        "sample_rates": {16000: 6},
        "channels": {1: 6},
        "speakers": 3,
        "speakers_by_gender": {"female": 1, "male": 2},
        "one_emotion_speakers": 2,
        "emotions": {"angry": 2, "happy": 2, "sad": 2},
        "problems": [
            "Happy/SM3_F2_H02.wav: duplicate recording: clip urdu/SM3_F2_H02 has the same samples as urdu/SM3_F1_H01",
            "Happy/SM3_F3_H03.wav: zero-byte file: clip urdu/SM3_F3_H03 left out",
        ],
        "label_by_speaker": {"SF2": {"sad": 1}, "SM1": {"angry": 2, "sad": 1}, "SM3": {"happy": 2}},
    }


def test_check_passes_and_then_names_every_difference(urdu):
    cards.write("urdu", urdu, progress=False)
    cards.check("urdu", urdu)
    (urdu / "Angry/SM1_F2_A02.wav").unlink()
    put(urdu, "Sad/SF2_F1_S02.wav", sound(50))
    with pytest.raises(SerError) as error:
        cards.check("urdu", urdu)
    for difference in (
        "measured.clips: card 6, files 5",
        "measured.emotions.angry: card 2, files 1",
        "measured.label_by_speaker.SM1.angry: card 2, files 1",
        "table.urdu/SM1_F2_A02: card",
        "table.urdu/SF2_F1_S02.sha256: card",
        "run `ser card urdu --write`",
    ):
        assert difference in str(error.value)
    cards.write("urdu", urdu, progress=False)
    cards.check("urdu", urdu)


def test_check_finds_a_header_edited_by_hand(urdu):
    cards.write("urdu", urdu, progress=False)
    file = cards.path("urdu")
    file.write_text(file.read_text().replace("  speakers: 38", "  speakers: 29"))
    with pytest.raises(SerError, match="in 1 places .* declared.speakers: card 29, ser_core 38"):
        cards.check("urdu", urdu)


def test_write_keeps_the_prose_and_how_the_copy_is_told(urdu):
    file = cards.write("urdu", urdu, progress=False)
    first = file.read_text()
    told = first.replace("copy: WAV, 16 kHz", "copy: a part of it, 16 kHz WAV").replace("What it is,", "Ours ---")
    file.write_text(told)
    cards.write("urdu", urdu, progress=False)
    assert file.read_text() == told
    cards.check("urdu", urdu)


def test_cards_that_cannot_be_read(urdu):
    with pytest.raises(SerError, match="no such card; run `ser card urdu --write`"):
        cards.load("urdu")
    cards.path("urdu").parent.mkdir()
    for text, message in (
        ("Hello", "no YAML header"),
        ("---\na: [\n---\n", r"urdu.md: not valid YAML \(line 3: "),
        ("---\nname: a\nname: b\n---\n", "urdu.md, line 3: the key 'name' stands in line 2 too"),
        ("---\na: 1\n---\n", "lacks"),
    ):
        cards.path("urdu").write_text(text)
        with pytest.raises(SerError, match=message):
            cards.load("urdu")
    with pytest.raises(SerError, match="unknown corpus"):
        cards.path("nothing")


def test_differences_of_lists_and_nested_values():
    assert list(cards.differences({"a": [1, 2], "b": {"c": 1}}, {"a": [2, 3], "b": {}}, "x")) == [
        "x.a: card only: 1",
        "x.a: files only: 3",
        "x.b.c: card 1, files nothing",
    ]
    assert list(cards.differences({"a": [{"k": 1}]}, {"a": [{"k": 1}]}, "")) == []


# The committed cards


@pytest.mark.parametrize("name", corpora.NAMES)
def test_committed_cards_agree_with_the_package_and_the_tables(name):
    card = cards.load(name)
    info, table, measured = corpora.info(name), corpora.table(name), card.header["measured"]
    for key in (*cards.HEADER, "declared"):
        assert card.header[key] == getattr(info, key)
    again = cards.measure(corpora.Reading(table, pd.DataFrame(columns=["path", "problem", "detail"])))
    for key in set(again) - {"copy", "problems"}:
        assert measured[key] == again[key], key
    assert len(card.prose.split("\n\n")) >= 3 and "still to be written" not in card.prose


@pytest.mark.parametrize("name", corpora.NAMES)
def test_render(name):
    text = cards.render(name)
    header = cards.load(name).header
    assert f"{{cite:p}}`{header['citation']}`" in text and header["licence"] in text
    assert f"| clips | {header['declared']['clips']} | " in text
    assert sum(line.startswith("- ") for line in text.splitlines()) == len(header["measured"]["problems"]) + len(
        header["measured"].get("duplicates", [])
    )


def test_declared_versus_measured_shows_the_known_disagreements():
    table = cards.declared_versus_measured()
    assert set(table["corpus"]) == set(corpora.NAMES)
    disagree = table[~table["agrees"].fillna(True)].set_index(["corpus", "fact"])
    assert disagree.loc[("urdu", "speakers"), ["declared", "measured"]].to_list() == ["38", "29"]
    assert disagree.loc[("punjabi_elc", "speakers"), ["declared", "measured"]].to_list() == ["15", "17"]
    assert not {"ravdess", "emodb", "savee", "meld"} & set(disagree.index.get_level_values("corpus"))
    # A re-encoded copy cannot contradict the declared sample rate.
    rate = table[(table["corpus"] == "ravdess") & (table["fact"] == "sample rate in Hz")]
    assert rate["measured"].to_list() == ["16000"] and rate["agrees"].isna().all()
    assert "**29**" in cards.render("urdu")


@pytest.mark.needs_data
@pytest.mark.parametrize("name", ["urdu", "meld", "punjabi_elc"])
def test_committed_cards_agree_with_the_files(name):
    cards.check(name)
