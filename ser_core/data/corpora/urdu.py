"""URDU (Latif et al. 2018): gender and speaker, file number, emotion and running number in a file name."""

import re
from pathlib import Path, PurePosixPath

from ser_core.data.corpora.base import BadNameError, Corpus, Download, Reading, code
from ser_core.data.corpora.recordings import read_recordings

EMOTIONS = {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"}

INFO = Corpus(
    name="urdu",
    title="URDU-Dataset",
    short="URDU",
    emotions=tuple(sorted(EMOTIONS.values())),
    language="ur",
    licence="research use only",
    licence_url="https://github.com/siddiquelatif/URDU-Dataset",
    citation="latif2018urdu",
    homepage="https://github.com/siddiquelatif/URDU-Dataset",
    access="public",
    downloads=(
        Download(
            url="https://github.com/siddiquelatif/URDU-Dataset/archive/cab0028b1a1152e5cf25a5771c1ed137428a496e.zip",
            filename="URDU-Dataset.zip",
            unpack=True,
            strip=1,
        ),
    ),
    how_to_get="Clone https://github.com/siddiquelatif/URDU-Dataset; the recordings are in Angry, Happy, Neutral, Sad.",
    redistribute_features=True,
    declared={
        "clips": 400,
        "speakers": 38,
        "speakers_by_gender": {"female": 11, "male": 27},
        "emotions": 4,
        "clips_by_emotion": {"angry": 100, "happy": 100, "neutral": 100, "sad": 100},
    },
)

GENDERS = {"F": "female", "M": "male"}
_NAME = re.compile(r"(S([FM])\d+)_F\d+_([A-Z])\d+")


def parse(path: PurePosixPath) -> dict:
    """Return the row of a clip from its file name and, as a check, its folder.

    Examples:
        >>> row = parse(PurePosixPath("Angry/SM1_F10_A010.wav"))
        >>> row["speaker"], row["gender"], row["emotion"]
        ('urdu/SM1', 'male', 'angry')
    """
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise BadNameError(f"'{path.stem}' is not speaker, file and emotion with number, as in SM1_F10_A010")
    speaker, gender, emotion = match.groups()
    row = {
        "clip": f"urdu/{path.stem}",
        "speaker": f"urdu/{speaker}",
        "gender": GENDERS[gender],
        "emotion": code(EMOTIONS, emotion, "emotion"),
    }
    folder = path.parent.name.lower()
    if folder in EMOTIONS.values() and folder != row["emotion"]:
        row["fault"] = f"the folder says {folder}, the name says {row['emotion']}, which is kept"
    return row


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``{Angry,Happy,Neutral,Sad}/*.wav`` (see `ser_core.data.corpora.recordings.read_recordings`)."""
    return read_recordings(folder, INFO, parse, progress=progress)
