"""Experiments: how a declarative YAML file becomes systems, one system on one corpus under one protocol each."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ser_core.data import corpora, labels, splits, transcripts
from ser_core.data.audit.names import left_out as clips_left_out
from ser_core.errors import RefusalError, SerError
from ser_core.experiments import wellformed
from ser_core.experiments.fold import clips_of, divide, division
from ser_core.experiments.specs import ClassicalSystem, LateFusion, NetworkSystem, System
from ser_core.files import yamlfile
from ser_core.systems import classifiers, features, registry
from ser_core.systems.settings import recipe

FIELDS = {
    "name": "name of the experiment and of its folder of Runs",
    "question": "what it is to answer, one sentence",
    "corpora": "corpora to use, by name, or by the path of a CSV of your own; joined by '+', one corpus of all clips",
    "pairs": "true: all unions of two of the corpora in place of the corpora",
    "protocols": "split protocols",
    "features": "feature sets, or layers of one, as whisper-base.layer3",
    "test_features": "for each feature set, what the test part is given instead, with the same columns; null: the same",
    "models": "names of classifiers",
    "normalisations": "none, train, speaker, corpus, coral; of words only, and for them alone, tfidf",
    "networks": "instead of features, models and normalisations: name of a network to its settings",
    "recipe": "settings that the networks share, see ser_core.systems.settings.Recipe",
    "fusions": "instead of all these: name of a fusion to its members, rule, and whether seeds are averaged",
    "labels": "label harmonisation",
    "folds": "number of folds, 'loo', '2 of 6' (the first two), or a mapping from <corpus>[.<protocol>] to these",
    "seeds": "seeds of the models, and of the splits where 'splits' is 'per-seed'",
    "splits": "'fixed' (split seed 0) or 'per-seed'; for networks 'fixed' or a list of split seeds, crossed with seeds",
    "tune": "choose hyperparameters on the dev part of each fold",
    "train_clips": "null, a number, or 'match': the smallest training part among the protocols, for every protocol",
}
_DEFAULTS = {
    "pairs": False,
    "features": [],
    "test_features": [None],
    "models": [],
    "normalisations": ["train"],
    "networks": {},
    "recipe": {},
    "fusions": {},
    "labels": "native",
    "folds": 5,
    "seeds": [0],
    "splits": "fixed",
    "tune": False,
    "train_clips": None,
}


@dataclass(frozen=True)
class Experiment:
    """An experiment file, resolved.

    Attributes:
        name: Name of the folder of its Runs.
        question: What it is to answer.
        systems: The systems to run.
        refused: Rows corpus, what (a protocol or a feature set), reason: what the data cannot support; of a union under
            a protocol such as ``corpus+2`` also each corpus that is not tested; of a corpus of one's own also each row
            of its CSV with a problem.
    """

    name: str
    question: str
    systems: tuple[System, ...]
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
    content = yamlfile.read(path)
    if not isinstance(content, dict):
        raise SerError(f"{path}: expected a mapping with the fields {sorted(FIELDS)}")
    if unknown := sorted(map(str, set(content) - set(FIELDS))):
        raise SerError(f"{path}: unknown fields {unknown}; expected some of {sorted(FIELDS)}")
    if missing := sorted(set(FIELDS) - set(_DEFAULTS) - set(content)):
        raise SerError(f"{path}: lacks the fields {missing}")
    if content["name"] != path.stem:
        raise SerError(f"{path}: its name is '{content['name']}', not that of the file, '{path.stem}'")
    wellformed.check_own_name(path)
    wellformed.check(path, content)
    spec = _DEFAULTS | content
    spec["corpora"], problems = _own_corpora(path, spec["corpora"])
    spec["corpora"] = _pairs(path, spec)
    _check_names(path, spec, set(content))
    made = _networks if spec["networks"] else _fusions if spec["fusions"] else _classical
    systems, refused = made(path, spec)
    if not systems:
        raise SerError(
            f"{path}: its corpora support nothing of it; the first reason of {len(refused)}: {refused[0]['reason']}"
        )
    return Experiment(
        content["name"],
        content["question"],
        tuple(systems),
        pd.DataFrame(problems + refused, columns=["corpus", "what", "reason"]).drop_duplicates(ignore_index=True),
    )


def left_out(experiment: Experiment) -> list[str]:
    """Return a line for each corpus of which the label harmonisation of an experiment leaves clips out.

    Args:
        experiment: From `load`.
    """
    used = {(corpus, system.labels) for system in experiment.systems for corpus in corpora.parts(system.corpus)}
    found = []
    for corpus, name in sorted(used):
        clips = labels.harmonise(corpora.table(corpus), name)
        found += [f"{name}: {line}" for line, _ in clips_left_out(clips)]
    return found


def _own_corpora(path: Path, listed: object) -> tuple[object, list[dict]]:
    """Return the corpora with the names of those that are paths, from the experiment file on; and their problems."""
    if not isinstance(listed, list):
        return listed, []
    named, problems = [], []
    for entry in listed:
        if not isinstance(entry, str) or not any(map(corpora.own.is_path, entry.split("+"))):
            named.append(entry)
            continue
        parts = []
        for part in entry.split("+"):
            if corpora.own.is_path(part):
                part, found = corpora.own.add(path.parent / part, corpora.KNOWN)
                problems += [
                    {"corpus": part, "what": row.path, "reason": f"{row.problem}: {row.detail}"}
                    for row in found.itertuples()
                ]
            parts.append(part)
        named.append("+".join(sorted(set(parts))))
    return named, problems


def _pairs(path: Path, spec: dict) -> list[str]:
    """Return the corpora of an experiment file, or all unions of two of them."""
    listed = spec["corpora"]
    if not isinstance(spec["pairs"], bool):
        raise SerError(f"{path}: 'pairs' is true or false, not {spec['pairs']!r}")
    if not spec["pairs"]:
        return listed
    if not isinstance(listed, list) or not all(isinstance(name, str) and "+" not in name for name in listed):
        raise SerError(f"{path}: 'pairs' joins corpora of a list of single ones, not {listed!r}")
    if len(set(listed)) < max(len(listed), 2):
        raise SerError(f"{path}: 'pairs' joins two corpora or more, each listed once, not {listed}")
    return ["+".join(pair) for pair in itertools.combinations(sorted(listed), 2)]


def _networks(path: Path, spec: dict) -> tuple[list[NetworkSystem], list[dict]]:
    """Return the networks of an experiment file and what its corpora cannot support."""
    if spec["train_clips"] == "match":
        raise SerError(f"{path}: 'train_clips' is a number for networks, not 'match'")
    systems, refused = [], []
    shared = {"labels": spec["labels"], "train_clips": spec["train_clips"], "seeds": tuple(spec["seeds"])}
    split_seeds = [0] if spec["splits"] == "fixed" else spec["splits"]
    for name, settings in spec["networks"].items():
        if not isinstance(settings, dict | None):
            raise SerError(
                f"{path}: network '{name}' is {settings!r}; expected a mapping of settings, or {{}} for none"
            )
        try:
            how = recipe({**spec["recipe"], **(settings or {})})
        except SerError as error:
            raise SerError(f"{path}: network '{name}': {error}") from error
        for corpus, protocol, split in itertools.product(spec["corpora"], spec["protocols"], split_seeds):
            where = {"corpus": corpus, "protocol": protocol, "folds": _n_folds(spec["folds"], corpus, protocol)}
            made = NetworkSystem(name=name, recipe=how, split_seed=split, **where, **shared)
            try:
                if reason := _unsupported(made):
                    raise RefusalError(reason)
                refused += _left_out(corpus, protocol, spec, [division(made, 0)])
                systems.append(made)
            except RefusalError as error:
                refused.append({"corpus": corpus, "what": protocol, "reason": str(error)})
    return systems, refused


def _unsupported(system: NetworkSystem) -> str | None:
    """Return what a network takes that one of its corpora does not have, None if all is there."""
    for corpus in corpora.parts(system.corpus):
        if corpus in corpora.ABSENT:
            corpora.table(corpus)  # which says how to get it, if it has none
        if system.recipe.hears and not corpora.info(corpus).has_audio:
            return f"'{corpus}' has no recordings, which network '{system.name}' hears"
        recipe = system.recipe
        if recipe.reads and (reason := transcripts.refusal(corpus, recipe.context, recipe.words)):
            return f"network '{system.name}' has nothing to read: {reason}"
    return None


def _fusions(path: Path, spec: dict) -> tuple[list[LateFusion], list[dict]]:
    """Return the fusions of an experiment file and what its corpora cannot support."""
    systems, refused = [], []
    for (name, fusion), corpus, protocol in itertools.product(
        spec["fusions"].items(), spec["corpora"], spec["protocols"]
    ):
        _check_fusion(path, name, fusion)
        seeds = tuple(spec["seeds"][:1] if fusion["average"] else spec["seeds"])
        made = LateFusion(
            corpus=corpus,
            protocol=protocol,
            name=name,
            members=tuple(member.format(corpus=corpus, protocol=protocol) for member in fusion["members"]),
            rule=fusion["rule"],
            average=fusion["average"],
            labels=spec["labels"],
            folds=_n_folds(spec["folds"], corpus, protocol),
            seeds=seeds,
            splits=spec["splits"],
        )
        try:
            refused += _left_out(corpus, protocol, spec, [division(made, seed) for seed in seeds])
            systems.append(made)
        except RefusalError as error:
            refused.append({"corpus": corpus, "what": protocol, "reason": str(error)})
    return systems, refused


def _check_fusion(path: Path, name: str, fusion: object) -> None:
    """Raise if the settings of a fusion in an experiment file are not what they should be."""
    if not isinstance(fusion, dict) or set(fusion) != {"members", "rule", "average"}:
        found = sorted(fusion) if isinstance(fusion, dict) else repr(fusion)
        raise SerError(f"{path}: fusion '{name}' has {found}; expected members, rule and average")
    members = fusion["members"]
    if not isinstance(members, list) or not members or not all(isinstance(member, str) for member in members):
        raise SerError(f"{path}: fusion '{name}': 'members' is a list of at least one name, not {members!r}")
    wellformed.check_fusion(path, name, fusion)
    if wrong := [member for member in members if set("{}") & set(re.sub(r"\{(corpus|protocol)\}", "", member))]:
        raise SerError(f"{path}: fusion '{name}': only {{corpus}} and {{protocol}} stand in braces, not as in {wrong}")
    if fusion["rule"] not in registry.RULES:
        raise SerError(f"{path}: fusion '{name}': 'rule' is one of {list(registry.RULES)}, not {fusion['rule']!r}")
    if not isinstance(fusion["average"], bool):
        raise SerError(f"{path}: fusion '{name}': 'average' is true or false, not {fusion['average']!r}")


def _classical(path: Path, spec: dict) -> tuple[list[ClassicalSystem], list[dict]]:
    """Return the systems on stored features of an experiment file and what its corpora cannot support."""
    systems, refused = [], []
    for corpus in spec["corpora"]:
        shared = {key: spec[key] for key in ("labels", "splits", "tune")} | {"corpus": corpus}
        possible = []
        for protocol in spec["protocols"]:
            folds = _n_folds(spec["folds"], corpus, protocol)
            try:
                made = _divisions(spec, corpus, protocol, folds)
                refused += _left_out(corpus, protocol, spec, made)
                sizes = [table.loc[table["role"] == "train", "fold"].value_counts().min() for table in made]
                possible.append((protocol, folds, int(min(sizes))))
            except RefusalError as error:
                refused.append({"corpus": corpus, "what": protocol, "reason": str(error)})
        named = {*spec["features"], *spec["test_features"]} - {None}
        reasons = {name: features.refusal(corpus, name) for name in sorted(named)}
        refused += [{"corpus": corpus, "what": name, "reason": reason} for name, reason in reasons.items() if reason]
        size = spec["train_clips"]
        if size == "match" and possible:
            size = min(smallest for _, _, smallest in possible)
        for protocol, _, smallest in possible if size else ():
            if size > smallest:
                reason = f"{corpus} has {smallest} training clips under '{protocol}', fewer than {size}"
                refused.append({"corpus": corpus, "what": protocol, "reason": reason})
        possible = [one for one in possible if not size or size <= one[2]]
        given = [(name, other) for name in spec["features"] for other in spec["test_features"]]
        given = [pair for pair in given if not any(map(reasons.get, pair))]
        for (protocol, folds, _), (name, other), system, how in itertools.product(
            possible, given, spec["models"], spec["normalisations"]
        ):
            once = classifiers.model(system).deterministic and spec["splits"] == "fixed"
            seeds = tuple(spec["seeds"][:1] if once else spec["seeds"])
            systems.append(
                ClassicalSystem(
                    protocol=protocol,
                    folds=folds,
                    features=name,
                    test_features=other,
                    model=system,
                    normalisation=how,
                    seeds=seeds,
                    train_clips=size,
                    **shared,
                )
            )
    return systems, refused


def _divisions(spec: dict, corpus: str, protocol: str, n_folds: int | str) -> list[pd.DataFrame]:
    """Return all divisions that the seeds make."""
    seeds = spec["seeds"] if spec["splits"] == "per-seed" else [0]
    return [divide(corpus, spec["labels"], protocol, n_folds, seed, None, spec["tune"]) for seed in seeds]


def _left_out(corpus: str, protocol: str, spec: dict, made: list[pd.DataFrame]) -> list[dict]:
    """Return the corpora that divisions of a union do not test; raise a RefusalError if a fold cannot be trained."""
    for folds in made:
        splits.check_training(folds, clips_of(corpus, spec["labels"]))
    return [{"corpus": corpus, "what": protocol, "reason": reason} for reason in made[0].attrs["refused"]]


def _n_folds(folds: int | str | dict, corpus: str, protocol: str) -> int | str:
    """Return the number of folds; what is said of a protocol goes before what is said of its corpus."""
    if not isinstance(folds, dict):
        return folds
    return folds.get(f"{corpus}.{protocol}", folds[corpus])


def _check_names(path: Path, spec: dict, given: set[str]) -> None:
    """Raise if a list in an experiment file holds an unknown name."""
    known = {
        "corpora": corpora.KNOWN,
        "protocols": splits.PROTOCOLS,
        "features": (*features.EXTRACTORS, *features.WORDS),
        "test_features": (None, *features.EXTRACTORS, *features.WORDS),
        "models": classifiers.MODELS,
        "normalisations": classifiers.NORMALISATIONS,
    }
    if instead := [key for key in ("networks", "fusions") if spec[key]]:
        if both := sorted({"features", "test_features", "models", "normalisations", "tune", *instead[1:]} & given):
            raise SerError(f"{path}: '{instead[0]}' stands for {both}; use one or the other")
        known = {key: known[key] for key in ("corpora", "protocols")}
    for key, names in known.items():
        if not isinstance(spec[key], list) or not spec[key]:
            raise SerError(f"{path}: '{key}' must be a list with at least one name, not {spec[key]!r}")
        if unknown := [name for name in spec[key] if not _known(path, key, name, names)]:
            raise SerError(f"{path}: unknown {key} {unknown}; expected some of {sorted(filter(None, names))}")
        _check_once(path, key, spec[key])
    for one, other in itertools.product(spec["features"], filter(None, spec["test_features"])):
        if one == other or features.columns(one) != features.columns(other):
            raise SerError(f"{path}: '{other}' cannot stand for '{one}' in the test part; name one with its columns")
    _check_words(path, spec)
    if spec["networks"]:
        if spec["splits"] != "fixed" and not _seeds(spec["splits"]):
            raise SerError(
                f"{path}: 'splits' is 'fixed' or a list of whole numbers below {splits.SEEDS}, not {spec['splits']!r}"
            )
        if spec["splits"] != "fixed":
            _check_once(path, "splits", spec["splits"])
    elif spec["splits"] not in ("fixed", "per-seed"):
        raise SerError(f"{path}: 'splits' is 'fixed' or 'per-seed', not {spec['splits']!r}")
    seeds, size = spec["seeds"], spec["train_clips"]
    if not _seeds(seeds):
        raise SerError(f"{path}: 'seeds' must be a list of whole numbers below {splits.SEEDS}, not {seeds!r}")
    _check_once(path, "seeds", seeds)
    if not isinstance(spec["tune"], bool):
        raise SerError(f"{path}: 'tune' is true or false, not {spec['tune']!r}")
    if size not in (None, "match") and type(size) is not int:
        raise SerError(f"{path}: 'train_clips' is null, a number, or 'match', not {size!r}")
    if isinstance(spec["folds"], dict) and (missing := sorted(set(spec["corpora"]) - set(spec["folds"]))):
        raise SerError(f"{path}: 'folds' says nothing about {missing}")


def _check_once(path: Path, key: str, listed: list) -> None:
    """Raise if a list in an experiment file holds a value twice; two systems would have one name."""
    if twice := sorted({str(value) for value in listed if listed.count(value) > 1}):
        raise SerError(f"{path}: '{key}' lists {twice} more than once; list each once")


def _check_words(path: Path, spec: dict) -> None:
    """Raise if words are to be classified as numbers are, or numbers as words."""
    words = [name for name in spec["features"] if name in features.WORDS]
    how = spec["normalisations"]
    if words and (len(words) < len(spec["features"]) or how != ["tfidf"]):
        raise SerError(
            f"{path}: {words} take the normalisation 'tfidf' and other feature sets never do, not {how} of "
            f"{spec['features']}; make an experiment of words alone, with normalisations: [tfidf]"
        )
    if words and (others := [name for name in spec["models"] if name not in classifiers.OF_WORDS]):
        raise SerError(f"{path}: {words} are classified by some of {list(classifiers.OF_WORDS)}, not by {others}")
    if not words and spec["features"] and "tfidf" in how:
        raise SerError(
            f"{path}: the normalisation 'tfidf' is for {list(features.WORDS)}, not for {spec['features']}; use 'train'"
        )


def _known(path: Path, key: str, name: object, names: Iterable[str]) -> bool:
    """Return whether a name is known, or what it is made of: the parts of a union, the stored set of a layer."""
    if not isinstance(name, str):
        return name in names
    try:
        if key == "corpora":
            return all(map(corpora.is_known, corpora.parts(name)))
        return (features.whole_of(name) if key.endswith("features") else name) in names
    except SerError as error:
        raise SerError(f"{path}: {error}") from error


def _seeds(value: object) -> bool:
    """Return whether a value is a list of seeds."""
    if not isinstance(value, list) or not value:
        return False
    return all(type(seed) is int and 0 <= seed < splits.SEEDS for seed in value)
