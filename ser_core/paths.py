"""Where the working folder, its results, the cache and the recordings are."""

import hashlib
import os
from pathlib import Path


def repository() -> Path:
    """Return the folder of the clone, the parent of the ``ser_core`` package."""
    return Path(__file__).resolve().parent.parent


def working() -> Path | None:
    """Return the working folder: the nearest of this folder and its parents with ``experiments/`` and ``results/``.

    Elsewhere it is the clone; None where the package was installed without one.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, repository()):
        if (folder / "experiments").is_dir() and (folder / "results").is_dir():
            return folder
    return None


def results() -> Path:
    """Return the folder of the stores of the working folder; ``SER_RESULTS`` moves it."""
    return Path(os.environ.get("SER_RESULTS") or (working() or Path.cwd()) / "results")


def cache() -> Path:
    """Return the folder for what may not or need not be committed; ``SER_CACHE`` moves it."""
    if named := os.environ.get("SER_CACHE"):
        return Path(named)
    folder = working()
    return folder / ".cache" if folder else Path.home() / ".cache" / "ser_core"


def stored(path: Path) -> Path:
    """Return where a file of the results or the cache is read from: there, or else from the clone if that has it.

    So a working folder of one's own reads what is committed for the book's corpora. What ``SER_RESULTS`` or
    ``SER_CACHE`` moves is read from there alone.

    Args:
        path: A path below `results` or `cache`.
    """
    for variable, root, name in (("SER_RESULTS", results(), "results"), ("SER_CACHE", cache(), ".cache")):
        if not os.environ.get(variable) and not path.exists() and path.is_relative_to(root):
            shared = repository() / name / path.relative_to(root)
            return shared if shared.exists() else path
    return path


def data_folder(corpus: str) -> Path | None:
    """Return ``$SER_DATA/<corpus>`` if the variable is set and the folder exists, else None."""
    root = os.environ.get("SER_DATA")
    folder = Path(root) / corpus if root else None
    return folder if folder and folder.is_dir() else None


def package_hash() -> str:
    """Return 8 hex digits that change when any source file of the package does.

    Returns:
        The start of a sha256, the same on every machine.
    """
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:8]
