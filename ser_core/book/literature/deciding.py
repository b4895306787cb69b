"""The computed values that decide the verdicts of the ledger, from the figures that the sources print."""

from collections.abc import Mapping

import pandas as pd

from ser_core.book.literature import counts, sources, tables
from ser_core.book.literature.arithmetic import Values, printed
from ser_core.data import corpora, labels
from ser_core.evaluation import metrics

STUDIES = {
    "shows": "urdu-khan-shows",
    "to_urdu": "urdu-khan-punjabi",
    "to_urdu_once": "urdu-khan-punjabi-single",
    "punjabi": "punjabi-khan",
    "to_punjabi": "punjabi-khan-urdu",
}
"""Studies with confusions, by what the keys of their values begin with."""

STATED = (
    "ravdess-khan-si",
    "ravdess-khan-random",
    "ravdess-khan-rate",
    "meld-khan",
    "urdu-khan-random",
    "urdu-khan-shows",
    "punjabi-khan-single",
    "urdu-to-sindhi-khan",
    "merged-sharma",
    "tess-geeksforgeeks",
)
"""Studies that state something of their own figures."""

_SYSTEM = "XLS-R 300M"


def from_sources() -> Values:
    """Return every value that the ledger names and that follows from what the sources print and from clip tables.

    Returns:
        Scores, differences and shares as fractions, numbers of things, and words, by key.

    Examples:
        >>> round(float(from_sources()["premium_fusion"]), 3)
        0.13
    """
    published = sources.published()
    confusions = {key: sources.published_confusions(study) for key, study in STUDIES.items()}
    stated = {study: sources.published_statements(study) for study in STATED}
    values = decisive(published, confusions, sources.published_answers(STUDIES["to_punjabi"]))
    values |= _once_back(sources.published_confusions("punjabi-khan-urdu-single"))
    return values | printed(published, stated, sources.published_counts("merged-sharma"))


def _once_back(confusions: pd.DataFrame) -> Values:
    """Return what decides on the single training that was tested from Urdu to Punjabi."""
    table = counts.pool(confusions)
    return {
        "to_punjabi_once_uar": float(metrics.uar(table.to_numpy())),
        "to_punjabi_once_answer": table.sum().idxmax(),
        "to_punjabi_once_share": table.sum().max() / table.sum(axis=None),
    }


def decisive(
    published: pd.DataFrame, confusions: Mapping[str, pd.DataFrame], answers: pd.DataFrame
) -> dict[str, float | str]:
    """Compute what decides on the claims about Urdu, Sindhi and Punjabi.

    Args:
        published: As from `ser_core.book.literature.published`.
        confusions: As from `ser_core.book.literature.published_confusions`, by the keys of `STUDIES`.
        answers: As from `ser_core.book.literature.published_answers`, of ``to_punjabi``.

    Returns:
        Scores, differences and shares as fractions, numbers of things, and words, by key.
    """
    values = {}
    for key, table in confusions.items():
        ways, floors = counts.uar_conventions(table), counts.constant_answers(counts.pool(table))
        values |= {f"{key}_{name}": value for name, value in ways.to_dict("index")["pooled"].items()}
        values |= {f"{key}_constant_{name}": floors[name].max() for name in ("uar", "uar_all", "wa")}
    return values | _transformer(published, confusions, answers) | _classical(published)


