"""Verification: folds of committed Runs fitted again by today's code and compared with what is recorded."""

import functools
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from ser_core import paths
from ser_core.data import corpora, transcripts
from ser_core.errors import SerError
from ser_core.experiments import keys, runner, runs, specs, workflow
from ser_core.experiments.fitting import fit_fold
from ser_core.experiments.fold import steps
from ser_core.experiments.specs import NetworkSystem, System
from ser_core.systems import features, workers

IDENTICAL, CLOSE, DIFFERENT, UNCONVERGED = "identical", "within tolerance", "different", "not converged"
OUTCOMES = (IDENTICAL, CLOSE, DIFFERENT, UNCONVERGED)
# Probabilities are stored in float32, and the last bit depends on the order in which a processor adds.
_SAME = 1e-6


@dataclass(frozen=True)
class Fold:
    """What a fold that was fitted again is, beside the recorded one.

    Attributes:
        seed: Its seed.
        fold: Its number.
        outcome: ``identical``: every class is the recorded one and every probability within 1e-6 of it;
            ``within tolerance``: what differs is no more than the Run's ``tolerance``; ``different``; or
            ``not converged``: it differs, and the Run records of this fit on features that nothing scaled that its
            limit of iterations cut it off, so that the processor's last bits decide where it stood. Such a fold is
            neither verified nor wrong.
        answers: Clips that got another class, in all parts that are predicted.
        clips: Clips of these parts.
        probability: Largest change of a probability; 0 for a system without.
        chose: What dev speakers chose, if they chose otherwise before, as in ``weight 0.6, recorded 0.45``; else "".
            A choice is a jump: the last bits of a member's probabilities can move it to the next best.
    """

    seed: int
    fold: int
    outcome: str
    answers: int
    clips: int
    probability: float
    chose: str = ""


@dataclass(frozen=True)
class Verified:
    """What verifying a Run gave.

    Attributes:
        run: ``<experiment>/<system>``.
        folds: The folds that were fitted again.
        missing: What would be needed to fit it here, such as features that are not committed; None if all is there.
        wrong: Why it is not the Run that its experiment describes, or could not be fitted; None if it is and could.
    """

    run: str
    folds: tuple[Fold, ...] = ()
    missing: str | None = None
    wrong: str | None = None

    @property
    def failed(self) -> bool:
        """Whether today's code does not give the recorded Run."""
        return self.wrong is not None or any(fold.outcome == DIFFERENT for fold in self.folds)

    def text(self) -> str:
        """Return one line for a terminal."""
        if self.missing or self.wrong:
            return f"{self.run}: {'not verified, ' + self.missing if self.missing else 'WRONG, ' + self.wrong}"
        counts = Counter(fold.outcome for fold in self.folds)
        line = f"{self.run}: {', '.join(f'{n} {outcome}' for outcome, n in counts.items())}"
        if worst := [fold for fold in self.folds if fold.outcome != IDENTICAL]:
            most = max(worst, key=lambda fold: (fold.outcome == DIFFERENT, fold.answers, fold.probability))
            line += f" (seed {most.seed}, fold {most.fold}: {most.answers} of {most.clips} classes, probabilities "
            line += f"by up to {most.probability:.2g}{f'; dev speakers chose {most.chose}' * bool(most.chose)})"
        return line


