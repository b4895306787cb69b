"""The Clips table: one row per utterance-level clip; its columns, validation, joining and filtering."""

import functools
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ser_core.errors import SerError

COLUMNS = (
    "corpus",
    "language",
    "speaker",
    "gender",
    "emotion",
    "sentence",
    "transcript",
    "session",
    "split",
    "path",
    "duration_s",
    "sha256",
)
REQUIRED = ("corpus", "language", "emotion")
GENDERS = ("female", "male")


@functools.cache
def schema():
    """Return the pandera schema of a Clips table.

    Columns, all text but ``duration_s``; a value that the corpus does not state is missing, never a guess:

    * ``corpus``: short name, as in ``ravdess``; ``language``: BCP 47 tag;
    * ``speaker``, ``sentence``, ``session``: ids that are unique across corpora, ``<corpus>/<id>``;
    * ``gender``: ``female`` or ``male``; ``emotion``: the corpus's own word;
    * ``transcript``: what is said; ``split``: the publisher's part (train, dev, test), if there is one;
    * ``path``: the recording, relative to the corpus folder, with forward slashes;
    * ``duration_s``: seconds, above 0; ``sha256``: of the decoded samples (see `ser_core.data.audio.content_hash`).

    Returns:
        A ``pandera.DataFrameSchema``; built on first use because pandera is slow to import.
    """
    import pandera.pandas as pa

    checks = {"gender": pa.Check.isin(GENDERS), "sha256": pa.Check.str_matches(r"^[0-9a-f]{64}$")}
    columns = {name: pa.Column("str", checks.get(name), nullable=name not in REQUIRED, coerce=True) for name in COLUMNS}
    columns["duration_s"] = pa.Column(float, pa.Check.gt(0), nullable=True, coerce=True)
    index = pa.Index("str", unique=True, name="clip", coerce=True)
    return pa.DataFrameSchema(columns, index=index, strict=True, ordered=True)


def validate(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as a valid Clips table: columns in order, absent optional ones added as missing.

    Args:
        table: Rows indexed by a unique clip id, with at least the columns of `REQUIRED`.

    Returns:
        A new table of shape (n_clips, 12), sorted by clip id.

    Raises:
        SerError: If there are no rows, a required column is missing or unknown ones are there, an id
            stands twice, or a value is not allowed; the message names column and first value.

    Examples:
        >>> row = {"corpus": "toy", "language": "en", "emotion": "sad"}
        >>> clips = validate(pd.DataFrame([row], index=["toy/1"]))
        >>> clips.loc["toy/1", "emotion"]
        'sad'
    """
    import pandera.errors

    if not len(table):
        raise SerError("the Clips table is empty; expected at least one clip")
    if missing := [name for name in REQUIRED if name not in table]:
        raise SerError(f"the Clips table lacks the columns {missing}; it has {list(table.columns)}")
    if unknown := [name for name in table if name not in COLUMNS]:
        raise SerError(f"the Clips table has unknown columns {unknown}; expected some of {list(COLUMNS)}")
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise SerError(f"clip '{twice[0]}' is listed {sum(table.index == twice[0])} times; ids must be unique")
    table = table.reindex(columns=list(COLUMNS)).rename_axis("clip").sort_index()
    for name in COLUMNS:
        table[name] = table[name].astype("float64" if name == "duration_s" else "str")
    try:
        return schema().validate(table, lazy=False)
    except pandera.errors.SchemaError as error:
        column = getattr(error.schema, "name", None) or "index"
        cases = getattr(error, "failure_cases", None)
        first = cases["failure_case"].iloc[0] if isinstance(cases, pd.DataFrame) and len(cases) else error
        raise SerError(f"the Clips table's column '{column}' does not allow {first!r} ({error.check})") from error


def join(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return several Clips tables as one.

    Raises:
        SerError: If a clip id stands in more than one of them.
    """
    return validate(pd.concat(list(tables)))


def one_of_each(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return one clip, drawn by chance with seed 0, of each combination of values, such as speaker and emotion.

    Args:
        table: A Clips table.
        columns: Its columns that tell the combinations apart.

    Returns:
        Some of its rows, sorted by clip; none of those in which a value is missing.

    Raises:
        SerError: If there is no such column.

    Examples:
        >>> table = pd.DataFrame({"emotion": ["sad", "sad", "happy"]}, index=["a", "b", "c"])
        >>> one_of_each(table, ["emotion"])["emotion"].tolist()
        ['sad', 'happy']
    """
    if missing := [name for name in columns if name not in table]:
        raise SerError(f"the Clips table lacks the columns {missing}; it has {list(table)}")
    drawn = table.sort_index().iloc[np.random.default_rng(0).permutation(len(table))]
    return drawn.groupby(list(columns), sort=False).head(1).dropna(subset=list(columns)).sort_index()


def of_emotions(table: pd.DataFrame, emotions: Sequence[str]) -> pd.DataFrame:
    """Return the clips of some emotions.

    Args:
        table: A Clips table.
        emotions: Words that are in its column ``emotion``.

    Returns:
        Some of its rows.

    Raises:
        SerError: If no clip has one of the words.

    Examples:
        >>> of_emotions(pd.DataFrame({"emotion": ["sad", "happy"]}, index=["a", "b"]), ["sad"]).index.tolist()
        ['a']
    """
    if unknown := [name for name in emotions if name not in set(table["emotion"])]:
        raise SerError(f"no clip is {', '.join(unknown)}; there are {', '.join(sorted(set(table['emotion'])))}")
    return table[table["emotion"].isin(emotions)]


def of_two_genders(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many clips of each gender those speakers have whose clips are of both.

    Args:
        table: A Clips table.

    Returns:
        Index speaker, sorted, columns female and male; empty if every speaker has one gender.

    Examples:
        >>> table = pd.DataFrame({"speaker": list("aab"), "gender": ["female", "male", "male"]})
        >>> of_two_genders(table).loc["a"].to_dict()
        {'female': 1, 'male': 1}
    """
    counts = pd.crosstab(table["speaker"], table["gender"])
    return counts[(counts > 0).sum(axis=1) > 1]


def corpus_of(ids: pd.Series) -> pd.Series:
    """Return the corpus of each clip of the committed tables, whose ids are ``<corpus>/<id>``.

    Examples:
        >>> corpus_of(pd.Series(["urdu/SM2_F1_A001", "emodb/03a01Fa"])).tolist()
        ['urdu', 'emodb']
    """
    return ids.str.partition("/")[0]


def describe(table: pd.DataFrame) -> str:
    """Return 'corpus, n clips, n speakers' for messages.

    Examples:
        >>> row = {"corpus": "toy", "language": "en", "emotion": "sad", "speaker": "toy/a"}
        >>> describe(validate(pd.DataFrame([row], index=["toy/1"])))
        'toy: 1 clips, 1 speakers'
    """
    return f"{'+'.join(sorted(table['corpus'].unique()))}: {len(table)} clips, {table['speaker'].nunique()} speakers"
