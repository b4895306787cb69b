"""Transcription: from a corpus's recordings to its table of transcripts, going on where it was stopped."""

from collections import Counter
from importlib import metadata
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ser_core import files, paths
from ser_core.data import corpora
from ser_core.errors import SerError
from ser_core.systems.features.tables import clips_key
from ser_core.systems.transcription import checkpoints, decoding

_SHOWN = 10


def transcribe(
    corpus: str,
    *,
    model: str,
    language: str | None = None,
    task: str = "transcribe",
    folder: Path | None = None,
    clips: pd.DataFrame | None = None,
    batch_size: int = 8,
    window_s: int = decoding.WINDOW_S,
    download: bool = False,
    progress: bool = True,
) -> Path:
    """Transcribe every clip of a corpus by Whisper and keep the transcripts in the cache.

    Decoding is greedy: temperature 0, no fallback to sampling, no earlier text as a prompt. Each batch is kept
    as soon as it is decoded, by the sha256 of the recordings, so that the same audio is never decoded twice with the
    same weights, language, task and packages, and a run that was killed goes on, and ends with the same bytes as
    one that was not. A file that agrees with the present clips is left as it is, but for recordings that could
    not be read, which are tried again.

    Source: Radford et al. (2023), Robust Speech Recognition via Large-Scale Weak Supervision, ICML.

    Args:
        corpus: Name of the corpus.
        model: Name of one of Whisper's models, such as ``base`` or ``base.en``, or the path of a checkpoint in
            Whisper's own format; see `ser_core.systems.transcription.find`.
        language: Whisper's code of what is spoken, such as ``ur``; detected clip by clip if not given.
        task: ``transcribe``, or ``translate`` into English.
        folder: Folder of the corpus's recordings; ``$SER_DATA/<corpus>`` if not given.
        clips: The Clips table, for a corpus of your own; the committed one if not given.
        batch_size: Clips decoded at a time, at least 1; those above 30 s are decoded one by one.
        window_s: Fill the clips up to this many s, in place of Whisper's 30; 10 costs about a third. A clip within a
            second of it is filled up to 30 s, and so is, anew, one whose text Whisper's own rule calls repetitive or
            unlikely. Whisper was trained on 30 s: what a shorter window changes has to be looked at.
        download: Download a model of Whisper's that is not there.
        progress: Show a progress bar, which also counts the clips that were not decoded.

    Returns:
        The file that was written or is up to date; `load` reads it.

    Raises:
        SerError: If there is no such task, language, model or checkpoint, the model does not have the language or
            the task, or its weights are not there; or if the corpus has no audio, or a recording is not there or
            another than the Clips table's.

    Examples:
        >>> transcribe("ravdess", model="base", language="english")
        Traceback (most recent call last):
        ser_core.errors.SerError: 'english' is no code of whisper.tokenizer.LANGUAGES; did you mean 'en' (english)?
    """
    checkpoint, identity = _request(model, language, task, window_s)
    if type(batch_size) is not int or batch_size < 1:
        raise SerError(f"batches of {batch_size!r} clips cannot be decoded; expected a whole number from 1")
    clips = (corpora.table(corpus) if clips is None else clips).sort_index()
    path = _location(corpus, identity)
    try:
        if not _stored(path, identity, clips)[1]["unread"]:
            return path
    except SerError:
        pass  # not there, or not as it should be: make it
    unhashed = clips.index[clips["sha256"].isna() | clips["path"].isna()]
    if len(unhashed):
        raise SerError(
            f"{corpus}: clip '{unhashed[0]}' has no recording or no sha256 in the Clips table; both are needed"
        )

    with files.alone(f"transcripts {corpus} {model} {language} {task} {window_s}"):
        return _make(corpus, checkpoint, identity, clips, folder, batch_size, download, progress)


def _make(
    corpus: str,
    checkpoint,
    identity: dict,
    clips: pd.DataFrame,
    folder: Path | None,
    batch_size: int,
    download,
    progress,
) -> Path:
    """Decode what is not decoded yet, and write the transcripts."""
    language, task, path = identity["language"], identity["task"], _location(corpus, identity)
    window_s = identity["decoding"].get("window_s", decoding.WINDOW_S)
    packages = {name: metadata.version(name) for name in ("openai-whisper", "torch", "soxr")}
    kept = path.parent / "decoded" / files.digest(identity | {"model": None}, packages)
    tables = [files.read_parquet(part, index="sha256") for part in sorted(kept.glob("*.parquet"))]
    known = [sha256 for table in tables for sha256 in table.index]
    recordings = clips.drop_duplicates("sha256")
    # Cut before what is known is left out, so that a run that goes on has the batches of one that was not stopped.
    batches = [recordings.iloc[start : start + batch_size] for start in range(0, len(recordings), batch_size)]
    batches = [left for batch in batches if len(left := batch[~batch["sha256"].isin(known)])]
    batches = _with_files(corpus, batches, folder)
    unread: list[str] = []
    problems: list[str] = []
    counts: Counter[str] = Counter()
    if batches:
        network = checkpoints.network(checkpoint, language, task, download=download, progress=progress)
    with tqdm(total=len(recordings), desc=f"{corpus} {checkpoint.label}", unit="clip", disable=not progress) as bar:
        bar.update(len(recordings) - sum(map(len, batches)))
        for batch in batches:
            table, lost, wrong = decoding.decode(network, batch, language, task, window_s)
            decoded = table.drop(index=lost)
            if len(decoded):
                files.write_parquet(decoded, kept / f"{files.digest(*decoded.index)}.parquet")
            tables.append(table)
            unread += lost
            problems += wrong
            counts.update(table["status"])
            bar.set_postfix({status: count for status, count in counts.items() if status != "ok"})
            bar.update(len(batch))
    _raise(corpus, problems)
    table = pd.concat(tables)
    table = table[~table.index.duplicated()]  # two that ran at once may both have decoded it
    table = table.loc[clips["sha256"]].astype(decoding.TYPES).set_axis(clips.index.rename("clip"))
    facts = {"clips_key": clips_key(clips), "packages": packages}
    files.write_parquet(table, path, identity | facts | {"unread": clips.index[clips["sha256"].isin(unread)].tolist()})
    return path