def choose(
    experiments: Sequence[str] = (), *, n_runs: int | None = None, seed: int = 0, systems: Sequence[str] = ()
) -> list[str]:
    """Return the names of Runs to verify.

    Args:
        experiments: Names of experiments; all that have Runs if empty.
        n_runs: How many are drawn at random; all if None, or if there are no more.
        seed: Of the draw.
        systems: Only the systems of these names.

    Returns:
        Names, sorted.

    Raises:
        SerError: If an experiment has no Run, or none has a system of these names.
    """
    # By the names of their folders, so that a Run that cannot be read is chosen, and found wrong.
    there = [name.split("/") for name in runs.names()]
    known = sorted({experiment for experiment, _ in there})
    if unknown := sorted(set(experiments) - set(known)):
        raise SerError(f"no Runs of an experiment '{unknown[0]}'; there are those of {known}")
    rows = [row for row in there if not experiments or row[0] in experiments]
    if unknown := sorted(set(systems) - {system for _, system in rows}):
        raise SerError(f"no Run of a system '{unknown[0]}' in {list(experiments) or 'any experiment'}")
    names = sorted("/".join(row) for row in rows if not systems or row[1] in systems)
    if n_runs is None or n_runs >= len(names):
        return names
    return sorted(np.random.default_rng(seed).choice(names, n_runs, replace=False).tolist())


def verify(run: str, *, n_folds: int | None = None, seed: int = 0, max_seconds: float | None = None) -> Verified:
    """Fit folds of a Run again by today's code and compare them with the recorded predictions.

    Args:
        run: ``<experiment>/<system>``.
        n_folds: How many of its (seed, fold) pairs are drawn at random; all if None.
        seed: Of the draw.
        max_seconds: Do not try a Run a fold of which takes longer, see `cost`.

    Returns:
        The outcome of each fold; or what is missing to fit it, or wrong with it.
    """
    try:
        info = _facts(run)
        system = specs.read(info["cell"])
        if wider := _wider(info["tolerance"], runner.TOLERANCES[runner.kind_of(system)]):
            return Verified(run, wrong=wider)
        if info["key"] != keys.key(info):
            return Verified(run, wrong=f"its key {info['key']} is not the digest of what it records, {keys.key(info)}")
        for table in info["tables"]:
            runs.check_table(run, table, info)
        if max_seconds is not None and not (took := cost(info)) <= max_seconds:
            return Verified(run, missing=f"a fold takes about {took:.0f} s, more than {max_seconds:g} s")
        if reason := lacks(system):
            return Verified(run, missing=reason)
        here = keys.identity(system)
        if not committed(system):
            # Another processor extracts features with other last bits; the predictions are compared all the same.
            here["data"] = info["data"]
        if reason := runner.outdated(run, here):
            return Verified(run, wrong=reason)
        tables = {name: _recorded(run, name) for name in info["tables"]}
        pairs = steps(system)
        if reason := _other_folds(pairs, info, tables):
            return Verified(run, wrong=reason)
        if n_folds is not None and n_folds < len(pairs):
            chosen = np.random.default_rng([seed, *run.encode()]).choice(len(pairs), n_folds, replace=False)
            pairs = [pairs[i] for i in sorted(chosen)]
        return Verified(run, tuple(_compare(system, tables, info, *pair) for pair in pairs))
    except SerError as error:
        return Verified(run, wrong=str(error))
    except ModuleNotFoundError as error:
        return Verified(run, missing=f"{error.name} is not installed")
    except Exception as error:  # whatever today's code or libraries do with it, the other Runs are verified
        return Verified(run, wrong=f"not fitted, {type(error).__name__}: {' '.join(str(error).split())[:200]}")


_FIELDS = {
    **dict.fromkeys(("key", "divisions", "data", "labels"), str),
    **dict.fromkeys(("cell", "tables", "tolerance", "measured"), dict),
    "folds": list,
}


def _facts(run: str) -> dict:
    """Return a Run's ``run.json``; raise if what is asked of it here is not there."""
    info = runs.info(run)
    if missing := [name for name, kind in _FIELDS.items() if not isinstance(info.get(name), kind)]:
        raise SerError(f"its run.json lacks {missing}, or has them in another form; use: {runs.how_to_make(run)}")
    if "predictions" not in info["tables"]:
        raise SerError(f"its run.json records no table 'predictions'; use: {runs.how_to_make(run)}")
    return info


