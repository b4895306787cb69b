"""Scores of Runs, and differences between them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from ser_core.data import corpora, transcripts
from ser_core.data.clips import corpus_of
from ser_core.errors import RefusalError, SerError
from ser_core.evaluation import bootstrap, comparisons, families, intervals, metrics, procedure
from ser_core.experiments import halves, runs

Name = str | tuple[str, ...]


def experiment(name: Name, metric: str = "uar", *, unit: str = "speaker", **options) -> pd.DataFrame:
    """Return the Runs of an experiment with a metric of each.

    Args:
        name: Name of the experiment, or of several.
        metric: One of `ser_core.evaluation.metrics.METRICS`.
        unit: What is resampled: ``speaker``, or ``dialogue`` for a corpus of dialogues whose speakers recur in all
            parts. Such an interval is for other dialogues of these same people, not for other people.
        **options: See `ser_core.evaluation.intervals.from_counts`.

    Returns:
        `ser_core.experiments.runs.catalogue` with the columns of `systems`.

    Raises:
        SerError: If there are no Runs, or a corpus is not of dialogues.
    """
    experiments = [name] if isinstance(name, str) else name
    table = pd.concat([runs.catalogue(one) for one in experiments], ignore_index=True)
    scores = systems(table["run"], metric, unit=unit, **options)
    return table.assign(**scores.drop(columns="run"))


def systems(names: Mapping | pd.Series, metric: str = "uar", *, unit: str = "speaker", **options) -> pd.DataFrame:
    """Return a metric of some Runs, and what else a table of systems shows.

    Args:
        names: Key -> name of the Run; keys may be tuples, as of corpus and system.
        metric: One of `ser_core.evaluation.metrics.METRICS`.
        unit: What is resampled, as for `experiment`.
        **options: See `ser_core.evaluation.intervals.from_counts`.

    Returns:
        One row a Run, indexed by the keys: ``run`` (its name), ``interval``, ``value`` (of the interval), ``dev`` (the
        mean of its `dev_scores`), and `seconds`.

    Raises:
        SerError: If there is no such Run, or a corpus is not of dialogues.
    """
    table = pd.Series(names, name="run", dtype=object).to_frame()
    scores = [score(run, metric, unit=unit, **options) for run in table["run"]]
    return table.assign(
        interval=scores,
        value=[found.value for found in scores],
        dev=[dev_scores(run).mean() for run in table["run"]],
        seconds=[seconds(run) for run in table["run"]],
    )


def chosen(table: pd.DataFrame, by: str | list[str] = "corpus", of: str = "dev") -> pd.DataFrame:
    """Return the system that dev speakers choose in each group: the row with the highest dev score.

    Args:
        table: Systems, as from `experiment`.
        by: The columns that make the groups.
        of: The column that is compared; ``value`` gives the best on test speakers, which is no result.

    Returns:
        One row a group, with the group as its index, sorted by it; of equals the last.

    Examples:
        >>> systems = pd.DataFrame({"corpus": ["b", "a", "b"], "dev": [0.5, 0.6, 0.7], "value": [0.6, 0.5, 0.4]})
        >>> chosen(systems)["value"].to_dict()
        {'a': 0.5, 'b': 0.4}
    """
    ordered = table.sort_values(of, kind="stable", na_position="first")
    return ordered.drop_duplicates(by, keep="last").set_index(by).sort_index()


def fold_sizes(name: str) -> dict[str, int]:
    """Return how large the corpus of a Run is, and how many clips each part of its folds has on average.

    Args:
        name: Name of a Run, ``<experiment>/<system>``.

    Returns:
        ``classes``, ``clips``, ``speakers``, ``folds``, and the clips of ``train``, ``dev`` and ``test``.

    Raises:
        SerError: If there is no such Run.
    """
    facts = runs.info(name)
    clips, folds = corpora.table(facts["cell"]["corpus"]), pd.DataFrame(facts["folds"])
    return {
        "classes": clips["emotion"].nunique(),
        "clips": len(clips),
        "speakers": clips["speaker"].nunique(),
        "folds": folds["fold"].nunique(),
        **{part: round(folds[f"n_{part}"].mean()) for part in ("train", "dev", "test")},
    }


def score(name: Name, metric: str = "uar", *, unit: str = "speaker", **options) -> intervals.Interval:
    """Return a metric of one Run.

    Args:
        name: Name of the Run, or of several, see `predictions_of`.
        metric: See `ser_core.evaluation.intervals.interval`.
        unit: What is resampled, as for `experiment`.
        **options: See `ser_core.evaluation.intervals.from_counts`.

    Returns:
        The score with its interval, or with the reason why it has none; see `why_merged_refused` for one of merged
        corpora.

    Raises:
        SerError: If there is no such Run, or its corpus is not of dialogues.
    """
    table = predictions_of(name, unit)
    found = intervals.interval(table, metric, unit=unit, **options)
    why = why_merged_refused(name, table, metric, unit)
    return found if why is None else replace(found, low=np.nan, high=np.nan, refusal=why, slack=0.0)


def why_merged_refused(name: Name, predictions: pd.DataFrame, metric: str = "uar", unit: str = "speaker") -> str | None:
    """Return why a score of merged corpora has no interval, or None if it may have one.

    Merging does not make people of two women: where one of the corpora is refused an interval alone, so is the whole.
    To resample within each corpus would not help. A part of two speakers has three different resamples, and it would
    then say that its share of the clips hardly varies.

    Args:
        name: As for `predictions_of`; with ``@<corpus>`` a Run is scored on that corpus alone, and none is merged.
        predictions: Those of that name.
        metric: See `ser_core.evaluation.intervals.interval`.
        unit: What is resampled.

    Raises:
        SerError: If there is no such Run.
    """
    names = [name] if isinstance(name, str) else name
    if all("@" in one or len(corpora.parts(runs.info(one)["cell"]["corpus"])) == 1 for one in names):
        return None
    classes, word = metrics.class_names(predictions), metric.partition(":")[2]
    for corpus, part in predictions.groupby(corpus_of(predictions["clip"]).to_numpy()):
        if word and word not in set(part["truth"]):
            continue
        tables = [intervals.counts(part, unit, classes)]
        if why := intervals.why_refused(tables, metric, classes, unit):
            return f"{corpus} alone: {why}"
    return None


@dataclass(frozen=True)
class Components:
    """How far trainings of one system lie apart, by what is another between them, in the unit of the metric.

    Attributes:
        each: The score of each training, shape (D, S): draws of dev speakers in rows, seeds in columns.
        seeds: Standard deviation over seeds, pooled within draws.
        draws: Standard deviation over draws, of their means over seeds, in which a part is the seeds'.
        speakers: Standard deviation over test speakers, which one training's t interval of the same width has, the
            mean over trainings; NaN when refused.
        error: Standard error of the mean of all by trainings alone, if draws and seeds are crossed.
    """

    each: np.ndarray
    seeds: float
    draws: float
    speakers: float
    error: float


def components(names: tuple[str, ...], metric: str = "uar", **options) -> Components:
    """Return how far trainings of one system lie apart, by seed, draw of dev speakers, and test speaker.

    Args:
        names: Names of Runs with the same seeds, each with another draw of dev speakers, see `predictions_of`.
        metric: One of `ser_core.evaluation.metrics.METRICS`.
        **options: See `ser_core.evaluation.intervals.from_counts`.

    Raises:
        SerError: If there is no such Run, or several are of different clips.
    """
    trainings = predictions_of(names).groupby("seed")
    alone = [intervals.interval(part, metric, **options) for _, part in trainings]
    each = np.array([found.value for found in alone]).reshape(len(names), -1)
    ways = bootstrap.deviations(each.ravel(), each.shape)
    t = [stats.t.ppf((1 + found.level) / 2, found.n_clusters - 1) for found in alone]
    return Components(
        each,
        seeds=float(np.sqrt(each.var(axis=1, ddof=1).mean())),
        draws=float(each.mean(axis=1).std(ddof=1)),
        speakers=float(np.mean([found.half_width / at for found, at in zip(alone, t, strict=True)])),
        error=float(np.sqrt(sum(np.mean(way**2) / len(way) for way in ways))),
    )


def over_divisions(name: str, metric: str = "uar", **options) -> intervals.Interval:
    """Return the mean of a metric over divisions, with an interval for other people to test *and* to train on.

    Args:
        name: Name of a Run whose seeds are divisions (``splits: per-seed``).
        metric: One of `ser_core.evaluation.metrics.METRICS`.
        **options: See `ser_core.evaluation.procedure.interval`.

    Returns:
        The mean with the interval of `ser_core.evaluation.procedure.interval`, widened by
        `ser_core.experiments.halves.factor` of the corpus.

    Raises:
        SerError: If there is no such Run, or its seeds share one division.
    """
    return procedure.interval(predictions_of(name), _factor(name), metric, division="seed", **options)


def difference_over_divisions(first: str, second: str, metric: str = "uar", **options) -> comparisons.Difference:
    """Return the mean difference of two Runs over the same divisions, with an interval as of `over_divisions`.

    Args:
        first: Name of a Run whose seeds are divisions.
        second: Name of another with the same divisions.
        metric: One of `ser_core.evaluation.metrics.METRICS`.
        **options: See `ser_core.evaluation.procedure.difference`.

    Raises:
        SerError: As `over_divisions`, or if the divisions are not the same.
    """
    tables = (predictions_of(one) for one in (first, second))
    return procedure.difference(*tables, _factor(first), metric, division="seed", **options)


def _factor(name: str) -> float:
    cell = runs.info(name)["cell"]
    if cell.get("splits") != "per-seed":
        raise SerError(f"the seeds of Run '{name}' share one division; expected one with splits: per-seed")
    return halves.factor(cell["corpus"])


def differences(
    pairs: pd.DataFrame | Mapping, metric: str = "uar", *, unit: str = "speaker", **options
) -> pd.DataFrame:
    """Return paired differences of Runs, with p-values adjusted for the family they form.

    Args:
        pairs: One row a comparison, with the columns ``first`` and ``second``: names of Runs, see `predictions_of`.
            A column ``as_trained``, if there is one, says where seeds are taken as they are, see
            `ser_core.evaluation.comparisons.difference`. Other columns are kept. Or key -> the two names; the keys are
            then the index.
        metric: One of `ser_core.evaluation.metrics.METRICS`.
        unit: What is resampled, and swapped by, as for `experiment`.
        **options: See `ser_core.evaluation.comparisons.difference`.

    Returns:
        The table with the columns of `ser_core.evaluation.families.differences`, first minus second; all rows that
        have an interval are one family.

    Raises:
        RefusalError: If two Runs are of merged corpora that have no interval, see `why_merged_refused`.
        SerError: If a Run is not there, two Runs do not cover the same clips, or a corpus is not of dialogues.
    """
    if isinstance(pairs, Mapping):
        pairs = pd.DataFrame(list(pairs.values()), columns=["first", "second"], index=pd.Index(list(pairs)))
    found = {name: predictions_of(name, unit) for name in {*pairs["first"], *pairs["second"]}}
    for name, table in found.items():
        if why := why_merged_refused(name, table, metric, unit):
            raise RefusalError(
                f"no differences of '{name}', which merges corpora, have an interval ({why}); compare on one of them, "
                f"'{name}@<corpus>', or subtract the scores"
            )
    both = [(found[first], found[second]) for first, second in zip(pairs["first"], pairs["second"], strict=True)]
    held = pairs["as_trained"] if "as_trained" in pairs else None
    compared = families.differences(both, metric, unit=unit, as_trained=held, **options).set_index(pairs.index)
    return pairs.assign(**compared)


def dev_scores(name: str) -> pd.Series:
    """Return the dev score of the selected model (hyperparameters, fusion weight or epoch), per fold.

    It is too high by construction, and is for choosing between systems, never for reporting one.

    Args:
        name: Name of a Run, ``<experiment>/<system>``.

    Returns:
        By fold, the mean over seeds of the score that was selected by, UAR unless the recipe says otherwise; NaN
        where nothing was chosen.

    Raises:
        SerError: If there is no such Run.
    """
    info = runs.info(name)
    column = f"dev_{info['cell'].get('recipe', {}).get('select', 'uar')}"
    rows = [
        (fold["fold"], fold[column] if column in fold else max(epoch[column] for epoch in fold["curve"]))
        for fold in info["folds"]
    ]
    return pd.DataFrame(rows, columns=["fold", "dev"]).astype({"dev": float}).groupby("fold")["dev"].mean()


def converged(name: str) -> bool:
    """Return whether every fit of a Run ended before its limit of iterations, and for a fusion those of its members.

    Args:
        name: Name of a Run, ``<experiment>/<system>``.

    Raises:
        SerError: If there is no such Run.
    """
    info = runs.info(name)
    # A member that is no Run was fitted by the fusion itself.
    members = [member for member in info["cell"].get("members", ()) if member.count("/") == 1]
    return all(fold.get("converged", True) for fold in info["folds"]) and all(map(converged, members))


def seconds(name: str) -> float:
    """Return the processor seconds to train and test one fold: for a fusion, of all its members and their seeds.

    Args:
        name: Name of a Run, ``<experiment>/<system>``.

    Returns:
        Seconds; elapsed ones for a Run of which only these were measured.

    Raises:
        SerError: If there is no such Run.
    """
    return _all_seconds(name) / len(runs.info(name)["folds"])


def _all_seconds(name: str) -> float:
    info = runs.info(name)
    own = info["measured"].get("cpu_seconds") or info["measured"]["seconds"]
    # A member that is no Run was fitted by the fusion itself.
    members = [member for member in info["cell"].get("members", ()) if member.count("/") == 1]
    return own + sum(map(_all_seconds, members))


def predictions_of(name: Name, unit: str = "speaker") -> pd.DataFrame:
    """Return the predictions of a Run, or of several on the same clips, with the column that is resampled.

    Args:
        name: ``<experiment>/<system>``; with ``@<corpus>`` behind it those for the clips of that corpus only, where a
            Run tests several. Of a tuple of such names every seed of every Run is a training, numbered as a seed; the
            column ``draw`` numbers the Runs, with whose seeds they are crossed (see
            `ser_core.evaluation.intervals.design`).
        unit: As for `experiment`.

    Raises:
        SerError: If there is no such Run, it tests no clip of that corpus, several are of different clips, or a corpus
            is not of dialogues.
    """
    if not isinstance(name, str):
        tables = [predictions_of(one, unit) for one in name]
        for other, table in zip(name, tables, strict=True):
            if set(table["clip"]) != set(tables[0]["clip"]):
                raise SerError(
                    f"the Runs '{name[0]}' and '{other}' are of different clips; they are no seeds of one system"
                )
        most = 1 + max(table["seed"].max() for table in tables)
        return pd.concat(
            [table.assign(seed=most * number + table["seed"], draw=number) for number, table in enumerate(tables)],
            ignore_index=True,
        )
    name, _, tested = name.partition("@")
    run = runs.read(name)
    table, corpus = run.predictions, run.info["cell"]["corpus"]
    if tested:
        of = corpus_of(table["clip"])
        if not (of == tested).any():
            raise SerError(f"Run '{name}' tests no clip of '{tested}'; it tests {sorted(of.unique())}")
        table = table[of == tested].reset_index(drop=True)
    return table.assign(dialogue=table["clip"].map(transcripts.dialogue_of(corpus))) if unit == "dialogue" else table
