"""Tables of other tools, as they come: JSON lines, parquet in parts, and the folders of Hugging Face's ``datasets``."""

import json
import sys
import tempfile
from pathlib import Path

import pandas as pd

from ser_core import files
from ser_core.errors import SerError
from ser_core.files import csvfile

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
STDIN = "-"


def read(source: Path | str) -> pd.DataFrame:
    """Read a table in any of the forms that are known; text stays text.

    Args:
        source: A file whose name ends as one of `SUFFIXES`; a folder of parquet parts, or one that ``datasets`` saved;
            or ``-`` for CSV or JSON lines on standard input. Columns of CSV are divided by commas, semicolons or tabs.

    Returns:
        The table. Numbers that stand for classes are the names of these, where a dataset tells them.

    Raises:
        SerError: If it is not there or of no such form; the message says what is wrong with it.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.jsonl"
        >>> _ = path.write_text('{"clip": "a", "truth": "sad"}')
        >>> read(path).to_dict("records")
        [{'clip': 'a', 'truth': 'sad'}]
    """
    if str(source) == STDIN:
        return _standard_input()
    path = Path(source)
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise SerError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SerError(
            f"{path}: predictions are read from {', '.join(SUFFIXES)} files, from a folder of datasets, and from "
            f"standard input (-), not from '{path.suffix}'"
        )
    if suffix == ".parquet":
        return _named(files.read_parquet(path), _features_of_parquet(path))
    return _text(path)


def _standard_input() -> pd.DataFrame:
    with tempfile.NamedTemporaryFile(suffix=".csv") as kept:
        kept.write(sys.stdin.buffer.read())
        kept.flush()
        try:
            return _text(Path(kept.name))
        except SerError as error:
            raise SerError(str(error).replace(kept.name, "standard input")) from error


def _text(path: Path) -> pd.DataFrame:
    """Return the table of CSV or JSON, by how it begins."""
    data = path.read_bytes()
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        try:
            return _json(data.decode("utf-8-sig"), str(path))
        except UnicodeDecodeError as error:
            raise SerError(f"{path}: not valid JSON (it is no UTF-8: {error})") from error
    head = data.partition(b"\n")[0].decode("utf-8", errors="replace")
    divider = "," if "," in head else max(",;\t", key=head.count)
    return csvfile.read(path, divider=divider)


def _json(text: str, where: str) -> pd.DataFrame:
    """Return the table of a JSON list of objects, or of one object a line."""
    try:
        if text.lstrip().startswith("["):
            rows = json.loads(text, object_pairs_hook=_once)
        else:
            # Not by splitlines, which also divides at characters that JSON allows within a text.
            rows = [json.loads(line, object_pairs_hook=_once) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError) as error:
        raise SerError(f"{where}: not valid JSON ({error}); expected an object a line, or a list of objects") from error
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise SerError(f"{where}: expected an object a line, or a list of objects, with a value of each column")
    # As objects, or numbers of a column with a gap would become fractions.
    return pd.DataFrame(rows, dtype="object")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object of JSON; json would keep the last of two values of one name."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(
            f"the name '{next(name for name in names if names.count(name) > 1)}' stands twice in an object"
        )
    return found


def _folder(path: Path) -> pd.DataFrame:
    """Return the table of a folder of parts."""
    if (path / "dataset_dict.json").is_file():
        splits = sorted(part.name for part in path.iterdir() if part.is_dir())
        raise SerError(f"{path}: holds the splits {splits}; name one of them, as {path / (splits or ['test'])[0]}")
    parts = sorted(path.glob("*.parquet"))
    if parts:
        return pd.concat([_named(files.read_parquet(part), _features_of_parquet(part)) for part in parts])
    # What `map` and `filter` keep beside a dataset is not part of it.
    parts = sorted(part for part in path.glob("*.arrow") if not part.name.startswith("cache-"))
    if not parts:
        raise SerError(f"{path}: no .parquet and no .arrow file in this folder; expected parts of one table")
    import pyarrow as pa

    try:
        table = pa.concat_tables(pa.ipc.open_stream(pa.memory_map(str(part))).read_all() for part in parts)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(": ")
        raise SerError(f"{path}: not a readable dataset ({reason})") from error
    info = path / "dataset_info.json"
    features = _json_object(info).get("features") if info.is_file() else None
    return _named(table.to_pandas(), features)


def _features_of_parquet(path: Path) -> object:
    """Return what ``datasets`` noted of the columns of a parquet file."""
    import pyarrow.parquet as pq

    noted = (pq.read_schema(path).metadata or {}).get(b"huggingface", b"{}")
    try:
        return json.loads(noted).get("info", {}).get("features")
    except (ValueError, AttributeError):
        return None


def _json_object(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SerError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise SerError(f"{path}: expected a JSON object")
    return found


def _named(table: pd.DataFrame, features: object) -> pd.DataFrame:
    """Return a table with the names of classes for their numbers, and the paths of recordings for these."""
    table = table.reset_index(drop=True)
    for name, feature in features.items() if isinstance(features, dict) else ():
        names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
        if names and name in table and pd.api.types.is_integer_dtype(table[name]):
            if wrong := sorted(set(table[name]) - set(range(len(names)))):
                raise SerError(f"column '{name}' holds {wrong[0]}, and there are {len(names)} class names")
            table[name] = table[name].map(dict(enumerate(map(str, names))))
    for name in table:
        first = table[name].dropna()
        if len(first) and isinstance(first.iloc[0], dict) and "path" in first.iloc[0]:
            table[name] = table[name].map(lambda cell: cell["path"], na_action="ignore")
    return table
