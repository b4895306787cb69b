"""Urdu-Sindhi (Syed et al. 2020): ready-made feature vectors, one ``.mat`` file a clip; no audio and no speakers.

Layout of the release: ``Feats - <Language>/<Set> funcs/Matfiles/<Emotion>_<NNNN>.mat``. It names no speaker,
sentence or session, so it cannot be a Clips table with groups, and no speaker-independent score can come from it.
"""

import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from ser_core.errors import SerError

NAME = "urdu_sindhi"
LANGUAGES = ("Urdu", "Sindhi")
SETS = ("eGeMAPS", "ComParE", "IS09Emotion", "IS10Paraling", "Prosody")
HOW_TO_GET = "Zenodo record 3685274 (CC BY 4.0): unpack both archives into one folder"


def read(folder: Path, language: str, feature_set: str) -> tuple[pd.DataFrame, pd.Series]:
    """Read one feature set of one language.

    The files name their variable differently in each set; the largest numeric array of a file is its vector.

    Args:
        folder: Folder with ``Feats - Urdu`` and ``Feats - Sindhi``.
        language: One of `LANGUAGES`.
        feature_set: One of `SETS`.

    Returns:
        Features of shape (n_clips, n_features) and the emotion of each clip in lower case, indexed by file name
        without ending, sorted.

    Raises:
        SerError: If the language or set is unknown, the folder is not there or empty, a file cannot be read, or
            vectors differ in length; the message names the file.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    damaged = (MatReadError, ValueError, NotImplementedError, OSError, LookupError, TypeError, zlib.error, MemoryError)

    if language not in LANGUAGES or feature_set not in SETS:
        raise SerError(f"no '{feature_set}' of '{language}'; there are {list(SETS)} of {list(LANGUAGES)}")
    place = Path(folder) / f"Feats - {language}" / f"{feature_set} funcs" / "Matfiles"
    files = sorted(place.glob("*.mat"))
    if not files:
        raise SerError(f"{place}: no .mat files; to get the corpus: {HOW_TO_GET}")
    vectors = {}
    for path in files:
        try:
            content = loadmat(path)
        except damaged as error:
            raise SerError(f"{path}: not a readable .mat file ({error})") from error
        arrays = [array for array in content.values() if isinstance(array, np.ndarray) and array.dtype.kind in "fiu"]
        if not arrays:
            raise SerError(f"{path}: holds no numeric array; expected one feature vector")
        vectors[path.stem] = max(arrays, key=lambda array: array.size).ravel().astype("float64")
        if not np.isfinite(vectors[path.stem]).all():
            raise SerError(f"{path}: holds values that are not finite numbers; fetch it again")
    lengths = pd.Series({name: len(vector) for name, vector in vectors.items()})
    usual = lengths.mode()[0]
    if odd := lengths[lengths != usual].to_dict():
        raise SerError(f"{place}: vectors differ in length: {odd} against {usual} of the others; remove or mend them")
    table = pd.DataFrame.from_dict(vectors, orient="index").rename_axis("clip")
    return table, table.index.to_series().str.partition("_")[0].str.lower().rename("emotion")
