"""Experiments: how a declarative YAML file becomes cells, one system on one corpus under one protocol each."""

import functools
import itertools
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from ser_core import classical, corpora, features, labels, splits
from ser_core.errors import RefusalError, SerError

FIELDS = {
    "name": "name of the experiment and of its folder of Runs",
    "question": "what it is to answer, one sentence",
    "corpora": "corpora to use",
    "protocols": "split protocols",
    "features": "feature sets",
    "models": "names of classifiers",
    "normalisations": "none, train, speaker",
    "labels": "label harmonisation",
    "folds": "number of folds, or 'loo', or a mapping from <corpus> or <corpus>.<protocol> to these",
    "seeds": "seeds of the models, and of the splits where 'splits' is 'per-seed'",
    "splits": "'fixed' (split seed 0) or 'per-seed'",
    "tune": "choose hyperparameters on the dev part of each fold",
    "train_clips": "null, a number, or 'match': the smallest training part among the protocols, for every protocol",
}
_DEFAULTS = {
    "normalisations": ["train"],
    "labels": "native",
    "folds": 5,
    "seeds": [0],
    "splits": "fixed",
    "tune": False,
    "train_clips": None,
}


@dataclass(frozen=True)
class Cell:
    """One system on one corpus under one protocol: everything that decides its predictions.

    Attributes:
        corpus: Corpus to train and test on.
        protocol: Split protocol.
        features: Feature set.
        model: Classifier.
        normalisation: See `ser_core.classical.NORMALISATIONS`.
        labels: Label harmonisation.
        folds: Number of folds or ``loo``.
        seeds: Seeds, one full set of predictions each.
        splits: ``fixed`` or ``per-seed``.
        tune: Whether hyperparameters are chosen on the dev part.
        train_clips: Size that every training part is cut to, or None.
    """

    corpus: str
    protocol: str
    features: str
    model: str
    normalisation: str
    labels: str
    folds: int | str
    seeds: tuple[int, ...]
    splits: str
    tune: bool
    train_clips: int | None

    @property
    def system(self) -> str:
        """Name of the Run's folder."""
        parts = [self.corpus, self.protocol, self.features, self.model, self.normalisation]
        return ".".join(parts + (["tuned"] if self.tune else []))


@dataclass(frozen=True)
class Experiment:
    """An experiment file, resolved.

    Attributes:
        name: Name of the folder of its Runs.
        question: What it is to answer.
        cells: The systems to run.
        refused: Rows corpus, what (a protocol or a feature set), reason: what the data cannot support.
    """

    name: str
    question: str
    cells: tuple[Cell, ...]
    refused: pd.DataFrame


def load(path: Path | str) -> Experiment:
    """Read and resolve an experiment file.

    Args:
        path: A YAML file with the fields of `FIELDS`.

    Returns:
        The experiment; combinations that a corpus cannot support stand in ``refused`` with the reason.

    Raises:
        SerError: If the file is not there or not valid, or a name in it is unknown.
    """
    path = Path(path)
    if not path.is_file():
        raise SerError(f"{path}: no such experiment; there are {sorted(p.name for p in path.parent.glob('*.yaml'))}")
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SerError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(content, dict):
        raise SerError(f"{path}: expected a mapping with the fields {sorted(FIELDS)}")
    if unknown := sorted(set(content) - set(FIELDS)):
        raise SerError(f"{path}: unknown fields {unknown}; expected some of {sorted(FIELDS)}")
    if missing := sorted(set(FIELDS) - set(_DEFAULTS) - set(content)):
        raise SerError(f"{path}: lacks the fields {missing}")
    if content["name"] != path.stem:
        raise SerError(f"{path}: its name is '{content['name']}', not that of the file, '{path.stem}'")
    spec = _DEFAULTS | content
    _check_names(path, spec)
    cells, refused = [], []
    for corpus in spec["corpora"]:
        shared = {key: spec[key] for key in ("labels", "splits", "tune")} | {"corpus": corpus}
        possible = []
        for protocol in spec["protocols"]:
            folds = _n_folds(spec["folds"], corpus, protocol)
            try:
                possible.append((protocol, folds, _smallest_train(spec, corpus, protocol, folds)))
            except RefusalError as error:
                refused.append({"corpus": corpus, "what": protocol, "reason": str(error)})
        reasons = {name: features.refusal(corpus, name) for name in spec["features"]}
        refused += [{"corpus": corpus, "what": name, "reason": reason} for name, reason in reasons.items() if reason]
        size = spec["train_clips"]
        if size == "match" and possible:
            size = min(smallest for _, _, smallest in possible)
        for (protocol, folds, _), name, system, how in itertools.product(
            possible, [name for name, reason in reasons.items() if not reason], spec["models"], spec["normalisations"]
        ):
            once = classical.model(system).deterministic and spec["splits"] == "fixed"
            seeds = tuple(spec["seeds"][:1] if once else spec["seeds"])
            cells.append(
                Cell(
                    protocol=protocol,
                    folds=folds,
                    features=name,
                    model=system,
                    normalisation=how,
                    seeds=seeds,
                    train_clips=size,
                    **shared,
                )
            )
    if not cells:
        raise SerError(
            f"{path}: its corpora support nothing of it; the first reason of {len(refused)}: {refused[0]['reason']}"
        )
    return Experiment(
        content["name"],
        content["question"],
        tuple(cells),
        pd.DataFrame(refused, columns=["corpus", "what", "reason"]),
    )