def _wider(tolerance: dict, most: dict[str, float]) -> str | None:
    """Return why a Run's tolerance cannot stand: it would let differences pass; None if it can."""
    fits = set(tolerance) == set(most) and all(
        isinstance(tolerance[name], int | float) and 0 <= tolerance[name] <= most[name] for name in most
    )
    return None if fits else f"its tolerance is {tolerance}, wider than {most}, that of its kind, or of other fields"


def _other_folds(pairs: list[tuple[int, int]], info: dict, tables: dict[str, pd.DataFrame]) -> str | None:
    """Return where a Run has other seeds and folds than its system, which would never be fitted again."""
    said = [(fact.get("seed"), fact.get("fold")) for fact in info["folds"]]
    if said != pairs:
        return f"its run.json says something of {len(said)} folds, of {len(pairs)} that it has, or in another order"
    for name, table in tables.items():
        found = set(zip(table["seed"].tolist(), table["fold"].tolist(), strict=True))
        if not found <= set(pairs) or (name == "predictions" and found != set(pairs)):
            return f"its table '{name}' has other seeds and folds than its system"
    return None


def cost(info: dict) -> float:
    """Return about how many processor seconds fitting one fold of a Run alone takes.

    Args:
        info: Its ``run.json``.
    """
    each = (info["measured"].get("cpu_seconds") or info["measured"]["seconds"]) / len(info["folds"])
    # What frozen blocks make of the corpus was shared by the folds of a network, and must be made for one alone.
    return 60 + 2 * each if "recipe" in info["cell"] else each


def _recorded(run: str, name: str) -> pd.DataFrame:
    return runs.read(run).predictions if name == "predictions" else runs.other(run, name)


def _compare(system: System, tables: dict[str, pd.DataFrame], info: dict, seed: int, fold: int) -> Fold:
    """Fit a fold again and return how it differs from the recorded tables."""
    tolerance = info["tolerance"]
    (recorded,) = (fact for fact in info["folds"] if (fact["seed"], fact["fold"]) == (seed, fold))
    left_out = any(str(note).startswith(runner.LEFT_OUT) for note in info.get("notes", ()))
    with warnings.catch_warnings():
        # Whether a fit converged is recorded when a Run is made; here only its answers are asked for.
        warnings.simplefilter("ignore", ConvergenceWarning)
        predictions, facts = fit_fold(system, seed, fold)
    test, others = runner.split_parts(predictions)
    again = {"predictions": test, **others}
    answers = clips = 0
    largest, same = 0.0, set(again) == set(tables)
    for name in sorted(set(again) & set(tables)):
        rows = tables[name]
        was = rows[(rows["seed"] == seed) & (rows["fold"] == fold)].set_index("clip")
        now = again[name].astype({"clip": "str"}).set_index("clip")
        if set(was.index) != set(now.index) or len(was) != len(now):
            return Fold(seed, fold, DIFFERENT, len(was), len(was), 1.0)
        now = now.loc[was.index]
        for column in ("truth", "speaker"):
            one, other = (table[column].astype("str").fillna("") for table in (was, now))
            same = same and (one == other).all()
        answers += int((was["prediction"] != now["prediction"]).sum())
        clips += len(was)
        columns, given = ([name for name in table if name.startswith(runs.PROBABILITY)] for table in (was, now))
        # A Run may be without what the system gives only where it says so.
        same = same and (left_out or set(given) <= set(columns))
        if columns:
            # A class that the training part lacks has no column of its own in a fold, and probability 0 in the Run.
            change = np.abs(was[columns].to_numpy() - now.reindex(columns=columns, fill_value=0.0).to_numpy())
            largest = max(largest, float(np.nan_to_num(change, nan=1.0).max()))
    if same and not answers and largest <= _SAME:
        outcome = IDENTICAL
    elif same and answers <= tolerance["answers"] * clips and largest <= tolerance["probability"]:
        outcome = CLOSE
    else:
        # A perceptron that stopped at its limit, too, has not converged; scaled, it stops at the same place everywhere.
        cut_off = getattr(system, "normalisation", None) == "none" and recorded.get("converged") is False
        outcome = UNCONVERGED if same and cut_off else DIFFERENT
    return Fold(seed, fold, outcome, answers, clips, round(largest, 9), _chose(recorded, facts))


