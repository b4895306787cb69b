"""Extraction: from a corpus's recordings to its file in the store, on all cores, going on where it was stopped."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from ser_core import files, paths
from ser_core.data import audio, corpora
from ser_core.errors import RefusalError, SerError
from ser_core.systems import workers
from ser_core.systems.features import punjabi, tables, texts
from ser_core.systems.features.extractors import Extractor, get, whole_of

CHUNK = 32
_SHOWN = 10


def refusal(corpus: str, extractor: str) -> str | None:
    """Return why a corpus cannot have a feature set, or None: without recordings there is only what was published.

    Args:
        corpus: Name of the corpus or of a union.
        extractor: Name of the feature set, of `EXTRACTORS` or `WORDS`.

    Examples:
        >>> refusal("meld", "egemaps")
        "meld has no recordings to compute 'egemaps' from"
    """
    if len(names := corpora.parts(corpus)) > 1:
        return next(filter(None, (refusal(name, extractor) for name in names)), None)
    if not corpora.is_known(corpus):
        return None
    if extractor in texts.WORDS | texts.SENTENCES:
        try:
            return texts.refusal(corpus, extractor, corpora.table(corpus))
        except RefusalError as error:
            return str(error)
    if corpora.info(corpus).has_audio or (corpus, extractor) == (punjabi.CORPUS, punjabi.EXTRACTOR):
        return None
    only = f"; it comes with '{punjabi.EXTRACTOR}' only" if corpus == punjabi.CORPUS else ""
    return f"{corpus} has no recordings to compute '{extractor}' from{only}"


def extract(
    corpus: str,
    extractor: str,
    *,
    folder: Path | None = None,
    clips: pd.DataFrame | None = None,
    jobs: int = -1,
    progress: bool = True,
) -> Path:
    """Compute a feature set for every clip of a corpus and keep it in the store.

    Every finished chunk of clips is kept in the cache until the whole is written, so that a run that was
    killed goes on, and ends with the same bytes as one that was not. A file that is there and agrees with the
    present clips and parameters is left as it is.

    Args:
        corpus: Name of the corpus.
        extractor: Name of the feature set, one of `EXTRACTORS`; for a layer of one all layers are computed.
        folder: Folder of the corpus's recordings; ``$SER_DATA/<corpus>`` if not given.
        clips: The Clips table, for a corpus of your own; the committed one if not given.
        jobs: joblib processes; -1 is one per core.
        progress: Show a progress bar.

    Returns:
        The file that was written or is up to date.

    Raises:
        SerError: If the corpus has no audio, its folder or the weights of the set are not there, or for clips that are
            missing, undecodable, other recordings than the Clips table's, or give a NaN; it names them. Of a set that
            reads, see `ser_core.systems.features.texts`: if the corpus does not say what is said.
    """
    extractor = whole_of(extractor)
    spec = get(extractor)
    clips = (corpora.table(corpus) if clips is None else clips).sort_index()
    if extractor in texts.SENTENCES:
        return _encode(corpus, spec, clips, folder, progress)
    try:
        tables.load(corpus, extractor, clips)
        if corpus != punjabi.CORPUS or punjabi.is_current(tables.location(corpus, extractor), folder):
            if _partial(corpus, extractor):
                with files.alone(f"features {corpus} {extractor}"):
                    _forget(corpus, extractor)
            return tables.location(corpus, extractor)
    except SerError:
        pass  # not there, or not as it should be: make it
    if reason := refusal(corpus, extractor):
        raise SerError(reason)
    if corpus == punjabi.CORPUS:
        return punjabi.import_punjabi(folder=folder, clips=clips)
    folder = corpora.folder_of(corpus, folder)
    if spec.ready:
        spec.ready()
    unhashed = clips.index[clips["sha256"].isna() | clips["path"].isna()]
    if len(unhashed):
        raise SerError(f"{corpus}: clip '{unhashed[0]}' has no path or no sha256 in the Clips table; read it again")
    recordings = clips[["path", "sha256"]].assign(file=_recordings(corpus, extractor, clips, folder))

    with files.alone(f"features {corpus} {extractor}"):
        try:
            tables.load(corpus, extractor, clips)  # another process may have made it meanwhile
            return tables.location(corpus, extractor)
        except SerError:
            return _make(corpus, spec, clips, recordings, jobs, progress)


def _make(
    corpus: str, spec: Extractor, clips: pd.DataFrame, recordings: pd.DataFrame, jobs: int, progress: bool
) -> Path:
    """Compute a feature set that is not there, chunk by chunk."""
    extractor = spec.name
    versions = spec.package_versions
    key = files.digest(corpus, spec.identity, versions, tables.clips_key(clips), CHUNK)
    partial = paths.cache() / "partial" / f"{corpus}.{extractor}.{key}"
    starts = range(0, len(clips), CHUNK)
    chunks = {f"{start:06}.parquet": recordings.iloc[start : start + CHUNK] for start in starts}
    problems: list[str] = []
    bar = tqdm(total=len(clips), desc=f"{corpus} {extractor}", unit="clip", disable=not progress)
    with bar, workers.pool(jobs):
        todo = {name: chunk for name, chunk in chunks.items() if not (partial / name).is_file()}
        bar.update(len(clips) - sum(map(len, todo.values())))
        for name, table, found in _compute(spec, todo):
            problems += found
            if not found:
                files.write_parquet(table, partial / name)
            bar.update(len(chunks[name]))
    _raise(corpus, extractor, problems)
    table = pd.concat([files.read_parquet(partial / name, index="clip") for name in chunks])
    path = tables.save(table, corpus, spec, clips, packages=versions)
    _forget(corpus, extractor)
    return path


def _partial(corpus: str, extractor: str) -> list[Path]:
    """Return the folders of chunks of a feature set, also those that other parameters or clips left behind."""
    return list((paths.cache() / "partial").glob(f"{corpus}.{extractor}.*"))


def _forget(corpus: str, extractor: str) -> None:
    """Remove the chunks of a feature set that is whole; a kill may have come before it."""
    for left in _partial(corpus, extractor):
        shutil.rmtree(left, ignore_errors=True)


def _encode(corpus: str, spec: Extractor, clips: pd.DataFrame, folder: Path | None, progress: bool) -> Path:
    """Encode what is said in every clip, unless that is done and the words are still the same."""
    turns = texts.turns(corpus, spec.name, clips=clips, folder=folder)
    said, path = files.digest(turns), tables.location(corpus, spec.name)
    try:
        tables.load(corpus, spec.name, clips)
        if files.read_metadata(path).get("texts") == said:
            return path
    except SerError:
        pass  # not there, or not as it should be: make it
    values = spec.function(list(turns.values()), progress=progress)
    table = pd.DataFrame(values, index=list(turns), columns=list(spec.columns))
    return tables.save(table, corpus, spec, clips, packages=spec.package_versions, texts=said)


def _recordings(corpus: str, extractor: str, clips: pd.DataFrame, folder: Path) -> list[Path]:
    """Return the recording of every clip, or raise a SerError for all that are not there."""
    found, problems = [], []
    for _, clip in clips.iterrows():
        try:
            found.append(corpora.audio_path(clip, folder).absolute())  # workers of a cluster may be in other folders
        except SerError as error:
            problems.append(str(error))
    _raise(corpus, extractor, problems)
    return found


def _raise(corpus: str, extractor: str, problems: list[str]) -> None:
    """Raise a SerError with the problems, if there are any."""
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise SerError(f"{corpus} {extractor}: {'; '.join(sorted(problems)[:_SHOWN])}{more}")


def _compute(spec: Extractor, chunks: dict[str, pd.DataFrame]) -> Iterator[tuple[str, pd.DataFrame, list[str]]]:
    """Yield each chunk's name, features and problems, as they are finished."""
    # As a dict, not as a table: joblib would put tables on single workers of a Dask cluster, where they may be lost.
    tasks = (joblib.delayed(_chunk)(name, chunk.to_dict("index"), spec) for name, chunk in chunks.items())
    return joblib.Parallel(return_as="generator_unordered")(tasks)


