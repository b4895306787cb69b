"""ShEMO: gender, speaker, emotion and number in a file name; Persian radio plays.

No recording of it was at hand: the grammar, ``F03S02``, is that of the release's README. The words come from
``shemo.json``, if it lies in the folder.
"""

import json
import re
from pathlib import Path, PurePosixPath

from ser_core.data.corpora.base import BadNameError, Corpus, Reading, code
from ser_core.data.corpora.recordings import named, read_recordings
from ser_core.errors import SerError

EMOTIONS = {"A": "anger", "F": "fear", "H": "happiness", "N": "neutral", "S": "sadness", "W": "surprise"}

INFO = Corpus(
    name="shemo",
    title="Sharif Emotional Speech Database (ShEMO)",
    short="ShEMO",
    emotions=tuple(sorted(EMOTIONS.values())),
    language="fa",
    licence="free of charge for academic purposes",
    licence_url="https://github.com/pariajm/sharif-emotional-speech-dataset",
    citation="nezami2019shemo",
    homepage="https://github.com/pariajm/sharif-emotional-speech-dataset",
    access="public",
    how_to_get=(
        "1. Open https://github.com/pariajm/sharif-emotional-speech-dataset, whose README links female.zip and "
        "male.zip (the links have changed, so none is given here), and take both and shemo.json.\n"
        "2. Unpack both, so that <folder>/female/F21A05.wav and, for the words, <folder>/shemo.json are there."
    ),
    redistribute_features=False,
    declared={
        "clips": 3000,
        "hours": 3.42,
        "speakers": 87,
        "speakers_by_gender": {"female": 31, "male": 56},
        "emotions": 6,
    },
)

GENDERS = {"F": "female", "M": "male"}
_LABELS = {
    "angry": "anger",
    "fearful": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprised": "surprise",
}
"""How ``shemo.json`` says what the letters stand for."""
_NAME = re.compile(r"([FM])(\d\d)([A-Z])(\d\d)")


def parse(path: PurePosixPath) -> dict:
    """Return the row of a clip from its file name and, as a check, its folder.

    Examples:
        >>> row = parse(PurePosixPath("male/M02F01.wav"))
        >>> row["speaker"], row["gender"], row["emotion"]
        ('shemo/M02', 'male', 'fear')
    """
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise BadNameError(f"'{path.stem}' is not gender, speaker, emotion and number, as in F03S02")
    letter, speaker, emotion, _ = match.groups()
    row = {
        "clip": f"shemo/{path.stem}",
        "speaker": f"shemo/{letter}{speaker}",
        "gender": GENDERS[letter],
        "emotion": code(EMOTIONS, emotion, "emotion"),
    }
    folder = path.parent.name.lower()
    if folder in GENDERS.values() and folder != row["gender"]:
        row["fault"] = f"the folder says {folder}, the name says {row['gender']}, which is kept"
    return row


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``{female,male}/*.wav`` and, if it is there, ``shemo.json``.

    Args:
        folder: Where they are, nested or not.
        progress: Show a progress bar.

    Returns:
        The clips and the problems of `ser_core.data.corpora.recordings.read_recordings`; an emotion that is another one
        in ``shemo.json`` is an ``odd name`` too. The transcript is missing where that file does not give it.

    Raises:
        SerError: If there is no recording, none can be read, or ``shemo.json`` is not the list that it should be.
    """
    folder = Path(folder)
    entries = _entries(folder)

    def row(path: PurePosixPath) -> dict:
        found = parse(path)
        entry = entries.get(path.stem, {})
        label = _LABELS.get(str(entry.get("emotion")), found["emotion"])
        if label != found["emotion"]:
            found.setdefault("fault", f"shemo.json says {label}, the name says {found['emotion']}, which is kept")
        return found | {"transcript": str(entry.get("transcript") or "").strip("\ufeff \n") or None}

    return read_recordings(folder, INFO, row, progress=progress)


def _entries(folder: Path) -> dict[str, dict]:
    """Return what ``shemo.json`` says of each clip, if it is there."""
    path = next(iter(named(folder, "shemo.json")), None)
    if path is None:
        return {}
    try:
        return {entry["id"]: entry for entry in json.loads(path.read_text(encoding="utf-8-sig"))}
    except (ValueError, TypeError, KeyError) as error:
        raise SerError(
            f"{path}: not a list of entries with an 'id' ({error}); take it from the corpus again"
        ) from error
