"""The report of a study: one page of HTML that stands alone, with the figures of the book."""

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt

from ser_core.book import figures, matrices
from ser_core.book.style import INK, MUTED, PALETTE, WIDTH, draw, use_style
from ser_core.data.clips import describe
from ser_core.evaluation import metrics, power
from ser_core.evaluation.comparisons import p_text
from ser_core.experiments import importance, learning_curve, study
from ser_core.experiments.learning_curve import Curve
from ser_core.experiments.study import HANDMADE, KNOWN, NEW, Study
from ser_core.files import page
from ser_core.systems import classifiers, features

_WAYS = {KNOWN: "random clips (speakers known)", NEW: "new speakers"}
_MOST_ROWS = 60  # speakers in a picture
_MOST_FINDINGS = 40
_TARGET = 0.05


def html(found: Study) -> str:
    """Return the report of a study.

    Args:
        found: The study.

    Returns:
        A page of HTML without scripts and links to elsewhere; drawings are inline SVG, and names are escaped.
    """
    parts = {
        "Answer": _answer(found),
        "The corpus": _card(found),
        "What the split leaks": _audit(found),
        "Scores": _scores(found),
        "Who and what is confused": _confused(found),
        "Each speaker": _speakers(found),
        "What tells the emotion": _features(found),
        "Voices and emotions": _map(found),
        "How many more speakers?": _curve(found),
        "How this was made": _made(found),
    }
    with _drawing():
        body = [page.text(describe(found.clips)), None]
        anchors = []
        for number, (title, made) in enumerate(parts.items()):
            anchors.append((f"part-{number}", title))
            body += [page.heading(title, anchor=f"part-{number}"), *made]
    body[1] = page.contents(anchors)
    return page.page(f"Study of {found.name}", body)


@contextlib.contextmanager
def _drawing() -> Iterator[None]:
    """Draw in the book's style, with text as text: the reader's browser has fonts for every script."""
    with plt.rc_context(), warnings.catch_warnings():
        use_style()
        plt.rcParams.update({"svg.fonttype": "none", "text.parse_math": False})
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        warnings.filterwarnings("ignore", message=r"Matplotlib currently does not support")
        warnings.filterwarnings("ignore", message=r"vert: bool was deprecated")  # of seaborn
        yield


def _figure(figure: object, name: str, alt: str) -> str:
    return page.figure(draw(figure, name=name, alt=alt).svg, alt)


def _answer(found: Study) -> Iterator[str]:
    new, known = found.interval(NEW), found.interval(KNOWN)
    if new is not None:
        yield page.text(f"Speakers who were not trained on: UAR {new.text()}{_by(found, NEW)}.")
    if known is not None:
        yield page.text(f"Clips divided at random, so that speakers are known: UAR {known.text()}{_by(found, KNOWN)}.")
    may, not_ = study.claims(found)
    if may:
        yield page.heading("What may be claimed", 3)
        yield page.box([page.listing(may)], "good")
    yield page.heading("What may not be claimed", 3)
    yield page.box([page.listing(not_)], "warn")


def _by(found: Study, protocol: str) -> str:
    """Return by which feature set the score of a protocol is, and that it was chosen if there are several."""
    titles = study.titles(found)
    name = found.scores.set_index("run").at[found.run(protocol), "features"]
    others = f", the best of {len(titles)} feature sets and so a little high" if len(titles) > 1 else ""
    return f" with {titles[name]}{others}"


def _card(found: Study) -> Iterator[str]:
    measured = found.measured
    told = {
        name: value for name, value in measured.items() if name not in ("label_by_speaker", "duplicates", "problems")
    }
    values = [
        ", ".join(f"{key}: {n}" for key, n in value.items()) if isinstance(value, dict) else str(value)
        for value in told.values()
    ]
    yield page.table(pd.DataFrame({"fact": [name.replace("_", " ") for name in told], "measured": values}))
    problems = [*measured["problems"], *(f"{row.what}: {row.reason}" for row in found.refused.itertuples())]
    problems = list(dict.fromkeys(problems))
    if problems:
        yield page.heading("Problems of rows, recordings and divisions", 3)
        yield page.listing(problems[:_MOST_FINDINGS])
        if len(problems) > _MOST_FINDINGS:
            yield page.text(f"And {len(problems) - _MOST_FINDINGS} more.", "muted")
    counts = pd.crosstab(found.clips["speaker"].map(_short).fillna("not named"), found.clips["emotion"])
    if len(counts) > _MOST_ROWS:
        yield page.text(f"{len(counts)} speakers are too many for a picture of each.", "muted")
        return
    figure, axes = figures.panels(0.6 + 0.21 * len(counts))
    text = counts.to_numpy().astype(str) if len(counts) <= 40 else False
    matrices.heat(axes, counts.to_numpy(), counts.index, counts.columns, text=text)
    axes.set(xlabel="", ylabel="")
    one = measured.get("one_emotion_speakers", 0)
    alt = f"Clips of each emotion by each speaker; {one} of {len(counts)} speakers have one emotion only."
    yield _figure(figure, "speakers", alt)


