"""Berlin EmoDB: speaker, sentence and emotion in a seven-character file name."""

import re
from pathlib import Path, PurePosixPath

from ser_core.data.corpora.base import BadNameError, Corpus, Download, Reading, code
from ser_core.data.corpora.recordings import read_recordings

EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}

INFO = Corpus(
    name="emodb",
    title="Berlin Database of Emotional Speech (EmoDB)",
    short="EmoDB",
    emotions=tuple(sorted(EMOTIONS.values())),
    language="de",
    licence="free to use; its authors ask for a citation of Burkhardt et al. (2005)",
    licence_url="http://emodb.bilderbar.info/",
    citation="burkhardt2005emodb",
    homepage="http://emodb.bilderbar.info/",
    access="public",
    downloads=(Download(url="http://emodb.bilderbar.info/download/download.zip", filename="emodb.zip", unpack=True),),
    how_to_get="Download http://emodb.bilderbar.info/download/download.zip and unpack it; the recordings are in wav/.",
    redistribute_features=True,
    declared={
        "clips": 535,
        "speakers": 10,
        "speakers_by_gender": {"female": 5, "male": 5},
        "sentences": 10,
        "emotions": 7,
        "sample_rate": 16000,
    },
)

GENDERS = {
    "03": "male",
    "08": "female",
    "09": "female",
    "10": "male",
    "11": "male",
    "12": "male",
    "13": "female",
    "14": "female",
    "15": "male",
    "16": "female",
}
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
_NAME = re.compile(r"(\d\d)([ab]\d\d)([A-Z])([a-z]?)")


def parse(path: PurePosixPath) -> dict:
    """Return the row of a clip from its file name.

    Examples:
        >>> row = parse(PurePosixPath("wav/03a01Fa.wav"))
        >>> row["speaker"], row["sentence"], row["emotion"]
        ('emodb/03', 'emodb/a01', 'happiness')
    """
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise BadNameError(f"'{path.stem}' is not speaker, sentence, emotion and version, as in 03a01Fa")
    speaker, sentence, emotion, _ = match.groups()
    return {
        "clip": f"emodb/{path.stem}",
        "speaker": f"emodb/{speaker}",
        "gender": code(GENDERS, speaker, "speaker"),
        "emotion": code(EMOTIONS, emotion, "emotion"),
        "sentence": f"emodb/{sentence}",
        "transcript": code(SENTENCES, sentence, "sentence"),
    }


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``wav/*.wav`` (see `ser_core.data.corpora.recordings.read_recordings`)."""
    return read_recordings(folder, INFO, parse, progress=progress)
