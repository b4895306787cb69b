"""The Punjabi corpus's features: published as a table of 31 values a clip, without audio."""

from pathlib import Path

import pandas as pd

from ser_core import files
from ser_core.data import corpora
from ser_core.errors import SerError
from ser_core.files import csvfile
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
    table = csvfile.read(source, ("relative_path",))
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
    numbers = table.apply(pd.to_numeric, errors="coerce")
    if (broken := numbers.isna() & table.notna()).any(axis=None):
        clip, column = broken.stack().idxmax()
        raise SerError(f"{source}: {table.at[clip, column]!r} of clip '{clip}', column '{column}', is no number")
    table = numbers
    digest = files.sha256(source)
    return tables.save(table, CORPUS, spec, clips, packages={}, imported_from=FILE, imported_sha256=digest)


def is_current(stored: Path, folder: Path | None = None) -> bool:
    """Return whether stored features are those of the published table that is here; also if there is none here.

    Args:
        stored: The file in the store.
        folder: As for `import_punjabi`.
    """
    try:
        source = corpora.folder_of(CORPUS, folder) / FILE
    except SerError:
        return True
    return not source.is_file() or files.read_metadata(stored).get("imported_sha256") == files.sha256(source)
