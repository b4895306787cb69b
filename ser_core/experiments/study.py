"""A study of one's own corpus: card, audit, baselines on known and on new speakers, and what may be claimed of them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ser_core.data import audit, cards, corpora
from ser_core.data.audit import Report
from ser_core.errors import SerError
from ser_core.evaluation import comparisons, floors, metrics, power, score_sheet
from ser_core.evaluation.comparisons import Difference
from ser_core.evaluation.intervals import Interval
from ser_core.experiments import configuration, importance, learning_curve, runner, runs, scoring, working_folder
from ser_core.experiments.configuration import Experiment
from ser_core.experiments.fold import clips_of, division
from ser_core.experiments.learning_curve import Curve
from ser_core.experiments.specs import ClassicalSystem
from ser_core.systems import features, speaker_probe, weights

KNOWN, NEW = "clip", "speaker"
"""The two divisions that a study compares: of clips at random, and of speakers."""
HANDMADE = "egemaps"
WHISPER = {"whisper-base": "whisper-base.layer3", "whisper-tiny.en": "whisper-tiny.en.layer3"}
"""Weights -> the feature set that a study takes of them, if they are there; the first that is."""

_FILE = """\
# Made by `ser study`; a copy under another name is yours to change.
name: {name}
question: How well are emotions recognised in speakers who were not trained on, and what does knowing the speakers add?
corpora: [{csv}]
protocols: [clip, speaker]
features: [{features}]
models: [logreg]
folds: {folds}
# Training parts are cut to one size, or the larger one alone would raise its score.
train_clips: match
"""


@dataclass(frozen=True)
class Study:
    """What a study found; everything that its report shows.

    Attributes:
        name: Name of the corpus.
        clips: Its Clips table.
        measured: What its files say, as `ser_core.data.cards.measure`.
        refused: Rows corpus, what, reason: what the corpus does not support, and rows of its CSV with a problem.
        audits: Protocol -> audit.
        floors: Protocol -> what can be scored without listening, as `ser_core.evaluation.floors.floors`.
        scores: One row a Run: ``protocol``, ``features``, ``run``, ``interval`` (UAR).
        premiums: Feature set -> how much higher the score is on known speakers, paired.
        importance: Group of eGeMAPS features -> what is lost when it is shuffled; empty where it cannot be fitted.
        curve: Learning curve over speakers, or the reason why there is none.
        values: The feature set of the map, one row a clip.
        mapped: Name of that feature set.
        speaker_told: Share of clips whose speaker a linear classifier names from these values; None if it cannot be.
    """

    name: str
    clips: pd.DataFrame
    measured: dict
    refused: pd.DataFrame
    audits: dict[str, Report]
    floors: dict[str, pd.DataFrame]
    scores: pd.DataFrame
    premiums: dict[str, Difference]
    importance: dict[str, Difference]
    curve: Curve | str
    values: pd.DataFrame
    mapped: str
    speaker_told: float | None

    def run(self, protocol: str) -> str | None:
        """Return the Run of a protocol whose confusions and speakers are shown: the better of the feature sets."""
        rows = self.scores[self.scores["protocol"] == protocol]
        if rows.empty:
            return None
        return rows["run"].iloc[int(np.argmax([found.value for found in rows["interval"]]))]

    def interval(self, protocol: str) -> Interval | None:
        """Return the score of that Run."""
        run = self.run(protocol)
        return None if run is None else self.scores.set_index("run").at[run, "interval"]


def prepare(csv: Path, feature_sets: Sequence[str] = (), *, progress: bool = False) -> Experiment:
    """Return the experiment of a study, and write its file into the working folder.

    Args:
        csv: A CSV as `ser_core.data.corpora.local.read` takes it, or the name of a corpus in the working folder.
        feature_sets: Feature sets; eGeMAPS, and Whisper's third layer where its weights are there, if none is given.
        progress: Show a progress bar.

    Raises:
        SerError: If there is no working folder, the CSV is not valid, or the corpus supports neither division.
    """
    corpus, here = working_folder.corpus_of(csv, progress=progress)
    named = list(feature_sets) or [HANDMADE, *_whisper()]
    people = corpora.table(corpus)["speaker"].nunique()
    name = f"study-{corpus}"
    content = _FILE.format(
        name=name,
        csv=json.dumps(here, ensure_ascii=False),
        features=", ".join(named),
        folds=max(2, min(5, people)),
    )
    return configuration.load(working_folder.write_experiment(name, content))


def _whisper() -> list[str]:
    return [WHISPER[name] for name in WHISPER if weights.find(name)][:1]


def run(experiment: Experiment, *, jobs: int = -1, progress: bool = False, note: Callable[[str], None] = print) -> None:
    """Extract the features of a study and make its Runs; what is there already stays.

    Args:
        experiment: From `prepare`.
        jobs: Processes; -1 is one a core.
        progress: Show progress bars.
        note: Called with a line for each Run that is made again, which says why.
    """
    for corpus, name in dict.fromkeys((system.corpus, system.features) for system in experiment.systems):
        features.extract(corpus, name, jobs=jobs, progress=progress)
    runner.run(experiment, jobs=jobs, progress=progress, note=note)


def gather(experiment: Experiment, *, progress: bool = False) -> Study:
    """Measure, audit and score a corpus whose Runs are made.

    Args:
        experiment: From `prepare`.
        progress: Show progress bars.

    Returns:
        What was found.

    Raises:
        SerError: If a Run or features are not there.
    """
    systems = {(system.protocol, system.features): system for system in experiment.systems}
    corpus = experiment.systems[0].corpus
    reading = corpora.read(corpus, progress=progress)
    clips = clips_of(corpus, experiment.systems[0].labels)
    pairs, levels = audit.heard(clips, progress=progress)
    protocols = list(dict.fromkeys(protocol for protocol, _ in systems))
    divided = {
        protocol: division(next(one for one in experiment.systems if one.protocol == protocol), 0)
        for protocol in protocols
    }
    rows = [
        {"protocol": protocol, "features": name, "run": f"{experiment.name}/{system.folder}"}
        for (protocol, name), system in systems.items()
    ]
    scores = pd.DataFrame(rows)
    scores["interval"] = [uar(run) for run in scores["run"]]
    premiums = {}
    for name, table in scores.groupby("features", sort=False):
        runs_of = table.set_index("protocol")["run"]
        if {KNOWN, NEW} <= set(runs_of.index):
            premiums[name] = comparisons.difference(*(scoring.predictions_of(runs_of[one]) for one in (KNOWN, NEW)))
    mapped = scores["features"].iloc[-1]
    values = features.load(corpus, mapped).loc[clips.index]
    told = speaker_probe.speakers(values.to_numpy("float32"), clips)
    new = systems.get((NEW, HANDMADE))
    return Study(
        name=corpus,
        clips=clips,
        measured=cards.measure(reading, pairs),
        refused=experiment.refused,
        audits={
            one: audit.audit(clips, folds, levels=levels, duplicates=pairs, recordings=reading.files)
            for one, folds in divided.items()
        },
        floors={one: floors.floors(clips, folds, "uar") for one, folds in divided.items()},
        scores=scores,
        premiums=premiums,
        importance=importance.importance(new, importance.groups(features.columns(HANDMADE))) if new else {},
        curve=_curve(new or next((one for (way, _), one in systems.items() if way == NEW), None)),
        values=values,
        mapped=mapped,
        speaker_told=None if told is None else float((told["truth"] == told["prediction"]).mean()),
    )


def uar(run: str) -> Interval:
    """Return the UAR of a Run with its interval, or with the reason why it has none, as that speakers are not named.

    Args:
        run: As for `ser_core.experiments.scoring.score`.
    """
    table = scoring.predictions_of(run)
    if table["speaker"].isna().any():
        return score_sheet.headline(table).at[metrics.LABELS["uar"], "interval"]
    return scoring.score(run)


def _curve(system: ClassicalSystem | None) -> Curve | str:
    if system is None:
        return "the corpus cannot be divided by speakers"
    try:
        return learning_curve.curve(system)
    except SerError as error:
        return str(error)


def predictions(study: Study, protocol: str) -> pd.DataFrame:
    """Return the predictions of the Run of a protocol that a study shows."""
    return runs.read(study.run(protocol)).predictions


def claims(study: Study) -> tuple[list[str], list[str]]:
    """Return what may be claimed of a corpus after a study, and what may not; one sentence each.

    Args:
        study: A study.
    """
    may, not_ = [], []
    new, known = study.interval(NEW), study.interval(KNOWN)
    people = study.clips["speaker"].nunique()
    if new is None:
        not_.append("Nothing may be said of people who were not trained on: the corpus cannot be divided by speakers.")
    elif new.refusal:
        not_.append(f"No interval, so nothing beyond these very people: {new.refusal}.")
        may.append(
            f"These {people} people, when each is left out of training, are recognised with UAR {new.value:.3f}."
        )
    else:
        chance = float(study.floors[NEW].loc["chance", "uar"])
        words = f"UAR {new.text()} ({new.level:.0%} interval over {people} speakers)"
        if new.side(chance) > 0:
            may.append(
                f"People like these who were not trained on are recognised with {words}; chance is {chance:.3f}."
            )
        else:
            not_.append(
                f"That emotions of new people are recognised at all: {words} is not above chance, {chance:.3f}."
            )
        shortcuts = study.audits[NEW].shortcuts["uar"].sort_values(ascending=False)
        strong = shortcuts[shortcuts >= new.low]
        if len(strong) and strong.iloc[0] > chance + 0.05:
            not_.append(
                f"That an emotion is heard: the {strong.index[0]} alone gives UAR {strong.iloc[0]:.3f}, which the "
                "interval does not exclude."
            )
        elif len(shortcuts):
            may.append(
                f"More is heard than the strongest single shortcut, {shortcuts.index[0]} (UAR {shortcuts.iloc[0]:.3f})."
            )
    if known is not None:
        not_.append(
            f"The score of the random division, UAR {known.value:.3f}, as a result: its test speakers were trained on."
        )
    for name, found in study.premiums.items():
        least = power.detectable_in(found)
        if found.interval.side() > 0:
            may.append(f"Knowing the speakers adds to UAR with {_title(name)}: {found.text()}.")
        elif not np.isnan(least):
            not_.append(
                f"That knowing the speakers adds nothing with {_title(name)} ({found.text()}): a difference below "
                f"{least:.3f} would be missed more than once in five."
            )
    for emotion, row in study.audits[next(iter(study.audits))].effective_speakers.iterrows():
        if row["effective"] < 3:
            not_.append(f"Anything of '{emotion}' by itself: its clips count as {row['effective']:.1f} speakers.")
    for audited in study.audits.values():
        findings = audited.findings
        for check in ("duplicate recordings", "recording overlap"):
            if len(rows := findings[findings["check"] == check]):
                not_.append(f"Scores as they are before this is mended: {rows['detail'].iloc[0]}.")
                break
        else:
            continue
        break
    sentences = study.clips["sentence"].nunique()
    if 0 < sentences < len(study.clips) / 3:
        not_.append(f"Scores on other sentences: the {sentences} sentences of the test clips were trained on, too.")
    not_.append(
        "Other microphones, rooms, languages, ages and unacted speech: one corpus cannot tell; try ser transfer."
    )
    return may, not_


def _title(name: str) -> str:
    return features.get(name).short


def titles(study: Study) -> dict[str, str]:
    """Return what to call each feature set of a study."""
    return {name: _title(name) for name in study.scores["features"].unique()}


def by_speaker(study: Study, protocol: str) -> pd.DataFrame:
    """Return what is known of each speaker: clips, emotions, and the accuracy and UAR of the Run that is shown.

    Args:
        study: A study.
        protocol: A protocol that it has a Run of.

    Returns:
        Index speaker, sorted by accuracy.
    """
    table = predictions(study, protocol)
    rows = []
    for speaker, part in table.groupby("speaker"):
        who = study.clips[study.clips["speaker"] == speaker]
        row = {
            "speaker": speaker.partition("/")[2],
            "gender": who["gender"].iloc[0],
            "clips": len(part),
            "emotions": part["truth"].nunique(),
            "accuracy": float((part["truth"] == part["prediction"]).mean()),
            "UAR": float(metrics.scores(part)["uar"]),
        }
        rows.append(row)
    columns = ["speaker", "gender", "clips", "emotions", "accuracy", "UAR"]
    return pd.DataFrame(rows, columns=columns).set_index("speaker").sort_values("accuracy")
