"""The verdicts that numbers decide, derived from the values, so that no word of the ledger outlives its evidence."""

from collections.abc import Callable, Mapping

from ser_core.book.literature.claims import VERDICTS

_SAME, _OTHER, _OPEN, _ARTEFACT, _AGAINST = VERDICTS

Rule = Callable[[Mapping[str, float]], str]


def _if(holds: Callable[[Mapping[str, float]], bool], then: str, otherwise: str = _SAME) -> Rule:
    return lambda v: then if holds(v) else otherwise


def _close(first: float, second: float, unit: float) -> bool:
    """Say whether two figures are the same as printed: within one half of the last digit, and a little for floats."""
    return abs(first - second) <= 0.5 * unit + 1e-9


# The printed figure can be had, but a figure for every system needs one premium, to a point.
_THIRTEEN = _if(
    lambda v: v["law_low"] <= 100 * v["premium_said"] <= v["law_high"] and v["law_all_most"] - v["law_few_least"] > 1,
    _OTHER,
    _OPEN,
)

DECIDED: Mapping[str, Rule] = {
    "premium-13": _THIRTEEN,
    "article-premium": _THIRTEEN,
    "85-is-72": _if(lambda v: v["law_all_most"] - v["law_few_least"] > 1, _OTHER),
    # Fusion and encoders.
    "fusion-gain": _if(lambda v: abs(v["words_own_points"] - v["words_constant_points"]) < 1, _OTHER),
    "fusion-gain-grows": _if(
        lambda v: abs(v["fusion_gain_new"] - v["fusion_gain_known"]) < 2 * v["fusion_error"], _OPEN
    ),
    "text-at-chance": _if(lambda v: not _close(v["text_new"], v["text_constant_wf1"], 1e-4), _OTHER),
    "hierarchy": _if(lambda v: v["meld_xlmr_behind"] > 0, _AGAINST),
    "uar-773": _if(lambda v: v["uar_said"] == v["xlsr_new"], _AGAINST),
    # MELD: text leads by one metric and is behind by another.
    "meld-text-first": _if(lambda v: v["meld_lead"] > 0 > v["meld_text_wa"] - v["meld_fusion_wa"], _OTHER),
    "same-architecture": _if(lambda v: v["meld_text_wa"] < v["meld_fusion_wa"], _OTHER),
    "fusion-not-universal": _if(lambda v: v["meld_text_wa"] < v["meld_fusion_wa"], _OTHER),
    "wavlm-collapse": _if(lambda v: v["meld_zero"] == 3 and v["meld_sadness"] < 0.05, _OTHER),
    "wavlm-accuracy": _if(lambda v: v["meld_audio_wa"] < v["meld_constant_wa"], _OTHER),
    "competitive": _if(lambda v: v["meld_wide"] < v["meld_text"] and v["meld_wide_wa"] > v["meld_text_wa"], _OTHER),
    # Urdu, Sindhi and Punjabi.
    "sindhi-gain": _if(lambda v: v["sindhi_gain_errors"] < 2, _OPEN),
    "negative-transfer": _if(lambda v: v["transfer_above"] == v["gap_cells"], _AGAINST),
    "thirty-points": _if(lambda v: v["gap_lowest"] < 0.25 or v["gap_highest"] > 0.35, _AGAINST),
    "inverted-ranking": _if(lambda v: min(v["sindhi_rho"], v["urdu_rho"]) > -0.5, _AGAINST),
    "rasa-imbalance": _if(lambda v: round(v["rasa_imbalance"]) != 7, _AGAINST),
    "seed-intervals": _if(lambda v: v["seed_lowest"] > 0.025, _ARTEFACT),
    "pooled-intervals": _if(lambda v: v["punjabi_wider"] > 1.2, _OTHER),
    "held-out-shows": _if(lambda v: v["shows_one_class"] > 0, _ARTEFACT),
    "below-chance": _if(lambda v: v["shows_attainable"] < 1, _OTHER),
    "urdu-290": _if(lambda v: v["urdu_said_small"] != v["urdu_said"], _AGAINST),
    "to-urdu-pooled": _if(lambda v: v["to_urdu_all_if_missed"] < v["to_urdu_constant_uar_all"], _OTHER),
    "to-urdu-single": _if(lambda v: not _close(v["to_urdu_once_uar"], 0.5, 1e-3), _AGAINST),
    "arousal": _if(lambda v: v["to_urdu_arousal"] < v["to_urdu_valence"], _OTHER),
    "to-punjabi-collapse": _if(lambda v: v["to_punjabi_least"] < 0.9, _AGAINST),
    "to-punjabi-single": _if(lambda v: v["to_punjabi_once_share"] < 0.9, _AGAINST),
    "single-recalls": _if(
        lambda v: (
            min(v["to_urdu_once_angry"], v["to_urdu_once_neutral"]) < 0.5
            or max(v["to_urdu_once_happy"], v["to_urdu_once_sad"]) > 0.5
        ),
        _AGAINST,
    ),
    # Sizes.
    "sizes-indic": _if(lambda v: (v["indic_sum"], v["rasa_sum"]) != (v["indic_said"], v["rasa_said"]), _AGAINST),
    "merged-size": _if(lambda v: v["merged_sum"] != v["merged_said"], _AGAINST),
    "test-table": _if(lambda v: v["test_sum"] != v["test_said"], _AGAINST),
    # Sharma's scores.
    "sum-157": _if(
        lambda v: (
            not (_close(v["sum_best"], v["sum_best_said"], 1e-4) and _close(v["sum_first"], v["sum_first_said"], 1e-4))
        ),
        _AGAINST,
    ),
    "ravdess-80": _if(lambda v: v["ravdess_in_training"] > 0, _ARTEFACT),
    "mobilenet-below": _if(
        lambda v: (v["mobilenet_wa"], v["mobilenet_uar"]) == (v["forest_uar"], v["forest_wa"]), _OPEN
    ),
    "cnn1d-slightly": _if(lambda v: v["cnn_gain_wa"] > 0 > v["cnn_gain_uar"], _OTHER),
    "cleaning-helps": _if(lambda v: v["cleaning_least"] < 0.5, _OTHER),
    "knn-best": _if(lambda v: v["merged_knn_place"] > 1, _OTHER),
    "validation-unused": _if(lambda v: v["calm_copies"] > 0, _OTHER),
    "unseen-data": _if(lambda v: v["merged_least"] > 0, _OTHER),
    "wa-is-a-share": _if(lambda v: min(v["wa_impossible"], v["wa_impossible_sum"]) > 0, _AGAINST),
    "zero-crossings": _if(lambda v: min(v["zcr_disgust"], v["zcr_surprised"]) <= v["zcr_calm"], _AGAINST),
    "spectral-centroid": _if(
        lambda v: min(v["centroid_disgust"], v["centroid_surprised"]) <= v["centroid_calm"], _AGAINST
    ),
    "neutral-is-calm": _if(lambda v: v["neutral_taken_for"] != "calm", _OTHER),
    # The article and the tutorial.
    "article-best": _if(lambda v: v["xlsr_new"] > v["fusion_new"], _AGAINST),
    "article-meld": _if(lambda v: v["meld_lead"] > 0 > v["meld_text_wa"] - v["meld_fusion_wa"], _OTHER),
    "article-often": _if(lambda v: v["xlsr_new"] > v["fusion_new"] and v["meld_text"] > v["meld_wide"], _OTHER),
    "article-inflated": _if(lambda v: v["premium_least"] <= 0, _OTHER),
    "tutorial-accuracy": _if(lambda v: v["tess_new_most"] < v["tess_known_least"], _OTHER),
    "tutorial-loss": _if(lambda v: v["tess_loss"] < v["tess_least_loss"], _AGAINST),
}
"""For each claim that numbers decide, its verdict as a function of the values."""


def decided(values: Mapping[str, float]) -> dict[str, str]:
    """Return the verdict of every claim that numbers decide.

    Args:
        values: As from `ser_core.book.literature.from_sources` and `ser_core.book.literature.from_runs`, together.

    Returns:
        One of `ser_core.book.literature.VERDICTS` by key of the ledger, for the claims of `DECIDED`.

    Raises:
        KeyError: If a value is missing.

    Examples:
        >>> DECIDED["tutorial-loss"]({"tess_loss": 0.03, "tess_least_loss": 0.035})
        'contradicted by its own figures'
    """
    return {key: rule(values) for key, rule in DECIDED.items()}
