"""Synthetic, speech-like corpora whose truth is known: who speaks, what, how, and which leaks were planted.

The sounds are made by a source and a filter (Fant, *Acoustic Theory of Speech Production*, 1960): pulses through four
resonances a vowel. They are for tests and for trying the tools; nothing about emotion in people can be learnt here.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import signal

from ser_core import files
from ser_core.data import clips as clips_table
from ser_core.errors import SerError

RATE = 16_000
EMOTIONS = ("angry", "happy", "neutral", "sad")
COPIES = ("exact", "gain", "padded", "trimmed", "resampled", "ogg")

# First three formants of a man's vowels in Hz, rounded from Peterson and Barney (1952); the fourth is made up.
_VOWELS = np.array(
    [
        (270, 2290, 3010, 3600),
        (530, 1840, 2480, 3500),
        (660, 1720, 2410, 3500),
        (730, 1090, 2440, 3400),
        (570, 840, 2410, 3300),
        (300, 870, 2240, 3300),
    ],
    dtype=float,
)
_BANDWIDTHS = np.array([80, 100, 140, 200], dtype=float)


def clips(
    *,
    speakers: int = 8,
    sentences: int = 4,
    emotions: Sequence[str] = EMOTIONS,
    repetitions: int = 1,
    confounded: bool = False,
) -> pd.DataFrame:
    """Return the Clips table of a synthetic corpus, without audio.

    Args:
        speakers: Number of speakers, women and men in turn.
        sentences: Number of sentences; everybody says each of them.
        emotions: The emotions.
        repetitions: How often each sentence is said with each emotion.
        confounded: True for one emotion a speaker, taken in turn, as in a corpus whose label is who speaks.

    Returns:
        A Clips table of speakers x sentences x emotions x repetitions rows (fewer if confounded), with
        ``path``, and without durations and hashes.

    Raises:
        SerError: If a number is below 1 or an emotion is named twice.

    Examples:
        >>> clips(speakers=2, sentences=1, emotions=("happy", "sad"))["emotion"].to_dict()["toy/s01_t01_sad_r1"]
        'sad'
        >>> len(clips(confounded=True)), len(clips())
        (32, 128)
    """
    if min(speakers, sentences, repetitions, len(emotions)) < 1 or len(set(emotions)) < len(emotions):
        raise SerError(
            f"a toy corpus needs at least 1 speaker, sentence, repetition and emotion, and different emotions; got "
            f"{speakers}, {sentences}, {repetitions} and {list(emotions)}"
        )
    rows = []
    for s in range(speakers):
        for t in range(sentences):
            for emotion in [emotions[s % len(emotions)]] if confounded else emotions:
                for r in range(repetitions):
                    name = f"s{s + 1:02}_t{t + 1:02}_{emotion}_r{r + 1}"
                    rows.append(
                        {
                            "clip": f"toy/{name}",
                            "path": f"{name}.wav",
                            "speaker": f"toy/s{s + 1:02}",
                            "gender": clips_table.GENDERS[s % 2],
                            "emotion": emotion,
                            "sentence": f"toy/t{t + 1:02}",
                        }
                    )
    return clips_table.validate(pd.DataFrame(rows).set_index("clip").assign(corpus="toy", language="und"))


def utterance(
    *, speaker: int, gender: str, sentence: int, emotion: float, seed: int, take: int = 0, rate: int = RATE
) -> np.ndarray:
    """Synthesise one utterance.

    Args:
        speaker: Number of the speaker, which fixes pitch, vocal tract length, loudness and tempo.
        gender: ``female`` or ``male``.
        sentence: Number of the sentence, which fixes the sequence of vowels.
        emotion: Angle in turns, in [0, 1): its cosine acts as arousal (higher and more varied pitch, louder,
            faster), its sine as valence (rising pitch and brighter vowels).
        seed: Of the corpus.
        take: Number of the repetition; takes differ in pitch, tempo, loudness and silences as a person's do.
        rate: Samples a second.

    Returns:
        float32 of shape (n_samples,), in [-1, 1]: about a second of voice with silence before and after.

    Examples:
        >>> x = utterance(speaker=0, gender="female", sentence=0, emotion=0.25, seed=0)
        >>> bool(0.05 < abs(x).max() <= 1), x.dtype.name
        (True, 'float32')
    """
    person = np.random.default_rng([seed, 1, speaker])
    text = np.random.default_rng([seed, 2, sentence])
    chance = np.random.default_rng([seed, 3, speaker, sentence, int(emotion * 1000), take])
    arousal, valence = np.cos(2 * np.pi * emotion), np.sin(2 * np.pi * emotion)
    pitch = (205 if gender == "female" else 120) * 2 ** person.normal(0, 0.12)
    tract = (1.16 if gender == "female" else 1.0) * 2 ** person.normal(0, 0.04) * (1 + 0.02 * valence)
    level_db = -26 + person.normal(0, 2) + 4 * arousal + chance.normal(0, 1)
    tempo = 2 ** (person.normal(0, 0.1) + 0.25 * arousal + chance.normal(0, 0.05))
    vowels = _VOWELS[text.integers(len(_VOWELS), size=text.integers(5, 8))] * tract
    lengths = (rate * text.uniform(0.10, 0.22, len(vowels)) / tempo).astype(int)

    time = np.linspace(0, 1, lengths.sum())
    melody = (0.15 + 0.1 * arousal) * np.interp(time, np.linspace(0, 1, 6), chance.normal(0, 1, 6))
    octaves = 0.35 * arousal + (0.25 * valence - 0.2) * (time - 0.5) + melody + chance.normal(0, 0.04)
    phase = np.cumsum(pitch * 2**octaves / rate)
    pulses = np.diff(np.floor(phase), prepend=0) + 0.02 * chance.standard_normal(len(phase))
    # Glottal pulses fall by about 12 dB an octave and the lips give 6 dB back; arousal makes voices brighter.
    source = signal.lfilter([1], [1, -0.92 + 0.06 * arousal], pulses)
    voice, state = [], np.zeros((len(_BANDWIDTHS), 2))
    for formants, part in zip(vowels, np.split(source, np.cumsum(lengths)[:-1]), strict=True):
        filtered, state = signal.sosfilt(_resonances(formants, rate), part, zi=state)
        voice.append(filtered * (0.35 + 0.65 * signal.windows.tukey(len(part), 0.5)))
    voice = np.concatenate(voice)
    voice *= 10 ** (level_db / 20) / np.sqrt(np.mean(voice**2))
    before, after = (rate * chance.uniform(0.15, 0.4, 2)).astype(int)
    x = np.pad(voice, (before, after)) + 1e-4 * chance.standard_normal(before + len(voice) + after)
    return np.clip(x, -1, 1).astype(np.float32)


def _resonances(formants: np.ndarray, rate: int) -> np.ndarray:
    """Return second-order sections of a cascade of resonances with unit gain at 0 Hz, shape (n_formants, 6)."""
    radius, angle = np.exp(-np.pi * _BANDWIDTHS / rate), 2 * np.pi * formants / rate
    a1, a2 = -2 * radius * np.cos(angle), radius**2
    zero, one = np.zeros_like(a1), np.ones_like(a1)
    return np.stack([1 + a1 + a2, zero, zero, one, a1, a2], axis=1)


def corpus(
    folder: Path,
    *,
    speakers: int = 8,
    sentences: int = 4,
    emotions: Sequence[str] = EMOTIONS,
    repetitions: int = 1,
    confounded: bool = False,
    copies: Sequence[str] = (),
    seed: int = 0,
) -> Path:
    """Write a synthetic corpus: 16 kHz wav files and ``clips.csv``, which `ser_core.data.corpora.local` reads.

    Args:
        folder: Where to write.
        speakers: As in `clips`.
        sentences: As in `clips`.
        emotions: As in `clips`.
        repetitions: As in `clips`.
        confounded: As in `clips`.
        copies: Leaks to plant, each a copy of one recording (the i-th copy: of the i-th, in order of clip ids) that is
            listed under the next speaker's name as ``copy_<kind>_<i>``: ``exact``; ``gain``, 9 dB softer;
            ``padded``, with 0.5 s of silence before and after; ``trimmed``, without its first and last 0.3 s;
            ``resampled``, to 11,025 Hz and back; ``ogg``, through a lossy codec.
        seed: Of every random choice.

    Returns:
        The folder.

    Raises:
        SerError: If a kind of copy is unknown, or as in `clips`.
    """
    import soundfile

    folder = Path(folder)
    if unknown := sorted(set(copies) - set(COPIES)):
        raise SerError(f"no kind of copy {unknown}; there are {list(COPIES)}")
    table = clips(
        speakers=speakers, sentences=sentences, emotions=emotions, repetitions=repetitions, confounded=confounded
    )
    folder.mkdir(parents=True, exist_ok=True)
    sounds = {}
    for row in table.itertuples():
        speaker, sentence, _, take = Path(row.path).stem.rsplit("_", 3)
        sounds[row.path] = utterance(
            speaker=int(speaker[1:]) - 1,
            gender=row.gender,
            sentence=int(sentence[1:]) - 1,
            emotion=list(emotions).index(row.emotion) / len(emotions),
            seed=seed,
            take=int(take[1:]) - 1,
        )
    rows = table[["path", "emotion", "speaker", "gender", "sentence", "language"]].reset_index(drop=True)
    for column in ("speaker", "sentence"):
        rows[column] = rows[column].str.removeprefix("toy/")
    planted = rows.iloc[: len(copies)].copy()
    for i, kind in enumerate(copies):
        path, number = f"copy_{kind}_{i + 1}.wav", int(planted["speaker"].iloc[i][1:]) % speakers
        sounds[path] = _copy(sounds[planted["path"].iloc[i]], kind)
        planted.iloc[i, planted.columns.get_indexer(["path", "speaker", "gender"])] = [
            path,
            f"s{number + 1:02}",
            clips_table.GENDERS[number % 2],
        ]
    for path, sound in sounds.items():
        with files.replacing(folder / path) as temporary:
            soundfile.write(temporary, sound, RATE, subtype="PCM_16", format="WAV")
    with files.replacing(folder / "clips.csv") as temporary:
        pd.concat([rows, planted]).to_csv(temporary, index=False)
    return folder


def _copy(x: np.ndarray, kind: str) -> np.ndarray:
    """Return the sound as a careless curator might have kept it a second time."""
    import io

    import soundfile
    import soxr

    if kind == "gain":
        return x * 10 ** (-9 / 20)
    if kind == "padded":
        return np.pad(x, RATE // 2)
    if kind == "trimmed":
        return x[3 * RATE // 10 : -3 * RATE // 10]
    if kind == "resampled":
        return soxr.resample(soxr.resample(x, RATE, 11_025), 11_025, RATE)
    if kind == "ogg":
        file = io.BytesIO()
        soundfile.write(file, x, RATE, format="OGG", subtype="VORBIS")
        file.seek(0)
        return soundfile.read(file, dtype="float32")[0]
    return x
