"""What a linear classifier reads off embeddings beside the emotion: who speaks."""

import numpy as np
import pandas as pd

from ser_core.systems import classifiers


def speakers(embeddings: np.ndarray, clips: pd.DataFrame) -> pd.DataFrame | None:
    """Tell the speakers of a test part apart from their embeddings, sentence by sentence.

    A logistic regression learns the speakers from the clips of all sentences but one and names those of that one, so
    that it cannot go by words; of more than five sentences, one fifth is held out at a time. Where sentences are
    unknown, three random parts of the clips take their place.

    Args:
        embeddings: Shape (n_clips, dim).
        clips: Their Clips rows, in the same order.

    Returns:
        One row a clip: clip, speaker, truth (the speaker) and prediction; None if a speaker is unknown or has a single
        clip, or if fewer than two are left to learn from.

    Examples:
        >>> table = pd.DataFrame({"speaker": list("abab"), "sentence": list("sstt")}, index=list("wxyz"))
        >>> speakers(np.array([[0.0], [1.0], [0.1], [0.9]]), table)["prediction"].tolist()
        ['a', 'b', 'a', 'b']
    """
    from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_predict

    who = clips["speaker"].to_numpy()
    fewest = clips["speaker"].value_counts().min()
    if clips["speaker"].isna().any() or len(set(who)) < 2 or fewest < 2:
        return None
    sentences = clips["sentence"]
    if sentences.notna().all() and sentences.nunique() > 1:
        parts = GroupKFold(min(5, sentences.nunique())).split(embeddings, who, sentences.to_numpy())
    else:
        parts = StratifiedKFold(min(3, fewest), shuffle=True, random_state=0).split(embeddings, who)
    parts = list(parts)
    if min(len(set(who[train])) for train, _ in parts) < 2:
        return None
    found = cross_val_predict(classifiers.pipeline("logreg", "train"), embeddings, who, cv=parts)
    return pd.DataFrame({"clip": clips.index, "speaker": who, "truth": who, "prediction": found})
