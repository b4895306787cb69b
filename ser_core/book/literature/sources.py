"""What the book takes from the literature: figures, what is stated of them, counts and confusion matrices."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ser_core import paths
from ser_core.book import glue
from ser_core.data import corpora
from ser_core.errors import SerError
from ser_core.evaluation import metrics
from ser_core.files import yamlfile

METRICS = (*metrics.METRICS, "gap")
OF_CLASS = ("f1:", "recall:")
"""What a metric of one class begins with, as in ``f1:happy``."""
STUDY = ("citation", "where", "corpus", "classes", "n_clips", "protocol", "speaker_independent", "faults")
"""What `published` must know of a study."""


def file_of(path: Path | None, name: str = "published.yaml") -> Path:
    """Return a file of the book.

    Args:
        path: Another file in its place; None for it.
        name: Its name below ``book/``.
    """
    return path or paths.repository() / "book" / name


def published(path: Path | None = None) -> pd.DataFrame:
    """Return every figure that the book takes from the literature.

    Args:
        path: The file; ``book/published.yaml`` if not given.

    Returns:
        One row a figure, indexed by study, system and metric (one of `METRICS`, ``f1:<class>`` or
        ``recall:<class>``), with value, sd, and low and high of the interval that the source gives, in [0, 1], and the
        study's citation, where, corpus, classes, n_clips, protocol, speaker_independent and faults; what is not stated
        is missing.

    Raises:
        SerError: If a study lacks a field or has an unknown one, a value is not in [0, 1], or not in its interval.

    Examples:
        >>> published().loc[("emodb-wagner", "ComParE 2016 + SVM", "uar"), "protocol"]
        'leave one speaker out, 10 speakers'
    """
    path = file_of(path)
    rows = []
    for name, study in yamlfile.read(path).items():
        if wrong := sorted((set(study) - {"counts", "confusions", "stated"}) ^ {*STUDY, "results"}):
            raise SerError(f"{path}: study '{name}' lacks or should not have {wrong}; expected {[*STUDY, 'results']}")
        for result in study["results"]:
            given = result.get("intervals", {})
            scores = [field for field in result if field in METRICS or field.startswith(OF_CLASS)]
            unknown = set(result) - {"system", "sd", "intervals", *scores} | set(given) - set(result)
            if unknown:
                raise SerError(
                    f"{path}: study '{name}' has the unknown fields {sorted(unknown)}; metrics are "
                    f"{[*METRICS, *(f'{kind}<class>' for kind in OF_CLASS)]}"
                )
            for metric in scores:
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


def encoder_sizes() -> dict[str, int]:
    """Return the number of parameters of encoders, published ones and Whisper's, from ``book/encoders.yaml``.

    Examples:
        >>> encoder_sizes()["WavLM large"]
        315453120
    """
    return yamlfile.read(file_of(None, "encoders.yaml"))


def beside(studies: Mapping[str, str], *, without: str = "[(]text[)]", ascending: bool = True) -> pd.DataFrame:
    """Return what studies publish, one row each, for a table in which our own figures stand beside theirs.

    Args:
        studies: Study of `published` -> the metric that is shown.
        without: Pattern of the systems that are left out.
        ascending: Order the systems of a study from the lowest score to the highest.

    Returns:
        ``corpus``, ``source``, ``protocol``, ``new speakers``, ``percent`` and ``what to know``, as a reader sees them.

    Examples:
        >>> beside({"emodb-wagner": "uar"}).loc[0, ["corpus", "new speakers"]].tolist()
        ['EmoDB', 'yes']
    """
    rows = []
    for study, metric in studies.items():
        table = published().loc[study].xs(metric, level="metric").sort_values("value", ascending=ascending)
        values = table.loc[~table.index.str.contains(without), "value"]
        first = table.iloc[0]
        rows.append(
            {
                "corpus": corpora.info(first["corpus"]).short,
                "source": f"{{cite:t}}`{first['citation']}`",
                "protocol": first["protocol"],
                "new speakers": "yes" if first["speaker_independent"] else "no",
                "percent": f"{metrics.LABELS[metric]}: {'; '.join(values.index + ' ' + values.map(glue.share))}",
                "what to know": first["faults"],
            }
        )
    return pd.DataFrame(rows)


def _of_study(study: str, key: str, path: Path) -> dict:
    """Return what a study has under an optional key, or say which studies have it."""
    studies = yamlfile.read(path)
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
    path = file_of(path)
    table = pd.DataFrame(_of_study(study, "counts", path)).sort_index()
    if table.isna().any(axis=None):
        raise SerError(f"{path}: the counts of study '{study}' are not of the same classes in each part")
    return table


def published_confusions(study: str, path: Path | None = None) -> pd.DataFrame:
    """Return the confusion matrices that a study of the literature prints.

    Args:
        study: A study of `published`.
        path: The file; ``book/published.yaml`` if not given.

    Returns:
        Clips, indexed by part (as the study names its test parts or trainings) and truth, all classes in each part;
        one column an answer, in the same order.

    Raises:
        SerError: If there is no such study, or it has no confusions, or those of a part are not square, not whole
            numbers, do not add up to the clips that it states, or are of other classes than those of another part.

    Examples:
        >>> table = published_confusions("urdu-khan-punjabi")
        >>> table.columns.tolist(), table.loc[("SM3", "neutral")].tolist()
        (['angry', 'happy', 'neutral', 'sad'], [1, 6, 1, 0])
    """
    path = file_of(path)
    parts = {}
    for name, part in _of_study(study, "confusions", path).items():
        where, classes = f"{path}: confusions of study '{study}', '{name}'", part.get("classes", [])
        if wrong := sorted(set(part) ^ {"classes", "clips", "rows"}):
            raise SerError(f"{where}: lacks or should not have {wrong}; expected classes, clips and rows")
        if strange := sorted(set(part["rows"]) - set(classes)):
            raise SerError(f"{where}: rows of {strange}, which are not among the classes {classes}")
        width = len(classes)
        if odd := [truth for truth, row in part["rows"].items() if not isinstance(row, list) or len(row) != width]:
            raise SerError(f"{where}: the rows of {odd} are no lists of {width} counts")
        if any(type(n) is not int or n < 0 for row in part["rows"].values() for n in row):
            raise SerError(f"{where}: a count is not a whole number of 0 or more")
        table = pd.DataFrame(0, index=pd.Index(classes, name="truth"), columns=classes)
        for truth, row in part["rows"].items():
            table.loc[truth] = row
        if table.sum(axis=None) != part["clips"]:
            raise SerError(f"{where}: the rows add up to {table.sum(axis=None)} clips; stated are {part['clips']}")
        parts[name] = table
    if len(orders := {tuple(table.index) for table in parts.values()}) > 1:
        raise SerError(f"{path}: the confusions of study '{study}' have different classes or orders: {sorted(orders)}")
    return pd.concat(parts, names=["part"])


def published_answers(study: str, path: Path | None = None) -> pd.DataFrame:
    """Return the commonest answer of each part of a study, right or wrong, and how often it was given.

    Args:
        study: A study of `published` with confusions.
        path: The file; ``book/published.yaml`` if not given.

    Returns:
        One row a part: ``answer``, the class; ``n``, times it was given; ``share`` of all clips.

    Raises:
        SerError: If there are no confusions, or they are invalid.

    Examples:
        >>> published_answers("urdu-khan-punjabi").loc["SM3", "answer"]
        'happy'
    """
    given = published_confusions(study, path).groupby(level="part", sort=False).sum()
    table = pd.DataFrame({"answer": given.idxmax(axis=1), "n": given.max(axis=1)})
    return table.assign(share=table["n"] / given.sum(axis=1))


def published_statements(study: str, path: Path | None = None) -> pd.Series:
    """Return what a study of the literature states of its own figures: differences, sums and sizes, as printed.

    Args:
        study: A study of `published`.
        path: The file; ``book/published.yaml`` if not given.

    Returns:
        One number a statement, by its name in the file; differences of scores as fractions.

    Raises:
        SerError: If there is no such study, it states nothing, or a statement is no number.

    Examples:
        >>> float(published_statements("merged-sharma")["sum_baseline"])
        1.1966
    """
    path = file_of(path)
    stated = _of_study(study, "stated", path)
    if odd := [name for name, value in stated.items() if type(value) not in (int, float)]:
        raise SerError(f"{path}: study '{study}' states {odd} that are no numbers")
    return pd.Series(stated, dtype=float, name=study)
