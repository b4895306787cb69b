"""The store of features: where a file is, what it must agree with, and how it is read."""

from pathlib import Path

import numpy as np
import pandas as pd

from ser_core import files, paths
from ser_core.data import corpora
from ser_core.errors import SerError
from ser_core.systems.features import texts
from ser_core.systems.features.extractors import Extractor, columns, get, whole_of


def location(corpus: str, extractor: str) -> Path:
    """Return where the features of a corpus are kept.

    ``results/features`` if the corpus is your own, or its terms allow its features to be passed on, and the set is
    small enough to commit; the cache otherwise. Those of one layer are in the file of all layers.

    Raises:
        SerError: If there is no such feature set, or the corpus is a union, which has no file of its own.
    """
    return paths.stored(_target(corpus, extractor))


def _target(corpus: str, extractor: str) -> Path:
    """Return where the features of a corpus are written."""
    if len(names := corpora.parts(corpus)) > 1:
        raise SerError(f"{corpus} has no features of its own; make '{extractor}' for each of {', '.join(names)}")
    spec, own = get(whole_of(extractor)), corpora.own.is_here(corpus)
    kept = own or corpus in corpora.NAMES and corpora.info(corpus).redistribute_features
    root = paths.results() if kept and spec.committed else paths.cache()
    return root / "features" / f"{corpus}.{spec.name}.parquet"


def clips_key(clips: pd.DataFrame) -> str:
    """Return 16 hex digits of the ids and audio hashes of a Clips table."""
    hashes = clips["sha256"].sort_index()
    return files.digest([[clip, None if pd.isna(sha256) else sha256] for clip, sha256 in hashes.items()])


def load(corpus: str, extractor: str, clips: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the stored features of a corpus; or what is said in its clips, which is not stored.

    Args:
        corpus: Name of the corpus, or of a union, whose features are those of its parts.
        extractor: Name of the feature set, one of `EXTRACTORS`, a layer of one (`whole_of`), or one of
            `ser_core.systems.features.texts.WORDS`.
        clips: The whole Clips table of the corpus, for one of your own; the committed one if not given.

    Returns:
        float32 of shape (n_clips, n_features), indexed and sorted by clip; of words one column of texts, see
        `ser_core.systems.features.texts.words`.

    Raises:
        SerError: If there is no file, or it is truncated, or made with other parameters or from other clips
            than the present ones, or a value is NaN or infinite; the message says both sides and the command.
    """
    if len(names := corpora.parts(corpus)) > 1:
        table = pd.concat([load(name, extractor) for name in names]).sort_index()
        if extractor not in texts.WORDS:
            check_values(table, f"{corpus}.{extractor}")  # NaN where one part has a column that another lacks
        return table
    if extractor in texts.WORDS:
        return texts.words(corpus, extractor, clips)
    spec = get(whole_of(extractor))
    clips = corpora.table(corpus) if clips is None else clips
    path = location(corpus, extractor)
    again = f"ser features {corpus} {spec.name}"
    if not path.is_file():
        raise SerError(f"{corpus} has no '{spec.name}' features ({path}); make them, with the audio, by: {again}")
    # Of one layer of several, its columns alone: a seventh of what is stored of Whisper base.
    part = None if extractor == spec.name else columns(extractor)
    table = files.read_parquet(path, index="clip", columns=part)
    metadata = files.read_metadata(path)
    for name, present in (spec.identity | {"clips_key": clips_key(clips)}).items():
        if (stored := metadata.get(name)) != present:
            raise SerError(
                f"{path}: made with {name} {_difference(stored, present)}, now {_difference(present, stored)}; "
                f"make it again by: {again}"
            )
    if not table.index.equals(clips.sort_index().index):
        raise SerError(f"{path}: its {len(table)} clips are not the {len(clips)} of the Clips table; again: {again}")
    stored = [name for name in files.read_columns(path) if name != "clip"]
    if not spec.has(stored):
        odd = sorted(set(stored) ^ set(spec.columns)) or "in another order"
        raise SerError(f"{path}: its {len(stored)} columns are not '{spec.name}': {odd}; again: {again}")
    if odd := [name for name, kind in table.dtypes.items() if kind.kind not in "fiu"]:
        raise SerError(f"{path}: its column '{odd[0]}' holds no numbers; make it again by: {again}")
    check_values(table, str(path))
    return table.astype("float32")


def save(table: pd.DataFrame, corpus: str, spec: Extractor, clips: pd.DataFrame, **facts: object) -> Path:
    """Write the features of a corpus into the store, whole or not at all.

    Args:
        table: Shape (n_clips, n_features), indexed by clip; NaN only where the set may be undefined.
        corpus: Name of the corpus.
        spec: The extractor.
        clips: The corpus's Clips table.
        facts: Recorded with the values, such as the versions of the packages.

    Returns:
        The file.
    """
    path = _target(corpus, spec.name)
    undefined = {
        name: table.index[table[name].isna()].tolist() for name in spec.may_be_undefined if table[name].isna().any()
    }
    for name in undefined:
        table = table.assign(**{name: table[name].fillna(spec.parameters["undefined"])})
    with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinite, and is refused below
        table = table.astype(spec.stored).rename_axis("clip").sort_index()
    check_values(table, f"{corpus}.{spec.name}")
    metadata = {**spec.identity, "clips_key": clips_key(clips), "undefined": undefined, **facts}
    files.write_parquet(table, path, metadata)
    return path


def check_values(table: pd.DataFrame, where: str) -> None:
    """Raise a SerError that names the first clip and column whose value is NaN or infinite."""
    rows, columns = np.nonzero(~np.isfinite(table.to_numpy()))
    if len(rows):
        value = table.iat[rows[0], columns[0]]
        raise SerError(
            f"{where}: clip '{table.index[rows[0]]}' has {value} in column '{table.columns[columns[0]]}' "
            f"({len(rows)} such values); expected finite numbers"
        )


def _difference(one: object, other: object) -> object:
    """Return what of a dict differs from another; anything else as it is."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: value for key, value in one.items() if key not in other or other[key] != value}
    return one
