"""Where converted weights lie, and how they are read: as they were published, or not at all."""

import functools
import os
from pathlib import Path

from ser_core import paths
from ser_core.errors import SerError
from ser_core.systems.weights import known
from ser_core.systems.weights.tensors import Tensors, digest, read_safetensors

FILE = "model.safetensors"


def own_folder() -> Path:
    """Return the folder of the weights that this package fetched, in the cache."""
    return paths.cache() / "weights"


def find(name: str) -> Path | None:
    """Return the folder with converted weights, which are not looked into, or None if there is none.

    Args:
        name: Name of known weights. ``$SER_WEIGHTS/<name>`` comes before ``<name>`` in `own_folder`; a working folder
            also has those that the clone has.

    Raises:
        SerError: If none of this name are known.
    """
    known.get(name)
    files = [Path(root) / name / FILE] if (root := os.environ.get("SER_WEIGHTS")) else []
    files.append(paths.stored(own_folder() / name / FILE))
    return next((file.parent for file in files if file.is_file()), None)


def folder(name: str) -> Path:
    """Return the folder with converted weights; of Whisper's, transformers and whisper can load it.

    Args:
        name: Name of known weights.

    Raises:
        SerError: If they are not there, or are not those that are known.
    """
    found = find(name)
    if found is None:
        raise SerError(f"{name}: the weights are not there; get them by: ser weights get {name}")
    file = found / FILE
    _check(file, file.stat().st_mtime_ns, name)
    return found


def load(name: str) -> Tensors:
    """Return the tensors of known weights by their own names, those of Whisper's by transformers'.

    Args:
        name: Name of known weights.

    Raises:
        SerError: As `folder`.
    """
    return read(folder(name) / FILE)


def read(file: Path) -> Tensors:
    """Return the tensors of a converted file, without the prefix that transformers' files have."""
    return {name.removeprefix("model."): values for name, values in read_safetensors(file).items()}


@functools.lru_cache(maxsize=16)
def _check(file: Path, changed: int, name: str) -> None:
    """Raise a SerError if a file's tensors are not those that are known; once for each file and time of change."""
    found, expected = digest(read(file)), known.get(name).digest
    if found != expected:
        raise SerError(
            f"{file}: the digest of its tensors is {found[:12]}, expected {expected[:12]}; delete the folder and get "
            f"them again by: ser weights get {name}"
        )
