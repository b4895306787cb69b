"""What makes a Run the Run it is: its system, who is trained on and tested, its data; and which code decided it."""

import functools
import hashlib
from dataclasses import asdict

import numpy as np

from ser_core import files
from ser_core.data import corpora, labels, transcripts
from ser_core.experiments import code_hash, runs
from ser_core.experiments.fold import divide
from ser_core.experiments.specs import ClassicalSystem, LateFusion, NetworkSystem, System
from ser_core.systems import features, registry
from ser_core.systems.settings import Recipe

# Not followed: what they return is hashed itself, as data, folds or labels, or is a setting in the resolved system.
_HASHED = (
    *("errors", "paths", "files", "data.corpora", "data.splits", "data.transcripts", "systems.features"),
    *(f"data.labels:{name}" for name in ("_mapping", "HARMONISATIONS", "SHORTEST", "coverage")),
    *(f"systems.settings:{name}" for name in ("Recipe", "Augmentation", "_settings")),
    *(f"systems.classifiers:{name}" for name in ("NORMALISATIONS", "OF_WORDS")),
    "experiments.fold:divide",
    *(f"experiments.specs:{name}" for name in ("ClassicalSystem", "NetworkSystem", "LateFusion")),
    *(f"experiments.runs:{name}" for name in ("Run", "info", "folder", "check_table")),
    # Names; the code behind them is followed from where they are named.
    "systems.registry",
)
# A fitter calls the methods of what it is given, which its own code does not name.
_OF_FOLDS = ("experiments.fold:make", "experiments.fold:Fold")
# What a recipe makes of its settings; its checks and defaults do not count, for the resolved system has the values.
_OF_RECIPES = tuple(f"systems.settings:Recipe.{name}" for name in ("of_inputs", "of_texts", "hears", "reads", "anew"))
_OF_AUGMENTATIONS = tuple(f"systems.settings:Augmentation.{name}" for name in ("from_mapping", "waveform", "image"))


@functools.lru_cache(maxsize=64)
def data_hash(corpus: str, extractor: str) -> str:
    """Return the hash of a Run's input data: features and their names, and who says what in which clip."""
    table = features.load(corpus, extractor)
    facts = corpora.table(corpus).loc[table.index, ["speaker", "gender", "emotion", "sentence", "session", "split"]]
    digest = hashlib.sha256("\n".join([*table.columns, facts.to_csv(na_rep="?")]).encode())
    if extractor in features.WORDS:
        digest.update(table.to_csv().encode())
    else:
        digest.update(np.ascontiguousarray(table.to_numpy("float32")).tobytes())
    return digest.hexdigest()[:16]


def audio_hash(corpus: str) -> str:
    """Return the hash of a network's input data: the audio of each clip, and who says what in it."""
    table = corpora.table(corpus)
    facts = table[["sha256", "speaker", "gender", "emotion", "sentence", "session", "split"]]
    return hashlib.sha256(facts.to_csv(na_rep="?").encode()).hexdigest()[:16]


def text_hash(corpus: str, recipe: Recipe) -> str:
    """Return 16 hex digits of what a network reads of each clip of a corpus."""
    read = transcripts.texts(corpus, recipe.context, recipe.words)
    return files.digest(sorted(read.items()))


def labels_hash(system: System) -> str:
    """Return 16 hex digits of what a system's label harmonisation makes of the words of its corpora."""
    mapping = {corpus: labels.mapping(system.labels, corpus) for corpus in corpora.parts(system.corpus)}
    return files.digest(mapping, labels.SHORTEST.get(system.labels, 0.0))


def folds_hash(system: System) -> str:
    """Return 16 hex digits of who is trained on and who is tested, in all seeds and folds of a system."""
    where = (system.corpus, system.labels, system.protocol, system.folds)
    return _folds_hash(where, tuple(map(system.division_seed, system.seeds)), system.train_clips, system.tune)


# Kept by what decides a division, since many systems share theirs.
@functools.lru_cache(maxsize=1024)
def _folds_hash(where: tuple, seeds: tuple[int, ...], train_clips: int | None, tune: bool) -> str:
    digest = hashlib.sha256()
    for seed in seeds:
        folds = divide(*where, seed, train_clips, tune)
        digest.update(folds[["fold", "role", "clip"]].to_csv(index=False).encode())
    return digest.hexdigest()[:16]


