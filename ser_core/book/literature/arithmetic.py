"""Arithmetic on printed figures: which shares cannot be, what constant answers have, and which sums do not add up."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ser_core.book.literature import counts, replications
from ser_core.data import corpora, splits
from ser_core.errors import SerError

Values = dict[str, float | int | str]

_AUDIO, _FUSION, _XLSR, _TEXT = "wav2vec 2.0 base", "RoBERTa + wav2vec 2.0 base", "XLS-R 300M", "RoBERTa (text)"
_MELD_FUSIONS = ("RoBERTa + WavLM base", "XLM-R + XLS-R 300M")


def attainable(share: float, clips: int, digits: int = 4) -> bool:
    """Say whether a printed share can be that of a whole number of clips, rounded or cut off after its last digit.

    Source:
        Brown and Heathers, "The GRIM Test", Social Psychological and Personality Science 8, 2017, on means of whole
        numbers.

    Args:
        share: As printed, in [0, 1].
        clips: Number of clips, at least 1.
        digits: Digits after the point that are printed.

    Returns:
        False if no number of clips gives the share.

    Raises:
        SerError: If there is no clip, or the share is not in [0, 1].

    Examples:
        >>> attainable(0.667, 3, digits=3), attainable(0.666, 3, digits=3), attainable(0.70, 3, digits=2)
        (True, True, False)
    """
    if clips < 1 or not 0 <= share <= 1:
        raise SerError(f"a share of {share} of {clips} clips; expected a share in [0, 1] and at least one clip")
    unit = 10.0**-digits
    near = range(max(0, math.floor(share * clips) - 1), min(clips, math.ceil(share * clips) + 1) + 1)
    return any(-0.5 * unit - 1e-9 <= right / clips - share < unit - 1e-9 for right in near)


def unpaired_error(first: float, second: float, clips: int) -> float:
    """Return the standard error of a difference of two accuracies on equally many clips, as if all were independent.

    Clips of one speaker are not independent, so that the error for other speakers is larger; that two systems answer
    the same clips may make it smaller, but without their answers nobody knows. It is a scale, not a test.

    Args:
        first: Accuracy of one system, in [0, 1].
        second: Accuracy of the other one, in [0, 1].
        clips: Clips that each was tested on, at least 1.

    Examples:
        >>> round(unpaired_error(0.5, 0.5, 200), 3)
        0.05
    """
    return math.sqrt((first * (1 - first) + second * (1 - second)) / clips)


def least_loss(accuracy: float) -> float:
    """Return the lowest mean cross-entropy, in nats, that goes with an accuracy on the same clips.

    A clip with a wrong answer gives the true class no more probability than the answer, so at most one half: it costs
    at least ln 2. A right answer may cost nothing.

    Args:
        accuracy: In [0, 1].

    Examples:
        >>> round(least_loss(0.5), 4)
        0.3466
    """
    return (1 - accuracy) * math.log(2)


def printed(published: pd.DataFrame, stated: Mapping[str, pd.Series], parts: pd.DataFrame) -> Values:
    """Compute what decides on the claims about RAVDESS, MELD, the merged corpus and TESS from what is printed of them.

    Args:
        published: As from `ser_core.book.literature.published`.
        stated: As from `ser_core.book.literature.published_statements`, by study.
        parts: As from `ser_core.book.literature.published_counts`, of ``merged-sharma``.

    Returns:
        Scores, differences and shares as fractions, numbers of clips, by key.
    """
    published = published.sort_index()
    sizes = {"urdu_clips": len(corpora.table("urdu")), "ravdess_clips": len(corpora.table("ravdess"))}
    sizes |= {"ravdess_speakers": corpora.table("ravdess")["speaker"].nunique()}
    sizes |= {"savee_clips": len(corpora.table("savee")), "meld_lines": len(corpora.table("meld"))}
    said = stated["urdu-khan-random"]["corpus"], stated["urdu-khan-shows"]["utterances"]
    rasa, indic = stated["punjabi-khan-single"], stated["urdu-to-sindhi-khan"]
    rasa_test = int(published.loc["punjabi-khan-single", "n_clips"].iloc[0])
    return sizes | {
        "urdu_random": published.loc[("urdu-khan-random", "XLS-R 300M", "weighted_f1"), "value"],
        "urdu_said": int(said[0]),
        "urdu_said_small": int(said[1]),
        "rasa_sum": int(rasa["training"]) + rasa_test,
        "rasa_said": int(rasa["corpus"]),
        "rasa_over_urdu": rasa["training"] / stated["urdu-khan-random"]["training"],
        "indic_sum": int(indic["urdu"] + indic["sindhi"]),
        "indic_said": int(indic["both"]),
        **_ravdess(published, stated),
        **_meld(published, stated["meld-khan"]),
        **_merged(published, stated["merged-sharma"], parts),
        **_tutorial(stated["tess-geeksforgeeks"]),
    }


def _ravdess(published: pd.DataFrame, stated: Mapping[str, pd.Series]) -> Values:
    new = published.loc["ravdess-khan-si"]["value"].unstack("metric")
    known = published.loc["ravdess-khan-random"]["value"].unstack("metric")
    clips = int(published.loc["ravdess-khan-si", "n_clips"].iloc[0])
    table = corpora.table("ravdess")
    tested = table.loc[splits.make(table, "khan2026-si").query("role == 'test'")["clip"], "emotion"].value_counts()
    constant = counts.constant_answers(pd.DataFrame(np.diag(tested), tested.index, tested.index))
    high, low = new.loc[_FUSION, "wa"], new.loc[_AUDIO, "wa"]
    rate = published.xs("weighted_f1", level="metric")["value"].loc["ravdess-khan-rate"].iloc[0]
    return {
        "fusion_new": new.loc[_FUSION, "weighted_f1"],
        "audio_new": new.loc[_AUDIO, "weighted_f1"],
        "xlsr_new": new.loc[_XLSR, "weighted_f1"],
        "xlsr_macro": new.loc[_XLSR, "macro_f1"],
        "text_new": new.loc[_TEXT, "weighted_f1"],
        "text_new_wa": new.loc[_TEXT, "wa"],
        "fusion_known": known.loc[_FUSION, "weighted_f1"],
        "audio_known": known.loc[_AUDIO, "weighted_f1"],
        "fusion_gain_new": new.loc[_FUSION, "weighted_f1"] - new.loc[_AUDIO, "weighted_f1"],
        "fusion_gain_known": known.loc[_FUSION, "weighted_f1"] - known.loc[_AUDIO, "weighted_f1"],
        "fusion_error": unpaired_error(high, low, clips),
        "fusion_z": (high - low) / unpaired_error(high, low, clips),
        "xlsr_gain": new.loc[_XLSR, "weighted_f1"] - new.loc[_AUDIO, "weighted_f1"],
        "xlsr_over_fusion": new.loc[_XLSR, "weighted_f1"] - new.loc[_FUSION, "weighted_f1"],
        "xlsr_z": (new.loc[_XLSR, "wa"] - low) / unpaired_error(new.loc[_XLSR, "wa"], low, clips),
        "xlsr_fusion_z": (new.loc[_XLSR, "wa"] - high) / unpaired_error(new.loc[_XLSR, "wa"], high, clips),
        "premium_fusion": known.loc[_FUSION, "weighted_f1"] - new.loc[_FUSION, "weighted_f1"],
        "premium_audio": known.loc[_AUDIO, "weighted_f1"] - new.loc[_AUDIO, "weighted_f1"],
        "premium_said": stated["ravdess-khan-random"]["premium"],
        "random_said": stated["ravdess-khan-random"]["random"],
        "new_said": stated["ravdess-khan-random"]["speaker_independent"],
        "uar_said": stated["ravdess-khan-si"]["uar_xlsr"],
        "ravdess_tested": clips,
        "ravdess_tested_random": int(published.loc["ravdess-khan-random", "n_clips"].iloc[0]),
        "neutral_tested": int(tested["neutral"]),
        "neutral_f1_before": new.loc[_AUDIO, "f1:neutral"],
        "neutral_f1_after": new.loc[_FUSION, "f1:neutral"],
        "text_constant_wf1": constant.loc["calm", "weighted_f1"],
        "text_constant_wa": constant.loc["calm", "wa"],
        "rate_scores": known.loc[_AUDIO, "weighted_f1"] / rate,
        "rate_ratio": stated["ravdess-khan-rate"]["rate_high"] / stated["ravdess-khan-rate"]["rate_low"],
    }


def _meld(published: pd.DataFrame, stated: pd.Series) -> Values:
    scores = published.loc["meld-khan"]["value"].unstack("metric")
    table = corpora.table("meld")
    tested = table.loc[table["split"] == "test", "emotion"].value_counts()
    constant = counts.constant_answers(pd.DataFrame(np.diag(tested), tested.index, tested.index))
    audio, text, xlmr = scores.loc["WavLM base"], scores.loc[_TEXT], scores.loc["XLM-R (text)"]
    fusion, wide = (scores.loc[name] for name in _MELD_FUSIONS)
    other = published.loc[("meld-emobox", "Whisper large v3")]["value"]
    return {
        "meld_text": text["weighted_f1"],
        "meld_text_wa": text["wa"],
        "meld_text_macro": text["macro_f1"],
        "meld_fusion": fusion["weighted_f1"],
        "meld_fusion_wa": fusion["wa"],
        "meld_wide": wide["weighted_f1"],
        "meld_wide_wa": wide["wa"],
        "meld_wide_macro": wide["macro_f1"],
        "meld_xlmr": xlmr["weighted_f1"],
        "meld_xlmr_behind": text["weighted_f1"] - xlmr["weighted_f1"],
        "meld_lead": text["weighted_f1"] - fusion["weighted_f1"],
        "meld_audio": audio["weighted_f1"],
        "meld_audio_wa": audio["wa"],
        "meld_audio_macro": audio["macro_f1"],
        "meld_zero": int((audio.filter(like="f1:") == 0).sum()),
        "meld_sadness": audio["f1:sadness"],
        "meld_constant_wf1": constant.loc["neutral", "weighted_f1"],
        "meld_constant_wa": constant.loc["neutral", "wa"],
        "meld_fear": int(tested["fear"]),
        "meld_tested": int(tested.sum()),
        "meld_other_macro": other["macro_f1"],
        "meld_others_low": stated["others_low"],
        "meld_others_high": stated["others_high"],
    }


def _merged(published: pd.DataFrame, stated: pd.Series, parts: pd.DataFrame) -> Values:
    scores = published.loc["merged-sharma"]["value"].unstack("metric")
    ravdess = published.loc[("ravdess-sharma", "HuBERT + BERT")]["value"]
    best, hubert, first, cnn = (scores.loc[name] for name in ("HuBERT + BERT", "HuBERT", "k-NN", "CNN (1D)"))
    corpora_of_test = parts.filter(like="test of ")
    sums = {f"test_{name}": n for name, n in corpora_of_test.sum(axis=1).items()}
    sums |= {f"test_{name.removeprefix('test of ')}": n for name, n in corpora_of_test.sum().items()}
    sums["test_all"] = int(corpora_of_test.sum(axis=None))
    clips = int(stated["test_all"])
    calm = replications.sharma2023_sizes(parts).loc["calm"]
    error = unpaired_error(best["wa"], hubert["wa"], clips)
    in_test = int(parts["test of RAVDESS"].sum())
    return {
        "sum_best": best["wa"] + best["uar"],
        "sum_first": first["wa"] + first["uar"],
        "sum_cnn": cnn["wa"] + cnn["uar"],
        "sum_best_said": stated["sum_best"],
        "sum_first_said": stated["sum_baseline"],
        "hubert_over_first": hubert["wa"] - first["wa"],
        "bert_gain_wa": best["wa"] - hubert["wa"],
        "bert_gain_uar": best["uar"] - hubert["uar"],
        "bert_z": (best["wa"] - hubert["wa"]) / error,
        "cnn_gain_wa": cnn["wa"] - first["wa"],
        "cnn_gain_uar": cnn["uar"] - first["uar"],
        "mobilenet_wa": scores.loc["MobileNetV2", "wa"],
        "mobilenet_uar": scores.loc["MobileNetV2", "uar"],
        "forest_wa": scores.loc["random forest", "wa"],
        "forest_uar": scores.loc["random forest", "uar"],
        "merged_systems": len(scores),
        "wa_impossible": int(sum(not attainable(value, clips) for value in scores["wa"])),
        "wa_impossible_sum": int(sum(not attainable(value, sums["test_all"]) for value in scores["wa"])),
        "test_said": clips,
        "test_sum": sums["test_all"],
        "test_sums": len(sums),
        "test_sums_wrong": sum(int(stated[name]) != n for name, n in sums.items()),
        "merged_said": int(stated["clips"]),
        "merged_sum": int(parts["all"].sum()),
        "train_least": int(parts["train"].min()),
        "train_most": int(parts["train"].max()),
        "test_least": int(parts["test"].min()),
        "test_most": int(parts["test"].max()),
        "calm_validation": int(parts.loc["calm", "validation"]),
        "calm_train": int(parts.loc["calm", "train"]),
        "calm_left": int(calm["left"]),
        "calm_copies": int(calm["copies_at_least"]),
        "calm_tested": int(parts.loc["calm", "test"]),
        "ravdess_wa": ravdess["wa"],
        "ravdess_in_training": int(parts["train of RAVDESS"].sum()),
        "ravdess_in_test": in_test,
        "ravdess_in_test_can": "can" if attainable(ravdess["wa"], in_test) else "cannot",
        "features_said": int(stated["features"]),
    }


def _tutorial(stated: pd.Series) -> Values:
    return {
        "tess_accuracy": stated["validation_accuracy"],
        "tess_training": stated["training_accuracy"],
        "tess_loss": stated["validation_loss"],
        "tess_least_loss": least_loss(stated["validation_accuracy"]),
        "tess_first": stated["first_validation_accuracy"],
        "tess_first_training": stated["first_training_accuracy"],
        "tess_clips": int(stated["clips"]),
        "tess_clips_here": len(corpora.table("tess")),
        "tess_speakers": corpora.table("tess")["speaker"].nunique(),
    }