def load(
    corpus: str,
    model: str,
    language: str | None = None,
    task: str = "transcribe",
    clips: pd.DataFrame | None = None,
    window_s: int = decoding.WINDOW_S,
) -> pd.DataFrame:
    """Return the transcripts that `transcribe` kept.

    Args:
        corpus: Name of the corpus.
        model: As for `transcribe`. The file of a checkpoint of one's own is compared, and has to be there.
        language: As for `transcribe`.
        task: As for `transcribe`.
        clips: The whole Clips table, for a corpus of your own; the committed one if not given.
        window_s: As for `transcribe`.

    Returns:
        Indexed and sorted by clip: ``transcript``, never missing but maybe empty; ``language``, Whisper's code, as
        given or detected; ``no_speech_prob`` in [0, 1] and ``avg_logprob``, at most 0, in nats a token (for clips
        above 30 s, means over their windows); ``status``, one of ``ok``, ``silent`` (its peak is below
        `ser_core.data.audio.FLOOR_DB`), ``too short`` (see `SHORTEST_S`), ``undecodable``. Where nothing was decoded
        both numbers are missing, as is a language that was to be detected.

    Raises:
        SerError: If there is no such task, language or model; or there are no transcripts, or they were made from
            other clips or by other weights or options.

    Examples:
        >>> load("ravdess", "base", task="summarise")
        Traceback (most recent call last):
        ser_core.errors.SerError: there is no task 'summarise'; expected one of transcribe, translate
    """
    identity = _request(model, language, task, window_s)[1]
    clips = corpora.table(corpus) if clips is None else clips
    return _stored(_location(corpus, identity), identity, clips)[0].astype(decoding.TYPES)


def summary(transcripts: pd.DataFrame) -> str:
    """Return how many clips have which status, and which ones were not decoded.

    Examples:
        >>> summary(pd.DataFrame({"status": ["ok", "ok", "silent"]}, index=["toy/a", "toy/b", "toy/c"]))
        '3 clips: 2 ok, 1 silent (toy/c)'
    """
    parts = []
    for status, names in transcripts.groupby("status").groups.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        parts.append(f"{len(names)} {status}" + ("" if status == "ok" else f" ({', '.join(names[:_SHOWN])}{more})"))
    return f"{len(transcripts)} clips: {', '.join(parts)}"


def _request(model: str, language: str | None, task: str, window_s: int) -> tuple[checkpoints.Checkpoint, dict]:
    """Return the checkpoint, and all that decides the transcript of a recording."""
    checkpoints.check(language, task)
    if type(window_s) is not int or not 2 <= window_s <= decoding.WINDOW_S:
        raise SerError(f"a window of {window_s!r} s; expected a whole number from 2 to {decoding.WINDOW_S}")
    checkpoint = checkpoints.find(model)
    identity = {"model": checkpoint.label, "weights": checkpoint.sha256, "language": language, "task": task}
    return checkpoint, identity | {"decoding": decoding.options(window_s)}


def _location(corpus: str, identity: dict) -> Path:
    """Return where the transcripts of a corpus are kept: in the cache, since not all may be redistributed."""
    window = "" if (s := identity["decoding"].get("window_s")) is None else f".{s}s"
    name = f"{corpus}.{identity['model']}.{identity['language'] or 'auto'}.{identity['task']}{window}.parquet"
    return paths.cache() / "transcripts" / name


def _stored(path: Path, identity: dict, clips: pd.DataFrame) -> tuple[pd.DataFrame, dict]:
    """Return a table of transcripts and its facts, or raise a SerError if it is not of these clips and options."""
    again = "transcribe the corpus, with its audio"
    if not path.is_file():
        raise SerError(f"{path}: no transcripts there; {again}")
    facts = files.read_metadata(path)
    for name, present in (identity | {"clips_key": clips_key(clips)}).items():
        if (stored := facts.get(name)) != present:
            raise SerError(f"{path}: made with {name} {stored}, now {present}; {again} again")
    return files.read_parquet(path, index="clip"), facts


def _with_files(corpus: str, batches: list[pd.DataFrame], folder: Path | None) -> list[pd.DataFrame]:
    """Return the batches with the recording of every clip, or raise a SerError for all that are not there."""
    if not batches:
        return []
    folder = corpora.folder_of(corpus, folder)
    found, problems = [], []
    for batch in batches:
        files = []
        for _, clip in batch.iterrows():
            try:
                files.append(corpora.audio_path(clip, folder))
            except SerError as error:
                problems.append(str(error))
        if not problems:
            found.append(batch[["path", "sha256"]].assign(file=files))
    _raise(corpus, problems)
    return found


def _raise(corpus: str, problems: list[str]) -> None:
    """Raise a SerError with the problems, if there are any."""
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise SerError(f"{corpus}: {'; '.join(problems[:_SHOWN])}{more}")
