"""What the book takes from the literature: figures, counts, confusion matrices, and our verdict on claims."""

import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter

import pandas as pd
import yaml

from ser_core import store
from ser_core.errors import SerError

METRICS = ("uar", "wa", "wf1", "macro_f1", "gap")
OF_CLASS = "f1:"
"""What the F1 of one class begins with, as in ``f1:happy``."""
STUDY = ("citation", "where", "corpus", "classes", "n_clips", "protocol", "speaker_independent", "faults")
"""What `published` must know of a study."""

UNKNOWN = "unknown"
"""Column of `published_confusions` for wrong answers of which only the number is known."""

VERDICTS = ("reproduced", "reproduced differently", "not testable here", "artefact")
CLAIM = ("claim", "citation", "where", "verdict", "because", "credit")
"""What `verdicts` must know of a claim."""


def _file(path: Path | None, name: str = "published.yaml") -> Path:
    return path or store.repository() / "book" / name


def _read(path: Path) -> dict:
    # Ten times as fast as yaml.safe_load, where PyYAML was built with it.
    return yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def published(path: Path | None = None) -> pd.DataFrame:
    """Return every figure that the book takes from the literature.

    Args:
        path: The file; ``book/published.yaml`` if not given.

    Returns:
        One row a figure, indexed by study, system and metric (one of `METRICS`, or ``f1:<class>``), with value, sd, and
        low and high of the interval that the source gives, in [0, 1], and the study's citation, where, corpus, classes,
        n_clips, protocol, speaker_independent and faults; what is not stated is missing.

    Raises:
        SerError: If a study lacks a field or has an unknown one, a value is not in [0, 1], or not in its interval.

    Examples:
        >>> published().loc[("emodb-wagner", "ComParE 2016 + SVM", "uar"), "protocol"]
        'leave one speaker out, 10 speakers'
    """
    path = _file(path)
    rows = []
    for name, study in _read(path).items():
        if wrong := sorted((set(study) - {"counts", "confusions"}) ^ {*STUDY, "results"}):
            raise SerError(f"{path}: study '{name}' lacks or should not have {wrong}; expected {[*STUDY, 'results']}")
        for result in study["results"]:
            given = result.get("intervals", {})
            metrics = [field for field in result if field in METRICS or field.startswith(OF_CLASS)]
            unknown = set(result) - {"system", "sd", "intervals", *metrics} | set(given) - set(result)
            if unknown:
                raise SerError(
                    f"{path}: study '{name}' has the unknown fields {sorted(unknown)}; metrics are "
                    f"{[*METRICS, f'{OF_CLASS}<class>']}"
                )
            for metric in metrics:
                row = {"study": name, "system": result["system"], "metric": metric, "value": result[metric]}
                row["sd"] = result.get("sd") if metric == "uar" else None
                row["low"], row["high"] = given.get(metric, (None, None))
                rows.append(row | {field: study[field] for field in STUDY})
    numbers = {"sd": float, "low": float, "high": float}
    table = pd.DataFrame(rows).astype({**numbers, "n_clips": "Int64", "speaker_independent": "boolean"})
    low, high = table["low"].fillna(table["value"]), table["high"].fillna(table["value"])
    outside = table[~((low >= 0) & (low <= table["value"]) & (table["value"] <= high) & (high <= 1))]
    if len(outside):
        study = outside["study"].iloc[0]
        raise SerError(f"{path}: study '{study}' has a value outside [0, 1] or its interval: write fractions")
    table = table.set_index(["study", "system", "metric"])
    if table.index.has_duplicates:
        raise SerError(f"{path}: {table.index[table.index.duplicated()][0]} stands there twice")
    return table


def _of_study(study: str, key: str, path: Path) -> dict:
    """Return what a study has under an optional key, or say which studies have it."""
    studies = _read(path)
    if study not in studies or key not in studies[study]:
        have = [name for name, content in studies.items() if key in content]
        raise SerError(f"{path}: no {key} of study '{study}'; there are those of {have}")
    return studies[study][key]


def published_counts(study: str, path: Path | None = None) -> pd.DataFrame:
    """Return how many clips of each class a study of the literature says its parts have.

    Args:
        study: A study of `published`.
        path: The file; ``book/published.yaml`` if not given.

    Returns:
        One row a class, sorted, one column a part.

    Raises:
        SerError: If there is no such study, or it has no counts, or not the same classes in each part.

    Examples:
        >>> int(published_counts("merged-sharma").loc["calm", "all"])
        192
    """
    path = _file(path)
    table = pd.DataFrame(_of_study(study, "counts", path)).sort_index()
    if table.isna().any(axis=None):
        raise SerError(f"{path}: the counts of study '{study}' are not of the same classes in each part")
    return table


