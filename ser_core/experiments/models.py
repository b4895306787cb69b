"""From a Run to a model that predicts recordings: fitted on all clips, calibrated on speakers who were held out."""

import importlib.util
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ser_core import paths
from ser_core.data import corpora, splits
from ser_core.errors import SerError
from ser_core.evaluation import calibration, metrics
from ser_core.experiments import runs, specs
from ser_core.experiments.specs import ClassicalSystem
from ser_core.systems import linear, weights
from ser_core.systems.linear import Linear

SHIPPED = ("egemaps", "whisper-base")
"""The models that come with the package: of hand-made features, and of Whisper's encoder, whose weights it needs."""

ACCURACY = 0.8
"""A model answers where held-out speakers' clips were answered rightly this often; it abstains elsewhere."""

LICENCE = "cc-by-nc-sa-4.0"
"""Of the shipped models: RAVDESS's, which asks for the same terms and no commerce; the other two ask for a citation."""

UNHEARD = ("savee", "urdu")
"""Corpora that had no part in the shipped models, not in their calibration either, and that judge them."""

_HEARD = "banglaser+emodb+ravdess"
_NORMALISATIONS = ("train", "none")


def run_of(shipped: str) -> str:
    """Return the name of the Run that a shipped model is made from.

    Args:
        shipped: One of `SHIPPED`.
    """
    return f"predict/{_HEARD}.speaker.{shipped}.logreg.train.tuned"


def across(shipped: str, unheard: str = "") -> str:
    """Return the name of the Run that tests each corpus of a shipped model by what was trained on the others.

    Args:
        shipped: One of `SHIPPED`.
        unheard: One of `UNHEARD`, to name what tests that corpus by what was trained on all of the model's.
    """
    union, of = (f"{_HEARD}+{unheard}", "-unheard") if unheard else (_HEARD, "")
    return f"predict{of}/{union}.corpus.{shipped}.logreg.train.tuned" + (f"@{unheard}" if unheard else "")


def location(shipped: str) -> Path:
    """Return where a shipped model is.

    Args:
        shipped: One of `SHIPPED`.
    """
    return paths.stored(paths.results() / "models" / shipped / f"model{linear.SUFFIX}")


def default() -> str:
    """Return the shipped model that is taken unless one is named: Whisper's where its weights are, else eGeMAPS's."""
    return "whisper-base" if has_weights() else "egemaps"


def has_weights() -> bool:
    """Return whether what the model of Whisper needs is here: its weights, and the packages that read them."""
    return all(map(importlib.util.find_spec, ("torch", "transformers"))) and weights.find("whisper-base") is not None


def find(model: str) -> Linear:
    """Return a model by what a command calls it.

    Args:
        model: One of `SHIPPED`; a file of `ser model`; or the folder of a Run, whose model is fitted now.

    Raises:
        SerError: If there is none, or as `ser_core.systems.linear.load` and `fit`.

    Examples:
        >>> find("egemaps").classes
        ('angry', 'happy', 'neutral', 'sad')
    """
    if model in SHIPPED:
        return linear.load(location(model))
    path = Path(model)
    if path.name == "run.json":
        path = path.parent
    if path.is_dir():
        root = (paths.results() / "runs").resolve()
        if not (path / "run.json").is_file() or path.resolve().parent.parent != root:
            raise SerError(f"{path}: no Run of {root}; expected the folder of one, or a file of `ser model`")
        return fit("/".join(path.resolve().parts[-2:]))
    if not path.suffix and not path.exists():
        raise SerError(f"there is no model '{model}'; expected {' or '.join(SHIPPED)}, a file of `ser model`, or a Run")
    return linear.load(path)


def shipped(name: str) -> Linear:
    """Return a shipped model, fitted again.

    It is for recordings of other people in other rooms than those of its corpora. So it is calibrated on what each of
    its corpora gets from the others, and judged on `UNHEARD`.

    Args:
        name: One of `SHIPPED`.

    Raises:
        SerError: If Runs or features are missing.
    """
    from ser_core.experiments import scoring

    model = fit(run_of(name), across(name))
    elsewhere = {one: worth_elsewhere(scoring.predictions_of(across(name, one)), model) for one in UNHEARD}
    return replace(model, name=name, facts=model.facts | {"licence": LICENCE, "elsewhere": elsewhere})


def fit(run: str, calibrated_on: str | None = None) -> Linear:
    """Return the model of a Run: its system, fitted on all clips with the settings that most folds chose.

    Temperature and threshold are fitted on predictions of test speakers, none of whom the fold that predicted them had
    heard.

    Args:
        run: Name of a Run, ``<experiment>/<system>``, of a logistic regression on features of recordings.
        calibrated_on: Name of another Run of the same system whose predictions calibrate it; its own if not given.

    Raises:
        SerError: If there is no such Run, it is of another kind, or was tested on speakers who were trained on; if
            features are missing.
    """
    from ser_core.experiments import fitting
    from ser_core.experiments.fitting import classical
    from ser_core.experiments.fold import Fold, clips_of
    from ser_core.systems import classifiers

    found = runs.read(run)
    system = specs.read(found.info["cell"])
    _check(run, system, found.predictions)
    judged = runs.read(calibrated_on).predictions if calibrated_on else found.predictions
    clips, setting = clips_of(system.corpus, system.labels), chosen(found.info)
    fold = Fold(clips, 0, system.seeds[0], tuple(clips.index), (), ())
    table = fitting.tables(system)[0]
    pipeline = classifiers.pipeline(system.model, system.normalisation, seed=fold.seed, **setting)
    pipeline.fit(classical.values(table, fold.train), fold.targets(fold.train))
    temperature = calibration.temperature(judged)
    facts = {
        "run": run,
        "calibrated_on": calibrated_on or run,
        "corpora": list(corpora.parts(system.corpus)),
        "labels": system.labels,
        "clips": len(clips),
        "speakers": int(clips["speaker"].nunique()),
        "chosen": setting,
        "accuracy_asked_for": ACCURACY,
        "held_out": worth(judged),
    }
    return Linear(
        name=run,
        features=system.features,
        classes=tuple(fold.classes),
        **_numbers(pipeline, table.shape[1]),
        temperature=temperature,
        threshold=calibration.threshold(calibration.tempered(judged, temperature), ACCURACY),
        facts=facts,
    )