def _chose(recorded: dict, facts: dict) -> str:
    """Return what was chosen on the dev part now and what is recorded, where they differ."""
    was, now = (of.get("chosen") or {} for of in (recorded, facts))
    changed = [name for name in now if name in was and now[name] != was[name]]
    return ", ".join(f"{name} {now[name]}, recorded {was[name]}" for name in changed)


@functools.lru_cache(maxsize=1024)
def lacks(system: System) -> str | None:
    """Return what a system needs that is not here: features, recordings, weights or transcripts; None if all is.

    Args:
        system: The resolved system.
    """
    reads = system.recipe.reads if isinstance(system, NetworkSystem) else set(system.feature_sets) & set(features.WORDS)
    for corpus in corpora.parts(system.corpus):
        if reads and corpus in transcripts.READERS and paths.data_folder(corpus) is None:
            return f"the transcripts of {corpus} are not committed"
        for name in sorted(set(system.feature_sets) - set(features.WORDS)):
            if not features.location(corpus, name).is_file():
                return f"the {name} features of {corpus} are not committed"
    try:
        if isinstance(system, NetworkSystem):
            workflow.check_inputs(system)
    except SerError as error:
        return str(error)
    return None


def committed(system: System) -> bool:
    """Return whether all features that a system reads are in the results, for all corpora of a union.

    Args:
        system: The resolved system.
    """
    sets = [name for name in system.feature_sets if name not in features.WORDS]
    stored = [features.location(part, name) for part in corpora.parts(system.corpus) for name in sets]
    return all(path.is_file() and paths.results() in path.parents for path in stored)


def total(found: Sequence[Verified]) -> str:
    """Return one line that sums up what `run_all` gave.

    Examples:
        >>> total([Verified("e/s", (Fold(0, 0, "identical", 0, 9, 0.0),)), Verified("e/t", missing="no features")])
        '2 Runs, 1 fold: 1 identical, 0 within tolerance, 0 different, 0 not converged; 1 not fitted here, 0 wrong'
    """
    folds = [fold.outcome for one in found for fold in one.folds]
    counts = ", ".join(f"{folds.count(outcome)} {outcome}" for outcome in OUTCOMES)
    missing, wrong = (sum(bool(getattr(one, name)) for one in found) for name in ("missing", "wrong"))
    return (
        f"{len(found)} Run{'s' * (len(found) != 1)}, {len(folds)} fold{'s' * (len(folds) != 1)}: {counts}; "
        f"{missing} not fitted here, {wrong} wrong"
    )


def run_all(
    names: Sequence[str],
    *,
    n_folds: int | None,
    seed: int,
    max_seconds: float | None,
    jobs: int = -1,
    done: Callable[[Verified], None] = lambda _: None,
) -> list[Verified]:
    """Verify Runs in parallel.

    Args:
        names: From `choose`.
        n_folds: See `verify`.
        seed: See `verify`.
        max_seconds: See `verify`.
        jobs: Processes; -1 is one per core.
        done: Called with what each Run gave, in the order in which they end.

    Returns:
        What each Run gave, in the order of the names.

    Raises:
        SerError: If there are to be 0 processes.
    """
    import joblib

    found = {}
    with workers.pool(jobs):
        tasks = (joblib.delayed(verify)(name, n_folds=n_folds, seed=seed, max_seconds=max_seconds) for name in names)
        for verified in joblib.Parallel(return_as="generator_unordered")(tasks):
            found[verified.run] = verified
            done(verified)
    return [found[name] for name in names]
