"""IITKGP-SEHSC: speaker, session, emotion and sentence in a file name, ``3.2.anger-01``; Hindi, radio artists.

No recording of it was at hand, and its authors publish no description of its files. The layout,
``<speaker>/session<n>/<emotion>/<speaker>.<n>.<emotion>-<sentence>.wav``, is what the public code of two groups that
were given the corpus reads (ankuPRK/Emotion-Recognition-in-Hindi-Speech and polvanrijn/mapping-nhb on GitHub), which
agree; the genders are theirs too. For a copy laid out otherwise, write a CSV table (see `ser_core.data.corpora.local`).
"""

import re
from pathlib import Path, PurePosixPath

from ser_core.data.corpora.base import BadNameError, Corpus, Reading
from ser_core.data.corpora.recordings import read_recordings

EMOTIONS = ("anger", "disgust", "fear", "happy", "neutral", "sadness", "sarcastic", "surprise")

INFO = Corpus(
    name="iitkgp_sehsc",
    title="Indian Institute of Technology Kharagpur Simulated Emotion Hindi Speech Corpus (IITKGP-SEHSC)",
    short="IITKGP-SEHSC",
    emotions=EMOTIONS,
    language="hi",
    licence="not published; its authors give it to those who ask, on their terms",
    licence_url=None,
    citation="koolagudi2011sehsc",
    homepage="https://doi.org/10.1109/ICDECOM.2011.5738540",
    access="request",
    how_to_get=(
        "1. Ask the authors of https://doi.org/10.1109/ICDECOM.2011.5738540 at the Indian Institute of Technology "
        "Kharagpur (group of K. Sreenivasa Rao); there is no public download.\n"
        "2. Unpack it, so that <folder>/3/session2/anger/3.2.anger-01.wav is there. The authors publish no layout; "
        "this one is that of others who were given the corpus.\n"
        "3. If yours is another, list it in a CSV table with path, emotion, speaker, gender, sentence and session, "
        "and give that to `ser` in the place of the corpus's name."
    ),
    redistribute_features=False,
    declared={
        "clips": 12000,
        "speakers": 10,
        "speakers_by_gender": {"female": 5, "male": 5},
        "sentences": 15,
        "emotions": 8,
    },
)

GENDERS = {"1": "female", "2": "female", "3": "male", "4": "female", "5": "female", "6": "male", "10": "male"}
"""Of the speakers for whom anybody states it; that of 7, 8 and 9 is left missing."""
_NUMBERS = {"speaker": 10, "session": 10, "sentence": 15}
_NAME = re.compile(r"(\d+)\.(\d+)\.(.+)-(\d+)")


def parse(path: PurePosixPath) -> dict:
    """Return the row of a clip from its file name and, as a check, the folder of its emotion.

    A session is one speaker's, so its id has both numbers.

    Examples:
        >>> row = parse(PurePosixPath("3/session2/anger/3.2.anger-01.wav"))
        >>> row["speaker"], row["session"], row["emotion"], row["sentence"]
        ('iitkgp_sehsc/3', 'iitkgp_sehsc/3.2', 'anger', 'iitkgp_sehsc/01')
    """
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise BadNameError(f"'{path.stem}' is not speaker, session, emotion and sentence, as in 3.2.anger-01")
    word, folder = match[3].lower(), path.parent.name.lower()
    for (what, highest), number in zip(_NUMBERS.items(), match.group(1, 2, 4), strict=True):
        if not 1 <= int(number) <= highest:
            raise BadNameError(f"{what} {number}; expected 1 to {highest}")
    if word not in EMOTIONS and folder not in EMOTIONS:
        raise BadNameError(f"neither the name's '{word}' nor the folder '{folder}' is one of {', '.join(EMOTIONS)}")
    emotion = word if word in EMOTIONS else folder
    speaker, session, sentence = (str(int(number)) for number in match.group(1, 2, 4))
    row = {
        "clip": f"iitkgp_sehsc/{speaker}.{session}.{emotion}-{int(sentence):02d}",
        "speaker": f"iitkgp_sehsc/{speaker}",
        "gender": GENDERS.get(speaker),
        "emotion": emotion,
        "sentence": f"iitkgp_sehsc/{int(sentence):02d}",
        "session": f"iitkgp_sehsc/{speaker}.{session}",
    }
    if folder in EMOTIONS and folder != word:
        row["fault"] = f"the folder says {folder}, the name says {word}; {emotion} is kept"
    return row


def read(folder: Path, *, progress: bool = False) -> Reading:
    """Read ``<speaker>/session<n>/<emotion>/*.wav`` (see `ser_core.data.corpora.recordings.read_recordings`)."""
    return read_recordings(folder, INFO, parse, progress=progress)
