"""SAVEE: four speakers' folders, emotion letters and a sentence number in a file name."""

import re
from pathlib import Path, PurePosixPath

from ser_core.corpora.base import Corpus, NameError_, Reading, code, read_recordings

INFO = Corpus(
    name="savee",
    title="Surrey Audio-Visual Expressed Emotion (SAVEE) database, audio part",
    language="en-GB",
    licence="research use only, on registration; no redistribution",
    licence_url="http://kahlan.eps.surrey.ac.uk/savee/Register.html",
    citation="haq2010savee",
    homepage="http://kahlan.eps.surrey.ac.uk/savee/",
    access="request",
    how_to_get=(
        "1. Read the terms and register at http://kahlan.eps.surrey.ac.uk/savee/Register.html.\n"
        "2. With the user name and password that you are sent, download AudioData.zip from the Download page.\n"
        "3. Unpack it, so that <folder>/AudioData/DC/a01.wav is there."
    ),
    redistribute_features=False,
    declared={
        "clips": 480,
        "speakers": 4,
        "speakers_by_gender": {"male": 4},
        "emotions": 7,
        "clips_per_speaker": 120,
        "sample_rate": 44100,
    },
)

EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
SPEAKERS = ("DC", "JE", "JK", "KL")
_NAME = re.compile(r"(?:(DC|JE|JK|KL)_)?(sa|su|[a-z])(\d\d)")


def parse(path: PurePosixPath) -> dict:
    """Return the row of a clip from its file name and folder; ``DC_a01`` (Kaggle) and ``DC/a01`` are both read.

    Examples:
        >>> row = parse(PurePosixPath("AudioData/DC/a05.wav"))
        >>> row["clip"], row["speaker"], row["emotion"]
        ('savee/DC_a05', 'savee/DC', 'anger')
    """
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise NameError_(f"'{path.stem}' is not emotion letters and a two-digit sentence number, as in sa07")
    speaker, letters, number = match.groups()
    speaker = speaker or path.parent.name
    if speaker not in SPEAKERS:
        raise NameError_(f"the folder '{speaker}' is none of the speakers {', '.join(SPEAKERS)}")
    emotion = code(EMOTIONS, letters, "emotion")
    if not 1 <= int(number) <= (30 if emotion == "neutral" else 15):
        raise NameError_(f"sentence {number} of {emotion}; expected 01 to {30 if emotion == 'neutral' else 15}")
    return {
        "clip": f"savee/{speaker}_{letters}{number}",
        "speaker": f"savee/{speaker}",
        "gender": "male",
        "emotion": emotion,
        "sentence": sentence(emotion, int(number)),
    }


def sentence(emotion: str, number: int) -> str:
    """Return the id of a sentence: the first three of every emotion are common to all.

    Examples:
        >>> sentence("fear", 2), sentence("sadness", 2), sentence("fear", 14)
        ('savee/common-2', 'savee/common-2', 'savee/fear-14')
    """
    return f"savee/common-{number}" if number <= 3 else f"savee/{emotion}-{number:02d}"


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``AudioData/{DC,JE,JK,KL}/*.wav`` (see `ser_core.corpora.base.read_recordings`)."""
    return read_recordings(folder, INFO, parse, progress=progress)
