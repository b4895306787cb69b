"""IEMOCAP: turns of ten actors in five sessions; label and words stand in tables of each dialogue.

No recording of it was at hand: the layout is that of the release's README, the form of the lines that of public code
which reads them. Of a turn ``Ses01F_impro01_M003`` the first F tells who wears the markers, and only the letter before
the number who speaks: the man of session 1. The label is the raters' vote. Where it has no winner the release says
``xxx``, which is no emotion, so that such turns are left out and reported. The scripted dialogues say the same lines in
all sessions; the release does not number the lines, so ``sentence`` is missing.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ser_core import files
from ser_core.data.corpora.base import BadNameError, Corpus, Reading, how_to
from ser_core.data.corpora.recordings import Problem, check, find
from ser_core.errors import SerError

EMOTIONS = {
    "ang": "anger",
    "dis": "disgust",
    "exc": "excitement",
    "fea": "fear",
    "fru": "frustration",
    "hap": "happiness",
    "neu": "neutral",
    "oth": "other",
    "sad": "sadness",
    "sur": "surprise",
}

INFO = Corpus(
    name="iemocap",
    title="Interactive Emotional Dyadic Motion Capture database (IEMOCAP), speech",
    short="IEMOCAP",
    emotions=tuple(sorted(EMOTIONS.values())),
    language="en",
    licence="research use, by agreement with its publisher; no redistribution",
    licence_url="https://sail.usc.edu/iemocap/iemocap_release.htm",
    citation="busso2008iemocap",
    homepage="https://sail.usc.edu/iemocap/",
    access="gated",
    how_to_get=(
        "1. Read the terms and send the release form at https://sail.usc.edu/iemocap/iemocap_release.htm to the Signal "
        "Analysis and Interpretation Laboratory (SAIL) of the University of Southern California, which answers how to "
        "download it.\n"
        "2. Unpack IEMOCAP_full_release, so that <folder>/Session1/sentences/wav and <folder>/Session1/dialog are "
        "there.\n"
        "3. Copies that others put online are not covered by the agreement; none is used here."
    ),
    redistribute_features=False,
    declared={
        "clips": 10039,
        "speakers": 10,
        "speakers_by_gender": {"female": 5, "male": 5},
        "sessions": 5,
        "emotions": 10,
    },
)

NO_AGREEMENT = "xxx"
GENDERS = {"F": "female", "M": "male"}
_NAME = re.compile(r"(Ses0[1-5])[FM]_(?:impro|script)\w+_([FM])\d{3}")
_LABEL = re.compile(r"\[[\d.]+\s*-\s*[\d.]+\]\s+(\S+)\s+(\S+)\s+\[.*\]")
_WORDS = re.compile(r"(Ses0\S+)\s+\[[^\]]*\]:\s*(.+)")


def parse(path: PurePosixPath) -> dict:
    """Return what the file name of a turn says: who speaks in which session; emotion and words it does not say.

    Examples:
        >>> row = parse(PurePosixPath("Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M003.wav"))
        >>> row["speaker"], row["gender"], row["session"]
        ('iemocap/Ses01M', 'male', 'iemocap/Ses01')
    """
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise BadNameError(f"'{path.stem}' is not dialogue, speaker and turn, as in Ses01F_impro01_M003")
    session, speaker = match.groups()
    return {
        "clip": f"iemocap/{path.stem}",
        "speaker": f"iemocap/{session}{speaker}",
        "gender": GENDERS[speaker],
        "session": f"iemocap/{session}",
    }


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``Session*/sentences/wav/*/*.wav`` with the labels and words of ``Session*/dialog``.

    Args:
        folder: Where the sessions are, nested or not. The recordings of whole dialogues are left alone.
        progress: Show a progress bar.

    Returns:
        The turns with an emotion, and every problem: ``no agreement``, ``unknown emotion`` and ``missing emotion``
        (no label in ``EmoEvaluation``), all left out; ``unreadable line`` of a label; ``missing file`` of a labelled
        turn; ``unparsable name``; and those of `ser_core.data.corpora.recordings.check`.

    Raises:
        SerError: If there are no recordings of turns, no labels, or no recording can be read.
    """
    folder = Path(folder)
    paths = [path for path in find(folder) if path.parts[-4:-2] == ("sentences", "wav") and path.name[0] != "."]
    if not paths:
        raise SerError(f"{folder}: no .wav or .flac file in sentences/wav/ of {INFO.title}; {how_to(INFO)}")
    labels, found = _labels(folder)
    if not labels:
        raise SerError(f"{folder}: no label in dialog/EmoEvaluation/*.txt of {INFO.title}; {how_to(INFO)}")
    words = {match[1]: match[2] for _, line in _lines(folder, "transcriptions") if (match := _WORDS.match(line))}
    rows = []
    for path in paths:
        relative = path.relative_to(folder).as_posix()
        try:
            row = parse(PurePosixPath(relative))
        except BadNameError as error:
            found.append((relative, "unparsable name", str(error)))
            continue
        label = labels.get(path.stem, (None, None))[1]
        if label in EMOTIONS:
            rows.append(row | {"emotion": EMOTIONS[label], "transcript": words.get(path.stem), "path": relative})
        elif label is None:
            found.append((relative, "missing emotion", "no line of dialog/EmoEvaluation labels it, left out"))
        elif label == NO_AGREEMENT:
            found.append((relative, "no agreement", "the raters agree on no emotion (xxx), left out"))
        else:
            found.append((relative, "unknown emotion", f"{label} is none of {', '.join(EMOTIONS)}, left out"))
    for turn in sorted(labels.keys() - {path.stem for path in paths}):
        found.append((labels[turn][0], "missing file", f"no recording of turn {turn}, left out"))
    shared = {"corpus": INFO.name, "language": INFO.language}
    return check(folder, [row | shared for row in rows], found, progress=progress)


def _labels(folder: Path) -> tuple[dict[str, tuple[str, str]], list[Problem]]:
    """Return the file and the label of every turn, and the lines that begin like a label and are none."""
    labels, found = {}, []
    for path, line in _lines(folder, "EmoEvaluation"):
        if match := _LABEL.fullmatch(line):
            labels[match[1]] = (path, match[2].lower())
        elif line.startswith("["):
            found.append((path, "unreadable line", f"'{line[:60]}' is not time, turn, emotion and three values"))
    return labels, found


def _lines(folder: Path, kind: str) -> Iterator[tuple[str, str]]:
    """Give each line of the dialogues' files of a kind with the file's path; hidden and deeper files are no such."""
    for path in sorted(p for p in files.walk(folder) if p.match(f"dialog/{kind}/Ses*.txt")):
        # The release states no encoding; a letter lost from a transcript is better than a corpus that cannot be read.
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            yield path.relative_to(folder).as_posix(), line.strip()