def published_confusions(study: str, path: Path | None = None) -> pd.DataFrame:
    """Return the confusion matrices that a study of the literature prints, or what can be derived of them.

    Args:
        study: A study of `published`.
        path: The file; ``book/published.yaml`` if not given.

    Returns:
        Clips, indexed by part (as the study names its test parts or trainings) and truth, all classes in each part;
        one column an answer, in the same order. If for some part only the right answers are known, a last column
        `UNKNOWN` has its wrong ones, so that recalls can be computed, and no F1; it is 0 where the matrix is known.

    Raises:
        SerError: If there is no such study, or it has no confusions, or those of a part are not square, not whole
            numbers, do not add up to the clips that it states, or are of other classes than those of another part.

    Examples:
        >>> table = published_confusions("urdu-khan-punjabi")
        >>> table.columns.tolist(), table.loc[("SM3", "neutral")].tolist()
        (['angry', 'happy', 'neutral', 'sad'], [1, 6, 1, 0])
    """
    path = _file(path)
    parts = {}
    for name, part in _of_study(study, "confusions", path).items():
        where, classes = f"{path}: confusions of study '{study}', '{name}'", part.get("classes", [])
        kind = "derived" if "derived" in part else "rows"
        optional = {"answered"} if kind == "derived" else set()
        if wrong := sorted((set(part) - optional) ^ {"classes", "clips", kind}):
            raise SerError(f"{where}: lacks or should not have {wrong}; expected classes, clips, and rows or derived")
        if strange := sorted(set(part[kind]) - set(classes)):
            raise SerError(f"{where}: rows of {strange}, which are not among the classes {classes}")
        width = len(classes) if kind == "rows" else 2
        if odd := [truth for truth, row in part[kind].items() if not isinstance(row, list) or len(row) != width]:
            raise SerError(f"{where}: the rows of {odd} are no lists of {width} counts")
        if any(type(n) is not int or n < 0 for row in part[kind].values() for n in row):
            raise SerError(f"{where}: a count is not a whole number of 0 or more")
        table = pd.DataFrame(0, index=pd.Index(classes, name="truth"), columns=[*classes, UNKNOWN])
        for truth, row in part[kind].items():
            if kind == "rows":
                table.loc[truth, classes] = row
            else:
                table.loc[truth, [truth, UNKNOWN]] = row[0], row[1] - row[0]
        if (table < 0).any(axis=None) or table.sum(axis=None) != part["clips"]:
            raise SerError(f"{where}: the rows add up to {table.sum(axis=None)} clips; stated are {part['clips']}")
        parts[name] = table
    if len(orders := {tuple(table.index) for table in parts.values()}) > 1:
        raise SerError(f"{path}: the confusions of study '{study}' have different classes or orders: {sorted(orders)}")
    whole = pd.concat(parts, names=["part"])
    return whole if whole[UNKNOWN].any() else whole.drop(columns=UNKNOWN)


def published_answers(study: str, path: Path | None = None) -> pd.DataFrame:
    """Return the commonest answer of each part of a study, right or wrong, and how often it was given.

    Args:
        study: A study of `published` with confusions.
        path: The file; ``book/published.yaml`` if not given.

    Returns:
        One row a part: ``answer``, the class; ``n``, times it was given; ``share`` of all clips. Parts of which
        neither the matrix is known nor the commonest answer is stated are left out.

    Raises:
        SerError: If there are no confusions, they are invalid, or a stated answer cannot be the commonest.

    Examples:
        >>> published_answers("urdu-khan-punjabi").loc["SM3", "answer"]
        'happy'
    """
    path = _file(path)
    confusions, rows = published_confusions(study, path), {}
    for name, part in _of_study(study, "confusions", path).items():
        if "rows" in part:
            given = confusions.loc[name, part["classes"]].sum()
            answer, n = given.idxmax(), int(given.max())
        elif "answered" in part:
            ((answer, n),) = part["answered"].items()
            if answer not in part["classes"] or not part["derived"][answer][0] <= n <= part["clips"]:
                raise SerError(
                    f"{path}: study '{study}', '{name}': {n} answers '{answer}' of {part['clips']} cannot be"
                )
        else:
            continue
        rows[name] = {"answer": answer, "n": n, "share": n / part["clips"]}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["answer", "n", "share"]).rename_axis("part")


def verdicts(values: Mapping[str, object] | None = None, path: Path | None = None) -> pd.DataFrame:
    """Return what became of the claims of the literature when their figures were computed again.

    Args:
        values: What the keys in braces stand for, as from `ser_core.reexamination.decisive`; without them the
            sentences are returned with their keys.
        path: The file; ``book/verdicts.yaml`` if not given.

    Returns:
        One row a claim, indexed by its key: claim, citation, where, verdict (one of `VERDICTS`), because, credit
        (what was good about it; may be empty).

    Raises:
        SerError: If a claim lacks a field or has an unknown one, its verdict is not among `VERDICTS`, a sentence has a
            typed number, or a key in braces is not among the values.

    Examples:
        >>> verdicts().loc["held-out-shows", "verdict"]
        'artefact'
    """
    path = _file(path, "verdicts.yaml")
    rows = {}
    for name, claim in _read(path).items():
        if wrong := sorted(set(claim) ^ set(CLAIM)):
            raise SerError(f"{path}: '{name}' lacks or should not have {wrong}; expected {list(CLAIM)}")
        if claim["verdict"] not in VERDICTS:
            raise SerError(f"{path}: '{name}' has the verdict '{claim['verdict']}'; expected one of {list(VERDICTS)}")
        for field in ("claim", "because", "credit"):
            pieces = list(Formatter().parse(claim[field]))
            if typed := re.findall(r"(?<![\w.])\d+(?:[.,]\d+)*", " ".join(text for text, *_ in pieces)):
                raise SerError(f"{path}: '{name}', {field}: {typed} is typed; write a key in braces")
            if values is not None:
                keys = {key for _, key, *_ in pieces if key is not None}
                if missing := sorted(keys - set(values)):
                    raise SerError(f"{path}: '{name}', {field}: no value for {missing}; there are {sorted(values)}")
                claim[field] = claim[field].format_map(values)
        rows[name] = {field: claim[field] for field in CLAIM}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(CLAIM)).rename_axis("key")
