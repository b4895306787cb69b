"""The checksums of the committed results: one list in the format of sha256sum, by which a changed byte is noticed."""

import sys
from pathlib import Path

from ser_core import files, paths
from ser_core.errors import SerError

FILE = "SHA256SUMS"
# Lines are appended to the record of verifications; that none is changed is seen in the history of the repository.
_APPENDED = "verified.jsonl"


def sums(root: Path | None = None) -> dict[str, str]:
    """Return the sha256 of every file of the results by its path below them, sorted.

    Args:
        root: The folder; `ser_core.paths.results` if None.

    Raises:
        SerError: If the folder is not there, or a file is a link, or of a name that a line cannot hold.
    """
    root = root or paths.results()
    if not root.is_dir():
        raise SerError(f"{root}: no such folder")
    inside = (path for path in root.rglob("*") if ".parts" not in path.parts and not path.name.startswith("."))
    names = sorted(path.relative_to(root).as_posix() for path in inside if path.is_symlink() or not path.is_dir())
    for name in names:
        if (root / name).is_symlink() or not name.isprintable() or "\\" in name:
            raise SerError(f"{root}: {name!r} is a link, or a name of other than plain characters; rename or delete it")
    return {name: files.sha256(root / name) for name in names if name not in (FILE, _APPENDED)}


def write(root: Path | None = None) -> Path:
    """Write the list of the results as they are.

    Returns:
        Its path. ``sha256sum --check SHA256SUMS`` in that folder checks it without this package.
    """
    root = root or paths.results()
    lines = [f"{digest}  {name}\n" for name, digest in sums(root).items()]
    with files.replacing(root / FILE) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    return root / FILE


def check(root: Path | None = None) -> int:
    """Hold every file of the results against the list.

    Returns:
        How many files there are.

    Raises:
        SerError: If there is no list, or a file was changed, is missing, or is not in it; all of them are named.
    """
    root = root or paths.results()
    path = root / FILE
    if not path.is_file():
        raise SerError(f"{path}: no such file; write it with: make checksums")
    pairs = [line.partition("  ")[::2] for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    listed, here = {name: digest for digest, name in pairs}, sums(root)
    if len(listed) < len(pairs) or "" in listed:
        raise SerError(f"{path}: a line is not a checksum and a name, or a name stands twice; use: make checksums")
    wrong = [f"{name} was changed" for name in listed if name in here and here[name] != listed[name]]
    wrong += [f"{name} is missing" for name in listed if name not in here]
    wrong += [f"{name} is not listed" for name in here if name not in listed]
    if wrong:
        more = f", and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise SerError(f"{root}: {', '.join(wrong[:5])}{more}; if that was meant, list the files by: make checksums")
    return len(here)


if __name__ == "__main__":
    try:
        print(write() if sys.argv[1:] == ["write"] else f"{check()} files are as listed")
    except SerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
