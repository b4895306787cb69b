"""The Punjabi corpus's features: published as a table of 31 values a clip, without audio."""

import hashlib
from pathlib import Path

import pandas as pd

from ser_core.data import corpora
from ser_core.errors import SerError
from ser_core.systems.features import tables
from ser_core.systems.features.extractors import get

CORPUS = "punjabi_elc"
EXTRACTOR = "praat31"
FILE = "feature_ext_output_cleaned.csv"


def import_punjabi(*, folder: Path | None = None, clips: pd.DataFrame | None = None) -> Path:
    """Copy the published features of the Punjabi corpus into the store, as its ``praat31``.

    Its authors computed them; the columns have the same names as ours, and the values were not recomputed.
    They go to the cache and are not committed.

    Args:
        folder: Folder that holds ``feature_ext_output_cleaned.csv``; ``$SER_DATA/punjabi_elc`` if not given.
        clips: The Clips table; the committed one if not given.

    Returns:
        The file in the store.

    Raises:
        SerError: If the file is not there, lacks a column, has a clip twice, or lacks one of the Clips table.
    """
    spec = get(EXTRACTOR)
    clips = corpora.table(CORPUS) if clips is None else clips
    source = corpora.folder_of(CORPUS, folder) / FILE
    if not source.is_file():
        raise SerError(f"{source}: no such file; run `ser fetch {CORPUS}` for how to get it")
    table = pd.read_csv(source)
    if missing := [name for name in ("relative_path", *spec.columns) if name not in table]:
        raise SerError(f"{source}: no columns {missing}; it has {list(table.columns)}")
    paths = table["relative_path"].str.replace("\\", "/", regex=False).str.replace(r"\.\w+$", "", regex=True)
    table.index = f"{CORPUS}/" + paths
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise SerError(f"{source}: clip '{twice[0]}' is listed twice")
    if absent := clips.index.difference(table.index).tolist():
        raise SerError(f"{source}: no row for {len(absent)} clips of the Clips table, the first is '{absent[0]}'")
    table = table.loc[clips.index, list(spec.columns)]
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return tables.save(table, CORPUS, spec, clips, packages={}, imported_from=FILE, imported_sha256=digest)
