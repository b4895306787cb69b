"""How a stranger verifies a bundle without a network: bytes, schemas, and scores computed again from predictions."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from ser_core import files
from ser_core.book.release import archive, crates, scores
from ser_core.errors import SerError

_NEEDED = (archive.SUMS, crates.CRATE, scores.PATH, "html/index.html", "CITATION.cff", "LICENSE", "requirements.lock")


def verify(path: Path, *, chapters: bool = False) -> list[str]:
    """Return what is wrong with a bundle.

    Args:
        path: The zip file, of anybody.
        chapters: Whether to execute every chapter again, too, by the bundle's own code.

    Returns:
        A line for each mistake, with the name of the file; empty if there is none.

    Raises:
        SerError: If it is no bundle at all.
    """
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "bundle"
        root.mkdir()
        # If a byte was changed, what the files say is not worth reading.
        if wrong := archive.unpack(Path(path), root):
            return wrong
        if not (root / archive.SUMS).is_file():
            raise SerError(f"{path}: no {archive.SUMS} in it, so it is no bundle; bundles are made by: make release")
        if wrong := list(_sums(root)):
            return wrong
        wrong = [f"{name}: is missing" for name in _NEEDED if not (root / name).is_file()]
        wrong += [*_crate(root), *_croissants(root), *_scores(root)]
        if chapters and not wrong:
            wrong += _chapters(root)
        return wrong


def _sums(root: Path) -> Iterator[str]:
    """Hold every file against the list of checksums."""
    lines = (root / archive.SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    here = {file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()} - {archive.SUMS}
    if len(listed) < len(lines) or "" in listed:
        yield f"{archive.SUMS}: a line is not a checksum and a name, or a name stands twice"
    for name in sorted(here | set(listed)):
        if name not in here:
            yield f"{name}: is missing"
        elif name not in listed:
            yield f"{name}: is not listed in {archive.SUMS}"
        elif files.sha256(root / name) != listed[name]:
            yield f"{name}: was changed"


def _json(root: Path, name: str) -> dict:
    try:
        found = json.loads((root / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SerError(f"{name}: not readable as JSON ({error})") from error
    if not isinstance(found, dict):
        raise SerError(f"{name}: expected a JSON object")
    return found


def _crate(root: Path) -> Iterator[str]:
    """Hold the RO-Crate against its schema and against the files that it describes."""
    try:
        graph = _json(root, crates.CRATE).get("@graph")
        entities = {one["@id"]: one for one in graph}
        version = entities[crates.CRATE]["conformsTo"]["@id"]
        profile = entities["./"]["conformsTo"]["@id"]
    except (SerError, KeyError, TypeError) as error:
        yield f"{crates.CRATE}: not an RO-Crate ({error})"
        return
    if version != "https://w3id.org/ro/crate/1.2" or profile != crates.PROFILE:
        yield f"{crates.CRATE}: conforms to {version} and {profile}, expected RO-Crate 1.2 and {crates.PROFILE}"
    for name, entity in entities.items():
        kinds = entity.get("@type", ())
        if "File" in ([kinds] if isinstance(kinds, str) else kinds):
            path = root / unquote(name)  # an @id is a URI, in which "+" is "%2B"
            if not path.is_file():
                yield f"{crates.CRATE}: describes {name}, which is missing"
            elif files.sha256(path) != entity.get("sha256"):
                yield f"{crates.CRATE}: another checksum of {name}"
        if entity.get("@type") == "CreateAction" and not (entity.get("instrument") and entity.get("result")):
            yield f"{crates.CRATE}: {name} has no instrument or no result"
    for name, entity in entities.items():
        values = [one for value in entity.values() for one in (value if isinstance(value, list) else [value])]
        for reference in sorted({one["@id"] for one in values if isinstance(one, dict) and "@id" in one}):
            if reference not in entities and not reference.startswith("http"):
                yield f"{crates.CRATE}: {name} refers to {reference}, which is not described"


def _croissants(root: Path) -> Iterator[str]:
    """Hold each Croissant against the table that it describes: place, checksum, columns."""
    tables = {path.stem for path in (root / "results" / "clips").glob("*.parquet")}
    for name in sorted(tables | {path.stem for path in (root / "croissant").glob("*.json")}):
        place = f"croissant/{name}.json"
        try:
            found = _json(root, place)
            (file,) = found["distribution"]
            table = root / "croissant" / file["contentUrl"]
            columns = [field["source"]["extract"]["column"] for field in found["recordSet"][0]["field"]]
            if files.sha256(table) != file["sha256"]:
                yield f"{place}: another checksum of {file['contentUrl']}"
            elif columns != list(files.read_parquet(table)):
                yield f"{place}: other columns than those of {file['contentUrl']}"
        except (SerError, OSError, KeyError, TypeError, ValueError, IndexError) as error:
            yield f"{place}: not a description of the table {name}.parquet ({error})"


def _scores(root: Path) -> Iterator[str]:
    """Read every table of predictions by its schema, and compute the table of scores again."""
    try:
        again = scores.table(root / "results").splitlines()
    except SerError as error:
        yield str(error).replace(f"{root}/", "")
        return
    before = (root / scores.PATH).read_text(encoding="utf-8").splitlines() if (root / scores.PATH).is_file() else []
    wrong = sorted(set(before) ^ set(again))
    if before != again:
        where = wrong[0].split(",")[0] if wrong else "in another order"
        yield f"{scores.PATH}: {len(wrong)} lines differ from what the predictions give, such as {where}"


def _chapters(root: Path) -> Iterator[str]:
    """Execute the chapters by the code and from the results of the bundle, and compare every output."""
    import nbformat

    # Neither recordings nor another folder of results: what is not in the bundle may not matter.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SER_")}
    environment |= {"PYTHONPATH": str(root), "SER_CACHE": str(root.parent / "cache")}
    for text in sorted((root / "notebooks").glob("[0-9]*.md")):
        name = f"executed/{text.stem}.ipynb"
        line = [sys.executable, "-m", "ser_core.book.chapters", "run", str(text), "-o", str(root.parent / "again")]
        done = subprocess.run(line, capture_output=True, text=True, cwd=root, env=environment)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["failed"])[-1].replace(f"{root}/", "")
            yield f"{name}: cannot be executed again: {said}"
            continue
        again = nbformat.read(root.parent / "again" / f"{text.stem}.ipynb", as_version=4).cells
        before = nbformat.read(root / name, as_version=4).cells
        for number, (one, other) in enumerate(zip(before, again, strict=False), start=1):
            if (one.source, one.get("outputs")) != (other.source, other.get("outputs")):
                yield f"{name}: cell {number} gives another output: {(one.source.splitlines() or [''])[0]}"
        if len(before) != len(again):
            yield f"{name}: {len(before)} cells, {len(again)} when executed again"
