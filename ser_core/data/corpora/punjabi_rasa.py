"""Punjabi RASA: emotional speech cut from the text-to-speech corpus Rasa; train and test parts, two voices.

No recording of it was at hand: the layout is the one that others documented who read it. A name,
``PAN_<gender>_<style>_<number>``, tells a voice, F or M, and no speaker. Rasa aims at one woman and one man a
language, so the voice is taken as the speaker, as far as anybody can tell. The publisher's parts share both voices;
speaker-independent is only protocol ``speaker``, which is to leave one voice out: two folds, and no dev part.
"""

import re
from pathlib import Path, PurePosixPath

from ser_core.data.corpora.base import BadNameError, Corpus, Reading, code
from ser_core.data.corpora.recordings import named, read_recordings
from ser_core.errors import SerError

EMOTIONS = ("angry", "happy", "neutral", "sad")

INFO = Corpus(
    name="punjabi_rasa",
    title="Punjabi emotional speech from the text-to-speech corpus Rasa (two voices, each taken as one speaker)",
    short="Rasa (Punjabi)",
    emotions=EMOTIONS,
    language="pa",
    licence="CC BY 4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    citation="varadhan2024rasa",
    homepage="https://www.kaggle.com/datasets/fatimatuzahra9115/punjabi-emotional-speech-dataset-rasa",
    access="public",
    how_to_get=(
        "1. With a Kaggle account, download the zip from "
        "https://www.kaggle.com/datasets/fatimatuzahra9115/punjabi-emotional-speech-dataset-rasa.\n"
        "2. Unpack it, so that <folder>/punjabi_emotional_speech/train/angry/audio is there.\n"
        "3. Its names tell a voice (F or M) and no speaker; the voice is taken as the speaker."
    ),
    redistribute_features=True,
    declared={
        "clips": 9634,
        "clips_by_split": {"train": 8672, "test": 962},
        "clips_by_emotion": {"angry": 956, "happy": 1017, "neutral": 6709, "sad": 952},
        "emotions": 4,
        "sample_rate": 48000,
        "channels": 1,
    },
)

SPLITS = ("train", "test")
VOICES = {"F": "female", "M": "male"}
_STYLES = {"ANGER": "angry", "ANGRY": "angry", "HAPPY": "happy", "NEUTRAL": "neutral", "SAD": "sad"}
"""Styles in a name that are one of the four emotions; Rasa has others, such as WIKI for neutral reading."""
_NAME = re.compile(r"PAN_([A-Z])_(.+)_(\d+)")


def parse(path: PurePosixPath) -> dict:
    """Return the row of a clip from its folders, which tell part and emotion, and its name, which tells the voice.

    Examples:
        >>> row = parse(PurePosixPath("punjabi_emotional_speech/train/neutral/audio/PAN_F_WIKI_00012.wav"))
        >>> row["speaker"], row["gender"], row["emotion"], row["split"]
        ('punjabi_rasa/F', 'female', 'neutral', 'train')
    """
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise BadNameError(f"'{path.stem}' is not language, gender, style and number, as in PAN_F_HAPPY_00001")
    voice, style, _ = match.groups()
    gender = code(VOICES, voice, "gender")
    folders = [part.lower() for part in reversed(path.parent.parts)]
    split = next((part for part in folders if part in SPLITS), None)
    label, named = next((part for part in folders if part in EMOTIONS), None), _STYLES.get(style.upper())
    if not (label or named):
        raise BadNameError(f"neither a folder nor the style '{style}' is one of {', '.join(EMOTIONS)}")
    row = {
        # Nobody documents whether the two parts are numbered together.
        "clip": "/".join(part for part in ("punjabi_rasa", split, path.stem) if part),
        "speaker": f"punjabi_rasa/{voice}",
        "gender": gender,
        "emotion": label or named,
        "split": split,
    }
    if label and named and label != named:
        row["fault"] = f"the name says {named}, the folder says {label}, which is kept"
    return row


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``{train,test}/{angry,happy,neutral,sad}/audio/*.wav`` and the ``metadata.txt`` of each emotion.

    Args:
        folder: Where the parts are, nested or not; recordings straight in an emotion's folder are read too.
        progress: Show a progress bar.

    Returns:
        The clips and the problems of `ser_core.data.corpora.recordings.read_recordings`. The transcript is the second
        field of the line ``file|transcript|...``; missing where there is no such line.

    Raises:
        SerError: If there is no recording, none can be read, or a ``metadata.txt`` is no text.
    """
    folder = Path(folder)
    words = {}
    for path in named(folder, "metadata.txt"):
        place = PurePosixPath(path.parent.relative_to(folder).as_posix())
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise SerError(f"{path}: not UTF-8 text ({error.reason}); unpack the corpus again") from error
        for line in lines:
            name, _, rest = line.partition("|")
            if text := rest.partition("|")[0].strip():
                words[place, PurePosixPath(name.strip()).stem] = text

    def row(path: PurePosixPath) -> dict:
        text = next((words[place, path.stem] for place in path.parents if (place, path.stem) in words), None)
        return parse(path) | {"transcript": text}

    return read_recordings(folder, INFO, row, progress=progress)