def _short(identifier: object) -> object:
    return identifier.partition("/")[2] if isinstance(identifier, str) else identifier


def _audit(found: Study) -> Iterator[str]:
    for protocol, report in found.audits.items():
        yield page.heading(_WAYS.get(protocol, protocol).capitalize(), 3)
        first = report.findings.drop_duplicates(["check", "severity", "detail"])
        first = first[~first.duplicated("check") | first["fold"].isna()]
        if first.empty:
            yield page.box([page.text("Nothing found.")], "good")
            continue
        table = first[["severity", "check", "detail"]].rename(columns={"severity": "kind", "check": "what"})
        yield page.table(table.head(_MOST_FINDINGS))
        if protocol == KNOWN and len(report.leaks):
            yield page.text("These leaks are what a random division is; they are why its score is no result.", "muted")
    shortcuts = {
        protocol: report.shortcuts["uar"] for protocol, report in found.audits.items() if len(report.shortcuts)
    }
    if shortcuts:
        table = pd.DataFrame(shortcuts).rename(columns=_WAYS).rename_axis("known alone")
        chance = next(iter(found.audits.values())).shortcuts["chance"].iloc[0]
        yield page.table(table, f"UAR of one fact about a clip, without hearing an emotion; chance is {chance:.3f}.")


def _scores(found: Study) -> Iterator[str]:
    titles, scores = study.titles(found), found.scores
    groups = {
        _WAYS[protocol]: {titles[row.features]: row.interval for row in table.itertuples()}
        for protocol, table in scores.groupby("protocol", sort=False)
    }
    chance = {_WAYS[protocol]: float(found.floors[protocol].loc["chance", "uar"]) for protocol in found.floors}
    figure, axes = figures.panels(0.7 + 0.32 * (len(scores) + len(groups)))
    figures.grouped_forest(axes, groups, references=chance, reasons=False)
    axes.set_xlabel("UAR in percent")
    yield _figure(figure, "scores", "UAR with intervals over speakers; the dashed line is chance, hollow: no interval.")
    rows = [
        {"division": _WAYS[row.protocol], "features": titles[row.features], "UAR": row.interval.text()}
        for row in scores.itertuples()
    ]
    yield page.table(pd.DataFrame(rows))
    yield page.heading("The premium of leakage", 3)
    if found.premiums:
        yield page.text("How much higher the same system scores on the same clips if their speakers are trained on:")
        rows = [
            {
                "features": titles[name],
                "difference in UAR": one.points(),
                "p": p_text(one.p_value),
                "smallest difference found 4 times in 5": 100 * power.detectable_in(one),
            }
            for name, one in found.premiums.items()
        ]
        yield page.table(pd.DataFrame(rows), "In points; paired over speakers, at equal training size.", digits=1)
    else:
        yield page.box([page.text("It cannot be measured: one of the two divisions is not possible here.")], "warn")
    yield page.heading("Floors", 3)
    for protocol, table in found.floors.items():
        shown = table[table["reason"] == ""][["uar", "wa", "macro_f1"]].rename(columns=metrics.LABELS)
        yield page.table(shown, f"{_WAYS[protocol].capitalize()}: what is scored without listening.")


def _confused(found: Study) -> Iterator[str]:
    there = [protocol for protocol in (NEW, KNOWN) if found.run(protocol)]
    tables = {protocol: study.predictions(found, protocol) for protocol in there}
    names = metrics.class_names(tables[there[0]])
    size = max(3.2, 0.55 * len(names) + 1.2)
    figure, axes = figures.panels(size, columns=len(there), squeeze=False, width=WIDTH if len(there) > 1 else 4.2)
    for one, protocol in zip(axes[0], there, strict=True):
        matrices.confusion(one, metrics.confusions(tables[protocol], names).mean(axis=0), names)
        one.set_title(_WAYS[protocol])
    alt = "Percent of each true emotion (rows) by answer (columns); the diagonal is recall, clips stand in brackets."
    yield _figure(figure, "confusion", alt)


