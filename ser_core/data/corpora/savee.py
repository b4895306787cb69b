"""SAVEE: four speakers' folders, emotion letters and a sentence number in a file name."""

import re
from pathlib import Path, PurePosixPath

from ser_core.data.corpora.base import BadNameError, Corpus, Reading, code
from ser_core.data.corpora.recordings import read_recordings

EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}

INFO = Corpus(
    name="savee",
    title="Surrey Audio-Visual Expressed Emotion (SAVEE) database, audio part",
    short="SAVEE",
    emotions=tuple(sorted(EMOTIONS.values())),
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

SPEAKERS = ("DC", "JE", "JK", "KL")
_SPECIFIC = ("anger", "disgust", "fear", "surprise", "sadness", "happiness")
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
        raise BadNameError(f"'{path.stem}' is not emotion letters and a two-digit sentence number, as in sa07")
    speaker, letters, number = match.groups()
    speaker = speaker or path.parent.name
    if speaker not in SPEAKERS:
        raise BadNameError(f"the folder '{speaker}' is none of the speakers {', '.join(SPEAKERS)}")
    emotion = code(EMOTIONS, letters, "emotion")
    if not 1 <= int(number) <= (30 if emotion == "neutral" else 15):
        raise BadNameError(f"sentence {number} of {emotion}; expected 01 to {30 if emotion == 'neutral' else 15}")
    fault = {}
    if path.parent.name in SPEAKERS and path.parent.name != speaker:
        fault = {"fault": f"the folder says {path.parent.name}, the name is kept"}
    return fault | {
        "clip": f"savee/{speaker}_{letters}{number}",
        "speaker": f"savee/{speaker}",
        "gender": "male",
        "emotion": emotion,
        "sentence": sentence(emotion, int(number)),
    }


def sentence(emotion: str, number: int) -> str:
    """Return the id of a sentence.

    Sentences 1 to 3 of every emotion are common to all, 4 and 5 are specific to it, 6 to 15 generic. Neutral has
    these too, and then, as 16 to 18, the common ones again and, as 19 to 30, the specific ones of the other six.
    The authors state that much (30 neutral sentences, among them the common and the specific ones); the order of
    16 to 30 was found by aligning all pairs of recordings of each speaker, and is the same for all four.

    Args:
        emotion: One of `EMOTIONS`.
        number: As in the file name, from 1.

    Returns:
        An id that is equal for equal sentences.

    Examples:
        >>> sentence("fear", 2), sentence("neutral", 17)
        ('savee/common-2', 'savee/common-2')
        >>> sentence("sadness", 5), sentence("neutral", 28), sentence("neutral", 14)
        ('savee/sadness-05', 'savee/sadness-05', 'savee/neutral-14')
    """
    if number > 18:
        emotion, number = _SPECIFIC[(number - 19) // 2], 4 + (number - 19) % 2
    elif number > 15:
        number -= 15
    return f"savee/common-{number}" if number <= 3 else f"savee/{emotion}-{number:02d}"


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``AudioData/{DC,JE,JK,KL}/*.wav`` (see `ser_core.data.corpora.recordings.read_recordings`)."""
    return read_recordings(folder, INFO, parse, progress=progress)
