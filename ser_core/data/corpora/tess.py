"""TESS: speaker, target word and emotion in a file name; two actresses, one carrier phrase."""

import re
from pathlib import Path, PurePosixPath

from ser_core.data.corpora.base import BadNameError, Corpus, Download, Reading, code
from ser_core.data.corpora.recordings import read_recordings

EMOTIONS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "pleasant_surprise",
    "sad": "sad",
}

INFO = Corpus(
    name="tess",
    title="Toronto Emotional Speech Set (TESS)",
    short="TESS",
    emotions=tuple(sorted(EMOTIONS.values())),
    language="en-CA",
    licence="CC BY-NC-ND 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-nd/4.0/",
    citation="dupuis2010tess",
    homepage="https://doi.org/10.5683/SP2/E8H2MF",
    access="public",
    downloads=(
        Download(
            url="https://borealisdata.ca/api/access/dataset/:persistentId/?persistentId=doi:10.5683/SP2/E8H2MF",
            filename="tess.zip",
            unpack=True,
        ),
    ),
    how_to_get="Open https://doi.org/10.5683/SP2/E8H2MF, choose all files, download and unpack the zip.",
    redistribute_features=False,
    declared={"clips": 2800, "speakers": 2, "speakers_by_gender": {"female": 2}, "sentences": 200, "emotions": 7},
)

_FOLDER_WORDS = {"pleasant_surprise": "ps", "pleasant_surprised": "ps"}
_NAME = re.compile(r"(OAF|OA|YAF)_([a-z'-]+)_([a-z]+)")


def parse(path: PurePosixPath) -> dict:
    """Return the row of a clip from its file name and, as a check, its folder.

    Examples:
        >>> row = parse(PurePosixPath("OAF_Pleasant_surprise/OAF_back_ps.wav"))
        >>> row["emotion"], row["sentence"], row["transcript"]
        ('pleasant_surprise', 'tess/back', 'Say the word back')
    """
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise BadNameError(f"'{path.stem}' is not speaker, word and emotion, as in OAF_back_fear")
    speaker, word, emotion = match.groups()
    faults = []
    if speaker == "OA":
        speaker = "OAF"
        faults.append("the speaker is written OA, read as OAF")
    row = {
        "clip": f"tess/{speaker}_{word}_{emotion}",
        "speaker": f"tess/{speaker}",
        "gender": "female",
        "emotion": code(EMOTIONS, emotion, "emotion"),
        "sentence": f"tess/{word}",
        "transcript": f"Say the word {word}",
    }
    folder_speaker, _, folder_word = path.parent.name.partition("_")
    folder_word = folder_word.lower()
    folder_word = _FOLDER_WORDS.get(folder_word, folder_word)
    if (
        folder_speaker in ("OAF", "YAF")
        and folder_word in EMOTIONS
        and (folder_speaker, folder_word) != (speaker, emotion)
    ):
        faults.append(f"the folder says {path.parent.name}, the name is kept")
    if faults:
        row["fault"] = "; ".join(faults)
    return row


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``{OAF,YAF}_<emotion>/*.wav`` (see `ser_core.data.corpora.recordings.read_recordings`)."""
    return read_recordings(folder, INFO, parse, progress=progress)
