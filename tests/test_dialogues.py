import pandas as pd
import pytest

from ser_core import files
from ser_core.data import corpora, transcripts
from ser_core.data.transcripts import COLUMNS, dialogue_inputs, meld_texts
from ser_core.errors import SerError

ROWS = {
    # Not in the order of speaking, and two dialogues in turns.
    "b2": ("b", 2, "Ann", "Two."),
    "a1": ("a", 1, "Ben", "One."),
    "b0": ("b", 0, "Cy", "Zero."),
    "a0": ("a", 0, "Ann", "Zero"),
    "b1": ("b", 1, None, "One."),
    # Turn 3 of b is not there; 5 has no words.
    "b4": ("b", 4, "Cy", "Four."),
    "b5": ("b", 5, "Ann", None),
    "b6": ("b", 6, "Ann", " Six. "),
}


def table(rows=ROWS):
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))


def test_a_clip_comes_after_the_turns_before_it():
    found = dialogue_inputs(table(), 2)
    assert list(found) == list(ROWS)
    assert found == {
        "a0": ("Ann: Zero",),
        "a1": ("Ann: Zero", "Ben: One."),
        "b0": ("Cy: Zero.",),
        "b1": ("Cy: Zero.", "One."),
        "b2": ("Cy: Zero.", "One.", "Ann: Two."),
        "b4": ("Ann: Two.", "Cy: Four."),
        "b5": ("Cy: Four.", ""),
        "b6": ("Cy: Four.", "Ann: Six."),
    }


def test_the_target_may_go_without_its_speaker():
    found = dialogue_inputs(table(), 1, name_target=False)
    assert found["a1"] == ("Ann: Zero", "One.") and found["b6"] == ("Six.",) and found["b5"] == ("Cy: Four.", "")


def test_without_context_there_is_the_clip_alone():
    assert dialogue_inputs(table(), 0)["b2"] == ("Ann: Two.",)
    assert all(len(turns) == 1 for turns in dialogue_inputs(table(), 0).values())


def test_dropping_a_row_changes_other_clips_by_its_absence_only():
    whole = dialogue_inputs(table(), 2)
    found = dialogue_inputs(table().drop(index="b1"), 2)
    assert found == {
        k: tuple(t for t in turns if t != "One.") if k[0] == "b" else turns for k, turns in whole.items() if k != "b1"
    }


@pytest.mark.parametrize(
    ("change", "context", "line"),
    [
        (lambda t: t.drop(columns=["turn", "text"]), 1, "lacks the columns ['turn', 'text']; it has"),
        (lambda t: t, -1, "whole number of turns from 0, not -1"),
        (lambda t: t, 1.0, "whole number of turns from 0, not 1.0"),
        (lambda t: t.assign(turn=t["turn"] + 0.5), 1, "b2: its dialogue is b, its turn 2.5; expected"),
        (lambda t: t.assign(turn="x"), 1, "b2: its dialogue is b, its turn x; expected"),
        (lambda t: t.assign(dialogue=None), 1, "b2: its dialogue is None, its turn 2; expected"),
        (lambda t: pd.concat([t, t[:1]]), 1, "the clip b2 stands twice"),
        (lambda t: t.assign(turn=1), 1, "stands twice"),
    ],
)
def test_a_table_that_says_no_order_is_refused(change, context, line):
    with pytest.raises(SerError) as found:
        dialogue_inputs(change(table()), context)
    assert line in str(found.value) and "\n" not in str(found.value)


def test_melds_tables_are_read_as_dialogues(tmp_path):
    header = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID,StartTime,EndTime\n"
    times = '"00:00:01,000","00:00:02,000"\n'
    for part in ("train", "dev", "test"):
        rows = [f'"Well, {part}.",Ann,joy,3,0,', "Oh,Ben,anger,3,1,", "So?,Ann,neutral,12,10,"]
        (tmp_path / f"{part}_sent_emo.csv").write_text(header + "".join(row + times for row in rows))
    found = meld_texts(tmp_path)
    assert tuple(found) == COLUMNS and len(found) == 9
    assert found.loc["meld/dev_dia3_utt0"].tolist() == ["meld/dev_dia3", 0, "Ann", "Well, dev."]
    assert found.loc["meld/test_dia12_utt10", "turn"] == 10
    inputs = dialogue_inputs(found, 3)
    assert inputs["meld/train_dia3_utt1"] == ("Ann: Well, train.", "Ben: Oh")
    with pytest.raises(SerError, match=r"no dev_sent_emo\.csv"):
        (tmp_path / "dev_sent_emo.csv").unlink()
        meld_texts(tmp_path)


@pytest.mark.needs_data
def test_melds_own_dialogues_are_the_committed_clips():
    found = meld_texts()
    assert found.index.tolist() == corpora.table("meld").index.tolist()
    assert found.notna().all(axis=None)
    inputs = dialogue_inputs(found, 2)
    assert max(map(len, inputs.values())) == 3


def test_the_texts_of_a_union_are_those_of_its_corpora():
    assert transcripts.texts("emodb+ravdess") == transcripts.texts("emodb") | transcripts.texts("ravdess")
    assert transcripts.refusal("emodb+urdu") == transcripts.refusal("urdu")
    assert "no dialogues" in transcripts.refusal("emodb+ravdess", 2)


def test_what_whisper_heard_stands_in_the_place_of_the_script():
    own, heard = (transcripts.texts("ravdess", words=words) for words in ("own", "heard"))
    assert own.keys() == heard.keys()
    kept = transcripts.heard("ravdess")
    assert all(turns == (kept.loc[clip, "transcript"],) for clip, turns in heard.items())
    # 1.4 % of the words are wrong, so most clips say the same but for the full stop behind.
    same = sum(own[clip][0].lower() == heard[clip][0].lower().rstrip(".!?") for clip in own)
    assert 0.9 * len(own) < same < len(own)
    assert "urdu: of what was heard in it, the words are not kept" in transcripts.refusal("ravdess+urdu", words="heard")
    assert "nothing is kept of what whisper-base hears" in transcripts.refusal("meld+ravdess", words="heard")


def test_of_a_part_of_a_corpus_the_rest_of_what_was_heard_is_not_read(monkeypatch, tmp_path):
    whole = corpora.table("emodb")
    kept = transcripts.heard("emodb")
    kept.loc[whole.index[0], "transcript"] = None
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    files.write_parquet(whole[:9].assign(transcript=pd.NA), corpora.table_path("emodb"), {})
    files.write_parquet(kept, transcripts.heard_path("emodb", "whisper-base"), {})
    transcripts.texts.cache_clear()
    try:
        assert "no clip of 'emodb' has a transcript" in transcripts.refusal("emodb")
        found = transcripts.texts("emodb", words="heard")
        assert list(found) == whole.index[:9].tolist()
        assert found[whole.index[0]] == ("",) and found[whole.index[1]] == (kept.loc[whole.index[1], "transcript"],)
        assert "no turns before them" in transcripts.refusal("emodb", 1, "heard")
    finally:
        transcripts.texts.cache_clear()