def _speakers(found: Study) -> Iterator[str]:
    protocol = NEW if found.run(NEW) else KNOWN
    table = study.by_speaker(found, protocol)
    if table.empty:
        yield page.text("No clip names its speaker.")
        return
    caption = f"Of {found.run(protocol).partition('/')[2]}; lowest accuracy first. One speaker's score is a weak fact."
    yield page.table(table, caption)
    words = table["gender"].dropna()
    if words.nunique() > 1:
        means = (
            table.groupby("gender")["accuracy"].agg(["size", "mean"]).set_axis(["speakers", "mean accuracy"], axis=1)
        )
        yield page.table(means, "By gender, speakers counting alike; without a test, so no evidence of a difference.")


def _features(found: Study) -> Iterator[str]:
    if found.importance:
        each = dict(sorted(found.importance.items(), key=lambda item: -item[1].interval.value))
        figure, axes = figures.panels(0.6 + 0.3 * len(each))
        figures.forest(axes, list(each.values()), list(each), reference=0.0, reasons=False)
        axes.set_xlabel("points of UAR that are lost")
        alt = (
            "Permutation importance of groups of eGeMAPS features for new speakers: what UAR loses when each test "
            "speaker's clips exchange a group's values."
        )
        yield _figure(figure, "importance", alt)
        yield page.text(
            "A group can be worth nothing because another tells the same. Values are exchanged within a speaker, so "
            "voices stay whole.",
            "muted",
        )
    if HANDMADE not in set(found.scores["features"]):
        return
    table = features.load(found.name, HANDMADE).loc[found.clips.index]
    if found.clips["speaker"].isna().any():
        yield page.text("Distributions are of each speaker's own scale, and some clips name no speaker.", "muted")
        return
    scaled = classifiers.normalise(table, found.clips, "speaker")
    chosen = _telling(scaled, found.clips["emotion"])
    emotions = sorted(found.clips["emotion"].unique())
    figure, axes = figures.panels(0.9 + 2 * (0.5 + 0.2 * len(emotions)), 2, 3, sharey=True)
    for one in axes.flat[len(chosen) :]:
        one.set_axis_off()
    for one, name in zip(axes.flat, chosen, strict=False):
        data = pd.DataFrame({"value": scaled[name].clip(-4, 4), "emotion": found.clips["emotion"]})
        look = {"color": PALETTE[0], "linecolor": INK, "saturation": 1, "width": 0.6, "fliersize": 1, "linewidth": 0.8}
        sns.boxplot(data=data, x="value", y="emotion", order=emotions, ax=one, **look)
        one.set(xlabel="", ylabel="")
        one.set_title(_readable(name), fontsize=7.5, fontweight="normal")
    alt = "The six eGeMAPS features that differ most between emotions, each in standard deviations of its speaker."
    yield _figure(figure, "distributions", alt)
    yield page.text("They were chosen on these very clips, so they describe this corpus and prove nothing.", "muted")


def _telling(values: pd.DataFrame, emotions: pd.Series, n: int = 6) -> list[str]:
    """Return the features whose variance lies most between emotions, at most one of each group of features."""
    means = values.groupby(emotions).transform("mean")
    share = (means.var() / values.var().replace(0, np.nan)).dropna().sort_values(ascending=False)
    kinds = {column: name for name, listed in importance.groups(list(values)).items() for column in listed}
    best = [name for name in share.index if name in kinds]
    first = list(dict.fromkeys(kinds[name] for name in best))
    return [next(name for name in best if kinds[name] == kind) for kind in first][:n]


def _readable(name: str) -> str:
    """Return the name of an eGeMAPS feature as short as it stays clear, in at most two lines."""
    for long, short in (("_sma3nz", ""), ("_sma3", ""), ("semitoneFrom27.5Hz", ""), ("LogRelF0", "RelF0"), ("_", " ")):
        name = name.replace(long, short)
    return name.replace("amean", "mean").replace("stddevNorm", "variation").replace("amplitude", " amplitude ").strip()


