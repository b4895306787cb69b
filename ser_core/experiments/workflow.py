"""What ``make runs`` makes: each Run that is missing or out of date and can be made with what is here."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ser_core import files
from ser_core.data import corpora
from ser_core.errors import SerError
from ser_core.experiments import configuration, runner
from ser_core.experiments.specs import LateFusion, NetworkSystem, System


@dataclass(frozen=True)
class Job:
    """A Run to be made.

    Attributes:
        experiment: Name of the experiment.
        system: Name of the system within it.
        key: Changes when the Run is to be made again.
        after: The Runs that must be made before, as ``<experiment>/<system>``.
    """

    experiment: str
    system: str
    key: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Runs to be made, and why others cannot be made here.

    Attributes:
        jobs: By name, ``<experiment>/<system>``.
        skipped: One line for each experiment and reason.
    """

    jobs: dict[str, Job]
    skipped: tuple[str, ...]


def plan(paths: Iterable[Path]) -> Plan:
    """Return what can be made of some experiments, with the features, recordings and weights that are here.

    Args:
        paths: Experiment files.

    Returns:
        The jobs, members of a fusion before it; an experiment that cannot be read is skipped whole.
    """
    jobs: dict[str, Job] = {}
    fusions: list[tuple[configuration.Experiment, LateFusion]] = []
    skipped: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        try:
            experiment = configuration.load(path)
        except SerError as error:
            skipped[path.stem, str(error)] = []
            continue
        for system in experiment.systems:
            if isinstance(system, LateFusion):
                fusions.append((experiment, system))
            else:
                _add(jobs, skipped, experiment, system)
    for experiment, system in fusions:
        _add(jobs, skipped, experiment, system)
    return Plan(jobs, tuple(_lines(skipped)))


def _add(jobs: dict[str, Job], skipped: dict, experiment: configuration.Experiment, system: System) -> None:
    """Add the job of a system if its Run is to be made, or the reason why it cannot be."""
    before = tuple(name for name in getattr(system, "members", ()) if name in jobs)
    try:
        if before:
            # Its own key is known when they are made.
            keys = [files.digest([jobs[name].key for name in before])]
        else:
            keys = [key for _, key in runner.pending(experiment, systems=(system.folder,))]
        if keys and isinstance(system, NetworkSystem):
            check_inputs(system)
    except SerError as error:
        skipped.setdefault((experiment.name, str(error)), []).append(system.folder)
    else:
        for key in keys:
            jobs[f"{experiment.name}/{system.folder}"] = Job(experiment.name, system.folder, key, before)


def check_inputs(system: NetworkSystem) -> None:
    """Raise if a network cannot be trained here.

    Args:
        system: The system.

    Raises:
        SerError: If a recording, a checkpoint or a library that it takes is not there.
    """
    recipe = system.recipe
    if recipe.hears:
        _check_recordings(system.corpus)
    for part in (recipe, recipe.of_texts()) if recipe.text else (recipe,):
        _check_encoder(part.encoder, part.revision)


@functools.cache
def _check_recordings(corpus: str) -> None:
    for _, row in corpora.table(corpus).iterrows():
        corpora.audio_path(row)


@functools.cache
def _check_encoder(name: str, revision: str | None) -> None:
    try:
        from ser_core.systems import encoders

        encoders.load(name, revision=revision)
    except ImportError as error:
        raise SerError(f"{name}: {error.name} is not installed; requirements.lock has it") from error


def _lines(skipped: dict[tuple[str, str], list[str]]) -> Iterator[str]:
    for (name, reason), systems in skipped.items():
        others = f" and {len(systems) - 1} more" if len(systems) > 1 else ""
        yield f"skipped: {name}{f'/{systems[0]}' if systems else ''}{others}: {reason}"