def data_of(system: System) -> str:
    """Return the digest of the data that a system is trained on; of a fusion, of the predictions of its members."""
    if isinstance(system, LateFusion):
        return files.digest([_member(system, member) for member in system.members])
    if isinstance(system, NetworkSystem):
        heard = audio_hash(system.corpus)
        return files.digest([heard, text_hash(system.corpus, system.recipe)]) if system.recipe.reads else heard
    if system.test_features:
        return files.digest([data_hash(system.corpus, name) for name in (system.features, system.test_features)])
    return data_hash(system.corpus, system.features)


def _member(system: LateFusion, member: str) -> object:
    """Return what a fusion takes from a member: the digests of a Run's tables, or that of the features."""
    if fitted := system.fitted(member):
        return data_hash(system.corpus, fitted.features)
    tables = runs.info(member)["tables"]
    return {name: tables[name] for name in ("dev", "predictions") if name in tables}


def identity(system: System) -> dict[str, object]:
    """Return what makes a Run the Run it is, as its ``run.json`` holds it.

    Args:
        system: The resolved system.

    Returns:
        The system under ``cell``, and the digests ``divisions`` of its folds, ``data`` of what it is trained on and
        ``labels`` of its label mapping; and ``key``, the digest of these four. Code is not part of it: another code
        makes the same Run unverified, not another one.

    Raises:
        SerError: If features, a member's Run or a table of clips is not there.
    """
    found = {"cell": asdict(system), "divisions": folds_hash(system), "data": data_of(system)}
    found["labels"] = labels_hash(system)
    return found | {"key": key(found)}


def key(info: dict) -> str:
    """Return the digest of the four fields that `identity` gives, from it or from a ``run.json``.

    Examples:
        >>> key({"cell": {}, "divisions": "a", "data": "b", "labels": "c"}) == key(
        ...     {"cell": {}, "divisions": "a", "data": "b", "labels": "c", "code": "d"}
        ... )
        True
    """
    return files.digest(*(info[name] for name in ("cell", "divisions", "data", "labels")))


def code_of(system: System) -> str:
    """Return the digest of the code that decides a system's predictions, see `ser_core.experiments.code_hash.digest`.

    Of a registry only what the system names counts: its classifier, its encoders, its fusion head, its rule.
    """
    if isinstance(system, ClassicalSystem):
        return code_hash.digest(
            ["experiments.fitting.classical:fit_fold", "experiments.fitting:tables", *_OF_FOLDS],
            without=_HASHED,
            entries={"systems.classifiers:MODELS": system.model},
        )
    if isinstance(system, LateFusion):
        entries = {"experiments.fitting.late_fusion:COMBINE": system.rule}
        fitted = {member.model for member in map(system.fitted, system.members) if member}
        if len(fitted) <= 1:
            entries["systems.classifiers:MODELS"] = next(iter(fitted), "")
        roots = ["experiments.fitting.late_fusion:fit_fold", "experiments.fitting:member", *_OF_FOLDS]
        roots.append("experiments.specs:LateFusion.fitted")
        without = (*_HASHED, *([] if fitted else ["experiments.fitting:_fitted"]))
        return code_hash.digest(roots, without=without, entries=entries)
    recipe = system.recipe
    roots = ["experiments.fitting.network:fit_fold", "experiments.fitting.network:material", *_OF_FOLDS, *_OF_RECIPES]
    roots += _OF_AUGMENTATIONS if recipe.augmentation else ()
    roots += ["systems.precision:settled"] if recipe.precision == "auto" else ()
    roots += [f"{registry.encoder(name).module}:load" for name in (recipe.encoder, recipe.text) if name]
    if recipe.text:
        roots += registry.FUSION_HEADS[recipe.fusion.removeprefix("audio:")]
    without = [*_HASHED, "systems.encoders:load"]
    if not recipe.augmentation:
        without.append("systems.augmentation")
    if not recipe.text:
        without += ["systems.networks.fusion_heads", "systems.networks.fused"]
    entries = {
        "systems.classifiers:MODELS": "logreg",  # of the speaker probe
        "evaluation.metrics:METRICS": recipe.select,
    }
    return code_hash.digest(roots, without=without, entries=entries)