def chosen(info: dict) -> dict:
    """Return the settings that most folds of a Run chose, of equals those of the first fold; none if it is untuned.

    Args:
        info: Content of ``run.json``.

    Examples:
        >>> chosen({"folds": [{"chosen": {"C": 1}}, {"chosen": {"C": 2}}, {"chosen": {"C": 2}}]})
        {'C': 2}
    """
    return dict(Counter(tuple(sorted(fold["chosen"].items())) for fold in info["folds"]).most_common(1)[0][0])


def worth(predictions: pd.DataFrame) -> dict[str, float | None]:
    """Return what calibration and abstention are worth on speakers, or corpora, that did not decide them.

    Each fold is judged by the temperature and the threshold of the others, so that no speaker judges what was fitted on
    them.

    Args:
        predictions: Those of a Run whose folds have no speaker in common; with probabilities.

    Returns:
        ``ece_before`` and ``ece`` (expected calibration error without and with temperature), ``accuracy`` of all clips,
        ``coverage`` (share of clips that are answered) and ``accuracy_answered`` of these, None if there are none.
    """
    judged, kept = [], []
    # With another seed the folds may be of other speakers.
    predictions = predictions[predictions["seed"] == predictions["seed"].min()]
    for fold in sorted(predictions["fold"].unique()):
        others, own = predictions[predictions["fold"] != fold], predictions[predictions["fold"] == fold]
        temperature = calibration.temperature(others)
        own = calibration.tempered(own, temperature)
        judged.append(own)
        at = calibration.threshold(calibration.tempered(others, temperature), ACCURACY)
        kept.append(calibration.answered(own, at))
    return {"ece_before": calibration.ece(predictions), **_worth(pd.concat(judged), pd.concat(kept))}


def worth_elsewhere(predictions: pd.DataFrame, model: Linear) -> dict[str, float | None]:
    """Return what a model's calibration and abstention are worth on predictions that had no part in them.

    Args:
        predictions: Of another corpus, with probabilities.
        model: The model, whose temperature and threshold are used.

    Returns:
        As `worth`.
    """
    judged = calibration.tempered(predictions, model.temperature)
    kept = calibration.answered(judged, model.threshold)
    return {"ece_before": calibration.ece(predictions), **_worth(judged, kept)}


def _worth(judged: pd.DataFrame, kept: pd.DataFrame) -> dict[str, float | None]:
    def right(table: pd.DataFrame) -> float | None:
        return float((table["truth"] == table["prediction"]).mean()) if len(table) else None

    return {
        "ece": calibration.ece(judged),
        "accuracy": right(judged),
        "coverage": len(kept) / len(judged),
        "accuracy_answered": right(kept),
    }


def _check(run: str, system: specs.System, predictions: pd.DataFrame) -> None:
    """Refuse a Run whose system is no linear model of recordings, or that says nothing of new speakers."""
    if not isinstance(system, ClassicalSystem) or system.normalisation not in _NORMALISATIONS:
        how = getattr(system, "normalisation", type(system).__name__)
        raise SerError(
            f"Run '{run}' is of '{how}'; a model is kept of a logistic regression on features, normalised by "
            f"{' or '.join(_NORMALISATIONS)}"
        )
    grouping = splits.PROTOCOLS[system.protocol].test_grouping
    if not {"speaker", "corpus"} & set(grouping):
        raise SerError(
            f"Run '{run}' was tested on speakers who were trained on (protocol {system.protocol}); their confidence "
            "says nothing of new ones: name a Run of protocol speaker"
        )
    if not any(name.startswith(metrics.PROBABILITY) for name in predictions) or "logreg" not in system.model:
        raise SerError(f"Run '{run}' is of '{system.model}'; a model is kept of a logistic regression, such as logreg")


def _numbers(pipeline, n_columns: int) -> dict[str, np.ndarray]:
    """Return what a fitted pipeline of scikit-learn computes with."""
    classifier, columns = pipeline[-1], slice(None)
    if hasattr(classifier, "columns_"):  # of one layer
        classifier, columns = classifier.classifier_, classifier.columns_
    coefficients, intercept = classifier.coef_, classifier.intercept_
    if len(coefficients) == 1:  # of two classes it keeps the second's alone
        coefficients, intercept = np.vstack([0 * coefficients, coefficients]), np.append(0, intercept)
    weights = np.zeros((len(coefficients), n_columns))
    weights[:, columns] = coefficients
    scaler = pipeline.named_steps.get("scaler")
    mean, scale = (np.zeros(n_columns), np.ones(n_columns)) if scaler is None else (scaler.mean_, scaler.scale_)
    found = {"mean": mean, "scale": scale, "weights": weights, "intercept": intercept}
    return {name: value.astype("float32") for name, value in found.items()}
