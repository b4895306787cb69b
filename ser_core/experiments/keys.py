"""What makes a Run the Run it is: its system, who is trained on and tested, its data; and which code decided it."""

import functools
import hashlib
from dataclasses import asdict

import numpy as np

from ser_core import files
from ser_core.data import corpora, labels, transcripts
from ser_core.experiments import code_hash, runs
from ser_core.experiments.cells import AnyCell, Cell, FusionCell, TrainingCell, division
from ser_core.systems import features, registry
from ser_core.systems.settings import Recipe

# Not followed: what they return is hashed itself, as data, folds or labels, or is a setting in the resolved system.
_HASHED = (
    *("errors", "paths", "files", "data.corpora", "data.splits", "data.transcripts", "systems.features"),
    *(f"data.labels:{name}" for name in ("_mapping", "HARMONISATIONS", "SHORTEST", "coverage")),
    *(f"systems.settings:{name}" for name in ("Recipe", "Augmentation")),
    *(f"systems.classifiers:{name}" for name in ("NORMALISATIONS", "OF_WORDS")),
    *(f"experiments.cells:{name}" for name in ("make_folds", "Cell", "TrainingCell", "FusionCell")),
    *(f"experiments.runs:{name}" for name in ("Run", "info", "folder", "check_table")),
    # Names; the code behind them is followed from where they are named.
    "systems.registry",
)
# What a recipe makes of its settings; its checks and defaults do not count, for the resolved system has the values.
_OF_RECIPES = tuple(f"systems.settings:Recipe.{name}" for name in ("of_inputs", "of_texts", "hears", "reads", "anew"))
_OF_AUGMENTATIONS = tuple(f"systems.settings:Augmentation.{name}" for name in ("from_mapping", "waveform", "image"))


@functools.lru_cache(maxsize=64)
def data_hash(corpus: str, extractor: str) -> str:
    """Return 16 hex digits of what a corpus gives a Run: features and their names, and who says what in which clip."""
    table = features.load(corpus, extractor)
    facts = corpora.table(corpus).loc[table.index, ["speaker", "gender", "emotion", "sentence", "session", "split"]]
    digest = hashlib.sha256("\n".join([*table.columns, facts.to_csv(na_rep="?")]).encode())
    if extractor in features.WORDS:
        digest.update(table.to_csv().encode())
    else:
        digest.update(np.ascontiguousarray(table.to_numpy("float32")).tobytes())
    return digest.hexdigest()[:16]


def audio_hash(corpus: str) -> str:
    """Return 16 hex digits of what a corpus gives a network: what is heard in each clip, and who says what in it."""
    table = corpora.table(corpus)
    facts = table[["sha256", "speaker", "gender", "emotion", "sentence", "session", "split"]]
    return hashlib.sha256(facts.to_csv(na_rep="?").encode()).hexdigest()[:16]


def text_hash(corpus: str, recipe: Recipe) -> str:
    """Return 16 hex digits of what a network reads of each clip of a corpus."""
    read = transcripts.texts(corpus, recipe.context, recipe.words)
    return files.digest(sorted(read.items()))


def labels_hash(cell: AnyCell) -> str:
    """Return 16 hex digits of what a system's label harmonisation makes of the words of its corpora."""
    extra = cell.recipe.extra if isinstance(cell, TrainingCell) else ()
    mapping = {corpus: labels.mapping(cell.labels, corpus) for corpus in (*corpora.parts(cell.corpus), *extra)}
    return files.digest(mapping, labels.SHORTEST.get(cell.labels, 0.0))


@functools.lru_cache(maxsize=1024)
def folds_hash(cell: AnyCell) -> str:
    """Return 16 hex digits of who is trained on and who is tested, in all seeds and folds of a cell."""
    digest = hashlib.sha256()
    for seed in cell.seeds:
        digest.update(division(cell, seed)[["fold", "role", "clip"]].to_csv(index=False).encode())
    return digest.hexdigest()[:16]


def data_of(cell: AnyCell) -> str:
    """Return the digest of the data that a cell is trained on; of a fusion, of the predictions of its members."""
    if isinstance(cell, FusionCell):
        return files.digest([_member(cell, member) for member in cell.members])
    if isinstance(cell, TrainingCell):
        names = (cell.corpus, *cell.recipe.extra)
        found = [audio_hash(corpus) for corpus in names]
        if cell.recipe.reads:
            found += [text_hash(corpus, cell.recipe) for corpus in names]
        return files.digest(found) if len(found) > 1 else found[0]
    if cell.test_features:
        return files.digest([data_hash(cell.corpus, name) for name in (cell.features, cell.test_features)])
    return data_hash(cell.corpus, cell.features)


def _member(cell: FusionCell, member: str) -> object:
    """Return what a fusion takes from a member: the digests of a Run's tables, or that of the features."""
    if member.count("/") == 2:
        return data_hash(cell.corpus, member.split("/")[0])
    tables = runs.info(member)["tables"]
    return {name: tables[name] for name in ("dev", "predictions") if name in tables}


def identity(cell: AnyCell) -> dict[str, object]:
    """Return what makes a Run the Run it is, as its ``run.json`` holds it.

    Args:
        cell: The resolved system.

    Returns:
        The ``cell`` itself, and the digests ``divisions`` of its folds, ``data`` of what it is trained on and
        ``labels`` of its label mapping; and ``key``, the digest of these four. Code is not part of it: another code
        makes the same Run unverified, not another one.

    Raises:
        SerError: If features, a member's Run or a table of clips is not there.
    """
    found = {"cell": asdict(cell), "divisions": folds_hash(cell), "data": data_of(cell), "labels": labels_hash(cell)}
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


def code_of(cell: AnyCell) -> str:
    """Return the digest of the code that decides a cell's predictions, see `ser_core.experiments.code_hash.digest`.

    Of a registry only what the cell names counts: its classifier, its encoders, its fusion head, its rule.
    """
    if isinstance(cell, Cell):
        return code_hash.digest(
            ["experiments.fitting.classical:fit_fold"],
            without=_HASHED,
            entries={"systems.classifiers:MODELS": cell.model},
        )
    if isinstance(cell, FusionCell):
        entries = {"experiments.fitting.late_fusion:COMBINE": cell.rule}
        fitted = sorted(member.split("/")[1] for member in cell.members if member.count("/") == 2)
        if len(set(fitted)) <= 1:
            entries["systems.classifiers:MODELS"] = next(iter(fitted), "")
        without = (*_HASHED, *([] if fitted else ["experiments.fitting.late_fusion:_classical"]))
        return code_hash.digest(["experiments.fitting.late_fusion:fit_fold"], without=without, entries=entries)
    recipe = cell.recipe
    roots = ["experiments.fitting.network:fit_fold", *_OF_RECIPES, *(_OF_AUGMENTATIONS if recipe.augmentation else ())]
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