def _smallest_train(spec: dict, corpus: str, protocol: str, n_folds: int | str) -> int:
    """Return the clips of the smallest training part in all divisions that the seeds make."""
    seeds = spec["seeds"] if spec["splits"] == "per-seed" else [0]
    made = [make_folds(corpus, spec["labels"], protocol, n_folds, seed, None, spec["tune"]) for seed in seeds]
    return int(min(folds.loc[folds["role"] == "train", "fold"].value_counts().min() for folds in made))


def _n_folds(folds: int | str | dict, corpus: str, protocol: str) -> int | str:
    """Return the number of folds; what is said of a protocol goes before what is said of its corpus."""
    if not isinstance(folds, dict):
        return folds
    return folds.get(f"{corpus}.{protocol}", folds[corpus])


def _check_names(path: Path, spec: dict) -> None:
    """Raise if a list in an experiment file holds an unknown name."""
    known = {
        "corpora": corpora.NAMES,
        "protocols": splits.PROTOCOLS,
        "features": features.EXTRACTORS,
        "models": classical.MODELS,
        "normalisations": classical.NORMALISATIONS,
    }
    for key, names in known.items():
        if not isinstance(spec[key], list) or not spec[key]:
            raise SerError(f"{path}: '{key}' must be a list with at least one name, not {spec[key]!r}")
        if unknown := [name for name in spec[key] if name not in names]:
            raise SerError(f"{path}: unknown {key} {unknown}; expected some of {sorted(names)}")
    if spec["splits"] not in ("fixed", "per-seed"):
        raise SerError(f"{path}: 'splits' is 'fixed' or 'per-seed', not {spec['splits']!r}")
    seeds, size = spec["seeds"], spec["train_clips"]
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise SerError(f"{path}: 'seeds' must be a list of whole numbers, not {seeds!r}")
    if not isinstance(spec["tune"], bool):
        raise SerError(f"{path}: 'tune' is true or false, not {spec['tune']!r}")
    if size not in (None, "match") and type(size) is not int:
        raise SerError(f"{path}: 'train_clips' is null, a number, or 'match', not {size!r}")
    if isinstance(spec["folds"], dict) and (missing := sorted(set(spec["corpora"]) - set(spec["folds"]))):
        raise SerError(f"{path}: 'folds' says nothing about {missing}")


@functools.lru_cache(maxsize=8)
def clips_of(corpus: str, harmonisation: str) -> pd.DataFrame:
    """Return a corpus's committed Clips table with the words of a harmonisation."""
    return labels.harmonise(corpora.table(corpus), harmonisation)


@functools.lru_cache(maxsize=64)
def make_folds(
    corpus: str, harmonisation: str, protocol: str, n_folds: int | str, seed: int, train_clips: int | None, tune: bool
) -> pd.DataFrame:
    """Return checked Folds; an untuned system trains on the dev part too, unless a published split has taken it.

    Args:
        corpus: One of `ser_core.corpora.NAMES`.
        harmonisation: One of `ser_core.labels.HARMONISATIONS`.
        protocol: One of `ser_core.splits.PROTOCOLS`.
        n_folds: See `ser_core.splits.make`.
        seed: Seed of the division.
        train_clips: See `ser_core.splits.make`.
        tune: Whether the system chooses hyperparameters on the dev part.
    """
    clips = clips_of(corpus, harmonisation)
    dev = tune or splits.PROTOCOLS[protocol].published is not None
    folds = splits.make(clips, protocol, n_folds=n_folds, seed=seed, train_clips=train_clips, dev=dev)
    splits.check(folds, clips)
    return folds