def _transformer(
    published: pd.DataFrame, confusions: Mapping[str, pd.DataFrame], answers: pd.DataFrame
) -> dict[str, float | str]:
    """Return what decides on Urdu and Punjabi speech."""
    pooled = {key: counts.pool(table) for key, table in confusions.items()}
    speakers = counts.uar_conventions(confusions["shows"]).drop("pooled")
    scores = [published.loc[(STUDIES["shows"], f"{_SYSTEM}, {name}", "uar"), "value"] for name in speakers.index]
    happy = counts.exact_recalls(pooled["to_urdu"]).loc["happy"]
    right, clips = pooled["to_urdu_once"].to_numpy().trace(), pooled["to_urdu_once"].sum(axis=None)
    once_low, once_high = counts.exact_interval(right, clips)
    once_recalls, rasa = counts.exact_recalls(pooled["to_urdu_once"]), confusions["punjabi"].loc["seed 42"].sum(axis=1)
    trainings = confusions["punjabi"].index.unique("part").size
    thrice = counts.pooled_bootstrap(pooled["punjabi"])
    once = counts.pooled_bootstrap(pooled["punjabi"], drawn=thrice.n_clusters // trainings)
    merged = {
        f"{key}_{kind}": float(metrics.uar(counts.merge_classes(pooled[key], into).to_numpy()))
        for key in ("to_urdu", "to_urdu_once")
        for kind, into in labels.KINDS.items()
    }
    return merged | {
        "seed_lowest": tables.seed_bootstrap(scores).lowest,
        "shows_parts": len(speakers),
        "shows_one_class": int((speakers["present"] == 1).sum()),
        "urdu_least_left": len(corpora.table("urdu")) - int(speakers["clips"].max()),
        "shows_rare_clips": int(pooled["shows"].sum(axis=1).drop("angry").sum()),
        "to_urdu_happy_clips": int(happy["clips"]),
        "to_urdu_if_missed": happy["uar_if_missed"],
        "to_urdu_all_if_missed": happy["uar_all_if_missed"],
        "to_urdu_low": published.loc[(STUDIES["to_urdu"], _SYSTEM, "uar"), "low"],
        "to_urdu_neutral_clips": int(pooled["to_urdu"].loc["neutral"].sum()),
        **{f"to_urdu_once_{name}": row["recall"] for name, row in once_recalls.iterrows()},
        "to_urdu_once_angry_low": once_recalls.loc["angry", "low"],
        "to_urdu_once_sad_high": once_recalls.loc["sad", "high"],
        "rasa_imbalance": rasa.max() / rasa.min(),
        "to_urdu_once_low": once_low,
        "to_urdu_once_high": once_high,
        "punjabi_wider": (once.high - once.low) / (thrice.high - thrice.low),
        "to_punjabi_least": answers["share"].min(),
        "to_punjabi_answers": ", ".join(answers["answer"]),
    }


def _classical(published: pd.DataFrame) -> dict[str, float | str]:
    """Return what decides on Urdu and Sindhi features; the keys begin with the tested language."""
    values, gaps, ranks = {}, [], []
    uar = published.xs("uar", level="metric")
    for language, study in {"sindhi": "urdu-to-sindhi-khan", "urdu": "sindhi-to-urdu-khan"}.items():
        within, transfer = uar.loc[f"{language}-khan-classical"], uar.loc[study, "value"]
        best = within.loc[within["value"].idxmax()]
        gaps.append(tables.transfer_gaps(within["value"], transfer, chance=1 / best["classes"]))
        ranks.append(tables.rank_correlations(within["value"], transfer))
        sets = gaps[-1]["transfer"].groupby(level="features").max().rank(ascending=False)
        within_sets = gaps[-1]["within"].groupby(level="features").max().sort_values(ascending=False)
        printed = published.loc[study].xs("gap", level="metric")["value"].iloc[0]
        gain = tables.in_standard_errors(best["value"], uar.loc[f"{language}-syed", "value"].iloc[0], best["sd"])
        values |= {
            f"{language}_gap_printed": printed,
            f"{language}_gap_cell": " + ".join((gaps[-1]["gap_of_set"] - printed).abs().idxmin()),
            f"{language}_gap_of_best": best["value"] - transfer.max(),
            f"{language}_leader_place": int(sets[best.name.rpartition(" + ")[0]]),
            f"{language}_runner_up": within_sets.index[1],
            f"{language}_runner_up_place": int(sets[within_sets.index[1]]),
            f"{language}_gap_same": gaps[-1]["gap"].mean(),
            f"{language}_rho": ranks[-1].loc["best of all", "rho"],
            f"{language}_best_set": sets.idxmin(),
            f"{language}_prosody_place": int(sets["prosody"]),
            f"{language}_gain": gain.difference,
            f"{language}_gain_errors": gain.ratio,
            f"{language}_gain_corrected": gain.corrected_ratio,
            f"{language}_gain_by_choice": tables.best_of_many(within["sd"].tolist(), gain.difference).gain,
        }
    cells, correlations = pd.concat(gaps), pd.concat(ranks)
    return values | {
        "gap_cells": len(cells),
        "gap_lowest": cells["gap_of_set"].min(),
        "gap_highest": cells["gap_of_set"].max(),
        "gap_mean": cells["gap_of_set"].mean(),
        "transfer_lowest": cells["transfer"].min(),
        "transfer_chance": 1 / best["classes"],
        "transfer_above": int((cells["above_chance"] > 0).sum()),
        "rho_lowest": correlations["rho"].min(),
        "p_inverted_lowest": correlations["p_inverted"].min(),
    }
