"""The shipped models and their cards, in the format of the Hugging Face Hub: ``python -m ser_core.book.model_card``."""

from ser_core import files
from ser_core.data import corpora
from ser_core.evaluation.intervals import Interval
from ser_core.experiments import models, runs, scoring
from ser_core.systems import features, linear
from ser_core.systems.linear import Linear

LEFT_OUT = {
    "savee": "its terms forbid to pass it on; it judges the model",
    "tess": "no adapted work may be shared, and it has two speakers",
    "urdu": "for research only, to which a public model could not be held; it judges the model",
    "meld": "its dialogue belongs to others, and its recordings are not here",
    "punjabi_elc": "its recordings are private",
}
"""Corpora of the book that no shipped model was trained on, and why."""

_MISUSE = """\
For research and teaching on acted speech. It tells which emotion an actor was told to play, among four, and not what a
person feels. Do not use it to judge, hire, grade, watch or diagnose people. In the EU, inferring emotions at work and
in education is prohibited, with few exceptions (AI Act, article 5(1)(f)). How it errs with other languages, ages,
accents, rooms and microphones is hardly known; the unheard corpora below are a first look."""


_TERMS = {"egemaps": "openSMILE, which computes the features, is for research and non-commercial use. "}


def write() -> None:
    """Fit the shipped models again, and write them and their cards into ``results/models``."""
    for name in models.SHIPPED:
        model = models.shipped(name)
        path = models.location(name)
        linear.save(model, path)
        with files.replacing(path.parent / "README.md") as temporary:
            temporary.write_text(card(name, model), encoding="utf-8")


def card(name: str, model: Linear) -> str:
    """Return the card of a shipped model: metadata in YAML, then what it is, its scores, calibration and misuse.

    Args:
        name: One of `ser_core.experiments.models.SHIPPED`.
        model: The model of that name.

    Raises:
        SerError: If Runs are missing.
    """
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="audio-classification",
            task_name=f"speech emotion recognition, {how}",
            dataset_type=corpus,
            dataset_name=corpora.info(corpus).title,
            dataset_config=how,  # by which the Hub tells results on one corpus apart
            metric_type="recall",
            metric_name="UAR, mean recall of the classes",
            metric_value=round(found.value, 3),
            metric_args=None if found.refusal else {"low": round(found.low, 3), "high": round(found.high, 3)},
        )
        for corpus, how, found in _scores(name)
    ]
    data = ModelCardData(
        model_name=f"Honest Splits, {name}",
        language=sorted({corpora.info(corpus).language for corpus in model.facts["corpora"]}),
        license=model.facts["licence"],
        library_name="ser-core",
        pipeline_tag="audio-classification",
        tags=["speech-emotion-recognition"],
        base_model="openai/whisper-base" if name == "whisper-base" else None,
        eval_results=results,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{_body(name, model)}\n"


def _scores(name: str) -> list[tuple[str, str, Interval]]:
    """Return corpus, what was tested, and UAR: of new speakers, then of corpora that were not trained on."""
    found, heard = [], runs.info(models.run_of(name))["cell"]["corpus"].split("+")
    for corpus in heard:
        found.append((corpus, "new speakers", scoring.score(f"{models.run_of(name)}@{corpus}")))
    for corpus in heard:
        found.append((corpus, "unheard corpus", scoring.score(f"{models.across(name)}@{corpus}")))
    for corpus in models.UNHEARD:
        found.append((corpus, "unheard corpus", scoring.score(models.across(name, corpus))))
    return found


def _body(name: str, model: Linear) -> str:
    facts, spec = model.facts, features.get(name)
    held_out, share = facts["held_out"], "{:.0%}".format
    table = [
        f"| {corpora.info(corpus).short} | {corpora.info(corpus).language} | {how} | {found.text()} |"
        for corpus, how, found in _scores(name)
    ]
    trained = [
        f"| {corpora.info(corpus).short} | {corpora.info(corpus).licence} | {corpora.info(corpus).homepage} |"
        for corpus in facts["corpora"]
    ]
    judged = [
        f"| {corpora.info(corpus).short} | {found['ece_before']:.3f} | {found['ece']:.3f} | "
        f"{share(found['accuracy'])} | {share(found['coverage'])} | {_share(found['accuracy_answered'])} |"
        for corpus, found in facts["elsewhere"].items()
    ]
    rule = (
        f"It answers where the likeliest class has a probability of {model.threshold:.3f} or more"
        if model.threshold <= 1
        else "It never answers: there is no confidence at which it is right so often"
    )
    judgement = (
        f"The model answers {share(held_out['coverage'])} of clips, and {_share(held_out['accuracy_answered'])} of "
        f"these rightly; of all clips {share(held_out['accuracy'])} are right."
        if model.threshold <= 1
        else f"Of all clips {share(held_out['accuracy'])} are right."
    )
    return f"""\
# {spec.title}, logistic regression, four emotions

Multinomial logistic regression on {spec.title} ({len(spec.columns)} values a clip), for {", ".join(model.classes)}.
It was fitted on {facts["clips"]} clips of {facts["speakers"]} actors, with {_settings(facts["chosen"])}, which most
folds chose on dev speakers. The file holds numbers alone (safetensors), and no code.

```
ser predict recordings/ --model {name}
```

{_MISUSE}

## Trained on

| corpus | licence | |
|---|---|---|
{chr(10).join(trained)}

{_TERMS.get(name, "")}The model is under {facts["licence"].upper()}, the strictest of these. Left out: \
{"; ".join(f"{corpora.info(corpus).short} ({why})" for corpus, why in LEFT_OUT.items())}.

## Scores

UAR is the mean recall of the four classes; chance is 0.25. Intervals of 95 % are over speakers. *New speakers* were
not trained on, though other speakers of their corpus were. Of an *unheard corpus* nobody was, as of your recordings.

| corpus | language | tested | UAR |
|---|---|---|---|
{chr(10).join(table)}

## Calibration and abstention

Temperature ({model.temperature:.3f}) and threshold were fitted on unheard corpora: each of the three, predicted by what
was trained on the other two. The rule is to answer where {share(facts["accuracy_asked_for"])} of such answers were
right. {rule}.

Judged on each of the three by the temperature and threshold of the other two, the expected calibration error is
{held_out["ece"]:.3f} ({held_out["ece_before"]:.3f} without temperature). {judgement}
Corpora that had no part in any of this:

| corpus | ECE without temperature | ECE | right, of all | answered | right, of answered |
|---|---|---|---|---|---|
{chr(10).join(judged)}

## How it was made

`make model` fits it again from `{facts["run"]}`; `{facts["calibrated_on"]}` calibrates it."""


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.0%}"


def _settings(chosen: dict) -> str:
    return ", ".join(f"{key} = {value:g}" for key, value in chosen.items())


if __name__ == "__main__":
    write()
