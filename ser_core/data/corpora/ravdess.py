"""RAVDESS: seven number fields in a file name, two statements, twenty-four actors."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ser_core.data.corpora.base import BadNameError, Corpus, Download, Reading, code
from ser_core.data.corpora.recordings import read_recordings

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}

INTENSITIES = {"01": "normal", "02": "strong"}
"""How strongly an emotion is acted; neutral has one intensity only."""

INFO = Corpus(
    name="ravdess",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song, speech part, audio only",
    short="RAVDESS",
    emotions=tuple(sorted(EMOTIONS.values())),
    language="en",
    licence="CC BY-NC-SA 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    citation="livingstone2018ravdess",
    homepage="https://doi.org/10.5281/zenodo.1188976",
    access="public",
    downloads=(
        Download(
            url="https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip?download=1",
            filename="Audio_Speech_Actors_01-24.zip",
            size=208_468_073,
            md5="bc696df654c87fed845eb13823edef8a",
            unpack=True,
        ),
    ),
    how_to_get="Download Audio_Speech_Actors_01-24.zip from https://doi.org/10.5281/zenodo.1188976 and unpack it.",
    redistribute_features=True,
    declared={
        "clips": 1440,
        "speakers": 24,
        "speakers_by_gender": {"female": 12, "male": 12},
        "sentences": 2,
        "emotions": 8,
        "sample_rate": 48000,
        "channels": 1,
    },
)

STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
_MODALITIES = {"01": "audio and video", "02": "video only", "03": "audio only"}
_CHANNELS = {"01": "speech", "02": "song"}


def parse(path: PurePosixPath) -> dict:
    """Return the row of a clip from its file name.

    Examples:
        >>> row = parse(PurePosixPath("Actor_07/03-01-05-01-02-02-07.wav"))
        >>> row["clip"], row["emotion"], row["gender"]
        ('ravdess/03-01-05-01-02-02-07', 'angry', 'male')
    """
    fields = path.stem.split("-")
    if len(fields) != 7 or not all(len(f) == 2 and f.isdecimal() for f in fields):
        raise BadNameError(f"'{path.stem}' is not seven two-digit fields joined by '-', as in 03-01-05-01-02-02-07")
    modality, channel, emotion, intensity, statement, repetition, actor = fields
    word = code(EMOTIONS, emotion, "emotion")
    transcript = code(STATEMENTS, statement, "statement")
    code(INTENSITIES, intensity, "intensity")
    code({"01": "first", "02": "second"}, repetition, "repetition")
    code({f"{n:02d}": str(n) for n in range(1, 25)}, actor, "actor")
    if code(_MODALITIES, modality, "modality") != "audio only" or code(_CHANNELS, channel, "channel") != "speech":
        raise BadNameError(
            f"{_MODALITIES[modality]} {_CHANNELS[channel]}; this corpus is the audio-only speech part, 03-01"
        )
    fault = {}
    if re.fullmatch(r"Actor_\d\d", path.parent.name) and path.parent.name != f"Actor_{actor}":
        fault = {"fault": f"the folder says {path.parent.name}, the name is kept"}
    return fault | {
        "clip": f"ravdess/{path.stem}",
        "speaker": f"ravdess/{actor}",
        "gender": "male" if int(actor) % 2 else "female",
        "emotion": word,
        "sentence": f"ravdess/{statement}",
        "transcript": transcript,
    }


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``Actor_NN/*.wav`` (see `ser_core.data.corpora.recordings.read_recordings`)."""
    return read_recordings(folder, INFO, parse, progress=progress)


def intensities(clips: Iterable[str]) -> list[str]:
    """Return with what intensity each clip is acted, of `INTENSITIES`; a neutral clip has *normal*.

    Args:
        clips: Names of clips.

    Examples:
        >>> intensities(["ravdess/03-01-05-01-02-02-07", "ravdess/03-01-05-02-02-02-07"])
        ['normal', 'strong']
    """
    return [INTENSITIES[clip.split("-")[3]] for clip in clips]
