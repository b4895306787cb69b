"""Where the clone, the committed results, the cache and the recordings are."""

import os
from pathlib import Path


def repository() -> Path:
    """Return the folder of the clone, the parent of the ``ser_core`` package."""
    return Path(__file__).resolve().parent.parent


def results() -> Path:
    """Return the folder of the committed stores; ``SER_RESULTS`` moves it."""
    return Path(os.environ.get("SER_RESULTS") or repository() / "results")


def cache() -> Path:
    """Return the folder for what may not or need not be committed; ``SER_CACHE`` moves it."""
    return Path(os.environ.get("SER_CACHE") or repository() / ".cache")


def data_folder(corpus: str) -> Path | None:
    """Return ``$SER_DATA/<corpus>`` if the variable is set and the folder exists, else None."""
    root = os.environ.get("SER_DATA")
    folder = Path(root) / corpus if root else None
    return folder if folder and folder.is_dir() else None
