"""MELD: three tables of utterances of a television series, with speaker, dialogue, emotion and official parts."""

from pathlib import Path

import pandas as pd

from ser_core.data import clips
from ser_core.data.corpora.base import Corpus, Download, Reading, how_to, problems_table, read_csv
from ser_core.data.corpora.recordings import named
from ser_core.errors import SerError

_RAW = "https://raw.githubusercontent.com/declare-lab/MELD"
_FILES = {
    "train": (
        "ca3e1266db4cc4a4e802156e2f721c4cd114a696",
        1_119_290,
        "d2fa2d6529cf03cac2989efec05c9b27d8fd2f4c8fc5974c7ae88aa537fa02db",
    ),
    "dev": (
        "ca3e1266db4cc4a4e802156e2f721c4cd114a696",
        121_640,
        "2e89c6f8aa182d6f62f8c6331aece905ac7273ca4999660bfb5213e1d0370c1c",
    ),
    "test": (
        "76e4ed20032322e47bbe04d3b5179f9b2e35bec9",
        294_526,
        "8d37103938f7067600839fe29d5a114a6cd1bcdafb75bec101e06464c5006888",
    ),
}
"""Part -> commit, bytes and sha256 of the table used here; later commits correct single rows."""

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")

INFO = Corpus(
    name="meld",
    title="Multimodal EmotionLines Dataset (MELD), text and labels",
    short="MELD",
    emotions=EMOTIONS,
    language="en",
    licence="GPL-3.0 repository; the dialogue belongs to the television series' owners and is not redistributed here",
    licence_url="https://github.com/declare-lab/MELD/blob/master/LICENSE",
    citation="poria2019meld",
    homepage="https://github.com/declare-lab/MELD",
    access="public",
    downloads=tuple(
        Download(
            url=f"{_RAW}/{commit}/data/MELD/{part}_sent_emo.csv",
            filename=f"{part}_sent_emo.csv",
            size=size,
            sha256=sha256,
        )
        for part, (commit, size, sha256) in _FILES.items()
    ),
    how_to_get="Take data/MELD/{train,dev,test}_sent_emo.csv from https://github.com/declare-lab/MELD.",
    redistribute_features=False,
    has_audio=False,
    declared={
        "clips": 13708,
        "clips_by_split": {"train": 9989, "dev": 1109, "test": 2610},
        "emotions": 7,
        "sessions": 1432,
    },
)

SPLITS = ("train", "dev", "test")
_LONGEST_S = 30.0
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime")


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``{train,dev,test}_sent_emo.csv``.

    Args:
        folder: Where the three tables are, nested or not.
        progress: Not used; there is no audio to decode.

    Returns:
        Clips with speaker (the named character), session (the dialogue) and the official split; problems are
        ``unknown emotion`` (left out), ``missing speaker`` (kept), ``listed twice`` (the first row is kept),
        ``duplicate recording`` (two ids for the same line, episode and time; both are kept) and ``bad time`` (an
        end that is not after the start, so that the duration is missing, or more than 30 s after it).

    Raises:
        SerError: If a table is missing, cannot be read, or lacks a column.
    """
    folder = Path(folder)
    tables, found = [], []
    for split in SPLITS:
        name = f"{split}_sent_emo.csv"
        path = next(iter(named(folder, name)), None)
        if path is None:
            raise SerError(f"{folder}: no {name} of {INFO.title}; {how_to(INFO)}")
        table = read_csv(path, _COLUMNS)
        table["split"] = split
        table["path"] = path.relative_to(folder).as_posix()
        tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    dialogue = "meld/" + table["split"] + "_dia" + table["Dialogue_ID"]
    table["clip"] = dialogue + "_utt" + table["Utterance_ID"]
    seconds = _seconds(table["EndTime"]) - _seconds(table["StartTime"])

    def report(rows: pd.Series, problem: str, detail: pd.Series) -> None:
        found.extend(
            (path, problem, f"{clip}: {text}")
            for path, clip, text in zip(table["path"][rows], table["clip"][rows], detail[rows], strict=True)
        )

    emotion = table["Emotion"].str.strip().str.lower()
    unknown = ~emotion.isin(EMOTIONS)
    report(unknown, "unknown emotion", table["Emotion"].astype("str") + f" is none of {', '.join(EMOTIONS)}, left out")
    speaker = table["Speaker"].str.strip()
    report(speaker.isna() | (speaker == ""), "missing speaker", table["Utterance_ID"].map(lambda _: "left missing"))
    twice = table["clip"].duplicated()
    report(twice, "listed twice", table["clip"].map(lambda _: "the first row is kept"))
    bad_time = ~(seconds > 0) | (seconds > _LONGEST_S)
    report(bad_time, "bad time", table["StartTime"].astype("str") + " to " + table["EndTime"].astype("str"))
    same_line = ["Utterance", "Season", "Episode", "StartTime", "EndTime"]
    if set(same_line) <= set(table):
        first = table.groupby(same_line, dropna=False)["clip"].transform("first")
        report((first != table["clip"]) & ~twice, "duplicate recording", "same line, episode and time as " + first)

    result = pd.DataFrame(
        {
            "clip": table["clip"],
            "corpus": "meld",
            "language": INFO.language,
            "speaker": ("meld/" + speaker).where(speaker.notna() & (speaker != "")),
            "emotion": emotion,
            "transcript": table["Utterance"],
            "session": dialogue,
            "split": table["split"],
            "duration_s": seconds.where(seconds > 0),
        }
    )
    return Reading(clips.validate(result[~unknown & ~twice].set_index("clip")), problems_table(found))


def _seconds(times: pd.Series) -> pd.Series:
    """Return '00:16:16,059' as seconds."""
    return pd.to_timedelta(times.str.replace(",", ".", regex=False), errors="coerce").dt.total_seconds()
