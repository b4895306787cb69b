"""BanglaSER: seven number fields in a file name, as in RAVDESS but with its own codes."""

from pathlib import Path, PurePosixPath

from ser_core.data.corpora.base import BadNameError, Corpus, Download, Reading, code
from ser_core.data.corpora.recordings import read_recordings

EMOTIONS = {"01": "happy", "02": "sad", "03": "angry", "04": "surprised", "05": "neutral"}

INFO = Corpus(
    name="banglaser",
    title="BanglaSER",
    short="BanglaSER",
    emotions=tuple(sorted(EMOTIONS.values())),
    language="bn",
    licence="CC BY 4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    citation="das2022banglaser",
    homepage="https://doi.org/10.17632/t9h6p943xy",
    access="public",
    downloads=(
        Download(
            url="https://prod-dcd-datasets-cache-zipfiles.s3.eu-west-1.amazonaws.com/t9h6p943xy-5.zip",
            filename="banglaser.zip",
            unpack=True,
        ),
    ),
    how_to_get="Open https://doi.org/10.17632/t9h6p943xy, choose Download All and unpack the zip.",
    redistribute_features=True,
    declared={
        "clips": 1467,
        "speakers": 34,
        "speakers_by_gender": {"female": 17, "male": 17},
        "sentences": 3,
        "emotions": 5,
        "clips_by_emotion": {"angry": 306, "happy": 306, "neutral": 243, "sad": 306, "surprised": 306},
    },
)

SENTENCES = {"01": "১২ টা বেজে গেছে", "02": "আমি জানতাম এমন কিছু হবে", "03": "এ কেমন উপহার"}


def parse(path: PurePosixPath) -> dict:
    """Return the row of a clip from its file name.

    Examples:
        >>> row = parse(PurePosixPath("03-01-02-01-03-02-31.wav"))
        >>> row["speaker"], row["emotion"], row["sentence"]
        ('banglaser/31', 'sad', 'banglaser/03')
    """
    fields = path.stem.split("-")
    if len(fields) != 7 or not all(len(f) == 2 and f.isdecimal() for f in fields):
        raise BadNameError(f"'{path.stem}' is not seven two-digit fields joined by '-', as in 03-01-01-01-01-02-31")
    modality, channel, emotion, intensity, statement, repetition, actor = fields
    row = {
        "clip": f"banglaser/{path.stem}",
        "speaker": f"banglaser/{actor}",
        "gender": "male" if int(actor) % 2 else "female",
        "emotion": code(EMOTIONS, emotion, "emotion"),
        "sentence": f"banglaser/{statement}",
        "transcript": code(SENTENCES, statement, "statement"),
    }
    code({"01": "1", "02": "2", "03": "3"}, repetition, "repetition")
    code({"01": "normal", "02": "strong"}, intensity, "intensity")
    code({f"{n:02d}": str(n) for n in range(1, 35)}, actor, "actor")
    if (modality, channel) != ("03", "01"):
        row["fault"] = f"begins {modality}-{channel}; an audio-only speech file begins 03-01"
    return row


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``*.wav`` (see `ser_core.data.corpora.recordings.read_recordings`)."""
    return read_recordings(folder, INFO, parse, progress=progress)