def _chunk(name: str, recordings: dict[str, dict], spec: Extractor) -> tuple[str, pd.DataFrame, list[str]]:
    """Return the features of some recordings, and a line for each that could not be done."""
    from threadpoolctl import threadpool_limits

    read, values, problems = {}, {}, []
    with threadpool_limits(limits=1):  # one order of summation, however many cores there are
        for clip, recording in recordings.items():
            with _noting(clip, problems):
                read[clip] = _samples(recording)
        if spec.together and read:
            with _noting(f"{len(read)} clips from {next(iter(read))} on", problems):
                for clip, row in zip(read, spec.function(list(read.values())), strict=True):
                    values[clip] = dict(zip(spec.columns, row, strict=True))
        else:
            for clip, (samples, rate) in read.items():
                with _noting(clip, problems):
                    values[clip] = spec.function(samples, rate)
    for clip, row in values.items():
        with _noting(clip, problems):
            _check(row, spec, *read[clip])
    return name, pd.DataFrame.from_dict(values, orient="index", dtype="float32").rename_axis("clip"), problems


@contextlib.contextmanager
def _noting(what: str, problems: list[str]) -> Iterator[None]:
    """Note any failure with what failed; all are raised together at the end."""
    try:
        yield
    except Exception as error:
        text = str(error) if isinstance(error, SerError) else f"{type(error).__name__}: {error}"
        problems.append(f"{what}: {' '.join(text.split())}")


def _samples(recording: dict) -> tuple[np.ndarray, int]:
    """Return the samples and the rate of one recording."""
    samples, rate = audio.read(recording["file"])
    if (found := audio.content_hash(samples, rate)) != recording["sha256"]:
        raise SerError(
            f"{recording['file']} is another recording (sha256 {found[:12]}) than the Clips table's "
            f"{recording['path']} ({recording['sha256'][:12]})"
        )
    return samples, rate


def _check(values: dict[str, float], spec: Extractor, samples: np.ndarray, rate: int) -> None:
    """Raise a SerError for a value that is no number, where it must be one."""
    for column, value in values.items():
        if not np.isfinite(value) and not (np.isnan(value) and column in spec.may_be_undefined):
            raise SerError(f"'{column}' is {value}; the clip lasts {len(samples) / rate:.3f} s")
