"""CREMA-D: actor, sentence, intended emotion and its level in a file name; who is a woman or a man in a table beside.

No recording of it was at hand: the grammar is that of the release's README, and what is known of its faults that of
its issue tracker. The label is the emotion the actor was asked for, not what raters heard; the level is not kept.
"""

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ser_core.data.corpora.base import BadNameError, Corpus, Reading, code, problems_table, read_csv
from ser_core.data.corpora.recordings import find, named, read_recordings
from ser_core.errors import SerError

EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}

INFO = Corpus(
    name="crema_d",
    title="Crowd-sourced Emotional Multimodal Actors Dataset (CREMA-D), audio part",
    short="CREMA-D",
    emotions=tuple(sorted(EMOTIONS.values())),
    language="en",
    licence="ODbL 1.0, its contents DbCL 1.0",
    licence_url="https://opendatacommons.org/licenses/odbl/1-0/",
    citation="cao2014cremad",
    homepage="https://github.com/CheyneyComputerScience/CREMA-D",
    access="public",
    how_to_get=(
        "1. Install Git LFS; without it, and in GitHub's zip, every recording is a pointer of three lines of text.\n"
        "2. Run GIT_LFS_SKIP_SMUDGE=1 git clone https://github.com/CheyneyComputerScience/CREMA-D, so that the videos "
        "stay away, and then git lfs pull -I AudioWAV in it.\n"
        "3. Keep AudioWAV/ and VideoDemographics.csv, so that <folder>/AudioWAV/1001_DFA_ANG_XX.wav is there."
    ),
    redistribute_features=True,
    declared={
        "clips": 7442,
        "speakers": 91,
        "speakers_by_gender": {"female": 43, "male": 48},
        "sentences": 12,
        "emotions": 6,
    },
)

SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
_LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified"}
_ACTORS = {str(number): str(number) for number in range(1001, 1092)}
_SEXES = {"Female": "female", "Male": "male"}
_POINTER = b"version https://git-lfs"
_DEMOGRAPHICS = "VideoDemographics.csv"
_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})")


def parse(path: PurePosixPath) -> dict:
    """Return the row of a clip from its file name, which does not say the actor's gender.

    Examples:
        >>> row = parse(PurePosixPath("AudioWAV/1001_DFA_ANG_XX.wav"))
        >>> row["speaker"], row["emotion"], row["transcript"]
        ('crema_d/1001', 'anger', "Don't forget a jacket")
    """
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise BadNameError(f"'{path.stem}' is not actor, sentence, emotion and level, as in 1001_DFA_ANG_XX")
    actor, sentence, emotion, level = match.groups()
    # Until 2022 the release held one such name, 1040_ITH_SAD_X; the clip is the same.
    fault = {"fault": "the level is written X, read as XX"} if level == "X" else {}
    level = "XX" if level == "X" else level
    code(_LEVELS, level, "level")
    return fault | {
        "clip": f"crema_d/{actor}_{sentence}_{emotion}_{level}",
        "speaker": f"crema_d/{code(_ACTORS, actor, 'actor')}",
        "emotion": code(EMOTIONS, emotion, "emotion"),
        "sentence": f"crema_d/{sentence}",
        "transcript": code(SENTENCES, sentence, "sentence"),
    }


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``AudioWAV/*.wav`` and ``VideoDemographics.csv``.

    Args:
        folder: Where they are, nested or not; ``AudioMP3``, the same clips as the raters heard them, is left alone.
        progress: Show a progress bar.

    Returns:
        The clips and the problems of `ser_core.data.corpora.recordings.read_recordings`; without the table of actors
        there is one more, ``missing file``, and every gender is missing.

    Raises:
        SerError: If there is no recording, none can be read, they are pointers of Git LFS, or the table of actors
            cannot be read.
    """
    folder = Path(folder)
    first = next(iter(find(folder)), None)
    if first is not None and first.open("rb").read(len(_POINTER)) == _POINTER:
        raise SerError(f"{first}: a pointer of Git LFS, not a recording; run git lfs pull in the clone and read again")
    tables = named(folder, _DEMOGRAPHICS)
    genders = {}
    if tables:
        table = read_csv(tables[0], ("ActorID", "Sex"))
        genders = dict(zip("crema_d/" + table["ActorID"], table["Sex"].map(_SEXES), strict=True))

    def row(path: PurePosixPath) -> dict:
        found = parse(path)
        return found | {"gender": genders.get(found["speaker"])}

    reading = read_recordings(folder, INFO, row, progress=progress)
    problems = reading.problems
    as_heard = (problems["problem"] == "unsupported format") & problems["path"].str.contains(r"(?:^|/)AudioMP3/")
    rows = list(problems[~as_heard].itertuples(index=False, name=None))
    if not tables:
        rows.append((_DEMOGRAPHICS, "missing file", "every gender left missing; it comes with the corpus"))
    return replace(reading, problems=problems_table(rows))