def _map(found: Study) -> Iterator[str]:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import StandardScaler

    if len(found.clips) < 12:
        yield page.text("Too few clips for a map.")
        return
    values = StandardScaler().fit_transform(found.values.to_numpy("float64"))
    values = PCA(min(30, *values.shape), random_state=0).fit_transform(values)
    near = min(30, (len(values) - 1) // 3)
    places = TSNE(perplexity=near, init="pca", random_state=0, n_jobs=1).fit_transform(values)
    figure, axes = figures.panels(3.6, columns=2)
    title = features.get(found.mapped).short
    for one, by in zip(axes, ("emotion", "speaker"), strict=True):
        words = found.clips[by].map(_short if by == "speaker" else lambda word: word).fillna("not named")
        kinds = sorted(words.unique())
        colours = [*PALETTE, *sns.color_palette("husl", max(0, len(kinds) - len(PALETTE))).as_hex()][: len(kinds)]
        look = {"s": 11, "linewidth": 0, "legend": False, "alpha": 0.85}
        sns.scatterplot(
            x=places[:, 0], y=places[:, 1], hue=words.to_numpy(), hue_order=kinds, palette=colours, ax=one, **look
        )
        one.set(xticks=[], yticks=[], xlabel="", ylabel="")
        one.set_title(f"coloured by {by}", color=MUTED)
        sns.despine(ax=one, left=True, bottom=True)
        if len(kinds) <= 12:
            for kind, colour in zip(kinds, colours, strict=True):
                one.plot([], [], "o", color=colour, markersize=4, label=kind)
            one.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, handletextpad=0.1, columnspacing=0.8)
    alt = f"t-SNE of {title}, the same points twice; clusters that are speakers, not emotions, show the confound."
    yield _figure(figure, "map", alt)
    if found.speaker_told is not None:
        chance = 1 / found.clips["speaker"].nunique()
        yield page.text(
            f"From these values a linear classifier names the speaker of {found.speaker_told:.1%} of clips "
            f"(guessing: {chance:.1%}). Distances between clusters of such a map mean nothing."
        )


def _curve(found: Study) -> Iterator[str]:
    new = found.interval(NEW)
    if isinstance(found.curve, Curve):
        yield from _drawn(found.curve)
    else:
        yield page.box([page.text(f"No learning curve: {found.curve}.")], "warn")
    if new is not None and (needed := learning_curve.speakers_for(new, _TARGET)):
        yield page.text(
            f"To be as sure as plus and minus {100 * _TARGET:g} points of UAR, about {needed} speakers of this kind "
            f"have to be tested; there are {new.n_clusters}, and it is plus and minus {100 * new.half_width:.1f}."
        )
    if found.premiums:
        one = next(iter(found.premiums.values()))
        if one.error > 0:
            found_with = power.speakers_needed(one.error, one.interval.n_clusters, _TARGET)
            yield page.text(f"To find a paired difference of {100 * _TARGET:g} points 4 times in 5 takes {found_with}.")


def _drawn(curve: Curve) -> Iterator[str]:
    figure, axes = figures.panels(2.8)
    sizes = curve.scores.index.to_numpy()
    figures.curve(axes, sizes, list(curve.scores["interval"]))
    axes.set(xlabel="speakers in a training part", ylabel="UAR of new speakers, in percent", xscale="log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    yield _figure(figure, "curve", "UAR of new speakers by how many speakers were trained on, with eGeMAPS.")
    if curve.gain is None:
        return
    most, gain = int(sizes[-1]), curve.gain
    verdict = {
        1: "More speakers are likely to help; each doubling tends to bring less than the one before.",
        0: "The curve does not show that more speakers would help such a system; nor that they would not.",
        -1: "More of these speakers made it worse, which chance or unlike speakers can do.",
    }[gain.interval.side()]
    yield page.text(f"From {curve.half} to {most} speakers UAR changes by {gain.points()} points. {verdict}")
    yield page.text("More speakers mean more clips here; which of the two helps is not told apart.", "muted")
    for size, reason in curve.reasons.items():
        yield page.text(f"{size} speakers are left out: {reason}", "muted")


def _made(found: Study) -> Iterator[str]:
    yield page.listing(
        [
            "Classifier: logistic regression on z-scored features (mean and deviation of the training part), the same "
            "training size in both divisions, one division each.",
            "Intervals: bootstrap over speakers, expanded for their small number, 95 %. p-values: permutation over "
            "speakers.",
            "UAR is the mean of the emotions' recalls. Nothing was tuned, and nothing was chosen by a test score but "
            "which feature set is shown in detail.",
            f"Runs: {', '.join(found.scores['run'])}.",
        ]
    )
