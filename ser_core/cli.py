"""The ``ser`` command: each subcommand a few lines over the package."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ser_core.errors import SerError

app = typer.Typer(
    help="Honest evaluation of speech emotion recognition: audited splits, floors, intervals over speakers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Corpus = Annotated[str, typer.Argument(help="Name of a corpus, such as ravdess.")]
Folder = Annotated[Path | None, typer.Option(help="Folder of the corpus; $SER_DATA/<corpus> if not given.")]
Resamples = Annotated[int, typer.Option(min=100, help="Bootstrap resamples.")]


def main() -> None:
    """Run ``ser``; a `SerError` becomes one line on standard error and exit status 2."""
    try:
        app()
    except SerError as error:
        print(f"ser: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("ser: interrupted; the same command goes on where it stopped", file=sys.stderr)
        raise SystemExit(130) from None


@app.command()
def fetch(
    corpus: Corpus,
    to: Annotated[Path, typer.Option(help="Folder to download into; a folder of the corpus's name is made there.")],
) -> None:
    """Download a public corpus, with resume and checksum, or print how to get a gated one."""
    from ser_core.corpora import fetch as fetching

    print(fetching.fetch(corpus, to))


@app.command()
def card(
    corpus: Corpus,
    check: Annotated[bool, typer.Option("--check", help="Fail if the card and the files disagree.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Measure the files again and write the card.")] = False,
    folder: Folder = None,
) -> None:
    """Print a corpus's data card, check it against the files, or measure them again."""
    from ser_core import cards

    if check:
        cards.check(corpus, folder)
        print(f"{corpus}: the card and the files agree")
    elif write:
        print(cards.write(corpus, folder))
    else:
        print(cards.path(corpus).read_text())


@app.command()
def audit(
    clips: Annotated[str, typer.Argument(help="Name of a corpus, or a CSV of your own (path, emotion, speaker, ...).")],
    protocol: Annotated[str, typer.Option(help="Protocol to make the folds with.")] = "speaker",
    folds: Annotated[Path | None, typer.Option(help="CSV of your own folds: clip, fold, role.")] = None,
    n_folds: Annotated[int, typer.Option(min=2, help="Number of folds.")] = 5,
    dev: Annotated[bool, typer.Option(help="Make a dev part of each fold, too.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
) -> None:
    """Report leaks, confounds and shortcuts of a corpus under a split; exit with status 1 if there are leaks."""
    from ser_core import audit as auditing
    from ser_core import cards, corpora, splits

    if clips.endswith(".csv"):
        reading = corpora.local.read(Path(clips), progress=True)
        for problem in reading.problems.itertuples():
            print(f"{problem.path}: {problem.problem}: {problem.detail}", file=sys.stderr)
        table = reading.clips
        duplicates = auditing.near_duplicates(table, Path(clips).parent, progress=True)
    else:
        table, duplicates = corpora.table(clips), cards.duplicates(clips)
    made = splits.read(folds, table) if folds else splits.make(table, protocol, n_folds=n_folds, seed=seed, dev=dev)
    report = auditing.audit(table, made, duplicates=duplicates)
    print(report.to_text())
    if len(report.leaks):
        raise typer.Exit(1)


@app.command()
def features(
    corpus: Corpus,
    extractor: Annotated[str, typer.Argument(help="Name of a feature set, such as egemaps.")],
    folder: Folder = None,
) -> None:
    """Extract a feature set for a corpus into the store; goes on where it was stopped."""
    from ser_core import features as extraction

    print(extraction.extract(corpus, extractor, folder=folder))


@app.command()
def run(
    experiment: Annotated[Path, typer.Argument(help="An experiment file, such as experiments/ladder.yaml.")],
    only: Annotated[str, typer.Option(help="Only systems whose name contains this.")] = "",
    jobs: Annotated[int, typer.Option(help="Processes; -1 is one per core.")] = -1,
) -> None:
    """Make the Runs of an experiment that are missing or out of date; goes on where it was stopped."""
    from ser_core import experiments, runner

    loaded = experiments.load(experiment)
    for row in loaded.refused.itertuples():
        print(f"refused: {row.corpus} {row.what}: {row.reason}", file=sys.stderr)
    made = runner.run(loaded, only=only, jobs=jobs)
    print(f"{loaded.name}: {len(made)} Runs made, {len(loaded.cells)} systems in the experiment")


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="CSV or parquet: clip, truth, prediction, speaker, p_<class>...")],
    resamples: Resamples = 10_000,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Level of the intervals.")] = 0.95,
) -> None:
    """Score predictions of any toolkit: metrics with intervals over speakers, floors, classes, speakers."""
    from ser_core import runs, scoring

    print(scoring.sheet(runs.read_table(predictions), n_resamples=resamples, level=level))


if __name__ == "__main__":
    main()
