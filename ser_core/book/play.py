"""Figures to play with: Vega-Lite charts with controls and a sentence, drawn once for those who run no scripts."""

import html
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from ser_core.book import glue
from ser_core.book.style import GRID, INK, MUTED, PALETTE, variable
from ser_core.errors import SerError
from ser_core.evaluation import calibration, comparisons, intervals, metrics, power

_WIDTH = 250
_FOUR = 4
_BINS = np.arange(-40, 40.5, 1.0)  # points
# Colours that follow the theme, as in the other figures.
_CONFIG = {
    "axis": {"labelColor": INK, "titleColor": INK, "domainColor": MUTED, "tickColor": MUTED, "gridColor": GRID}
    | {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 200, "aria": False},
    "view": {"stroke": None},
    "text": {"color": INK, "fontSize": 12},
    "rule": {"color": MUTED},
    "background": None,
    "aria": False,  # the sentence says what is drawn, and these would be pictures without names
    "mark": {"aria": False},
}


@dataclass(frozen=True)
class Playable:
    """A chart that a reader changes by controls, and a sentence that says what it shows.

    Args:
        spec: Vega-Lite; its ``usermeta`` has ``keys``, the parameters that choose the sentence, and ``said``, their
            values joined by ``|`` -> the sentence.
        name: Prefix of the ids; unique within a page.
        alt: What the chart shows, in words.
    """

    spec: dict
    name: str
    alt: str

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return what Jupyter and the book display."""
        import vl_convert

        first, meta = {one["name"]: one.get("value") for one in self.spec["params"]}, self.spec["usermeta"]
        said = meta["said"].get("|".join(str(first[key]) for key in meta["keys"]), "")
        svg = re.sub(r'(\bid="|url\(#)', rf"\g<1>{self.name}-", vl_convert.vegalite_to_svg(self.spec))
        # In a script element, only this would end it.
        spec = json.dumps(self.spec, separators=(",", ":"), sort_keys=True).replace("</", r"<\/")
        page = (
            f'<div class="ser-play" id="{self.name}"><div class="ser-controls"></div>'
            f'<p class="ser-said" aria-live="polite">{html.escape(said)}</p>'
            f'<div class="ser-chart" role="img" aria-label="{html.escape(self.alt)}">{svg}</div>'
            f'<script type="application/json">{spec}</script></div>'
        )
        return {"text/html": page, "text/plain": self.alt}


def _playable(
    chart: alt.TopLevelMixin, name: str, words: str, keys: Sequence[str], said: dict, **meta: object
) -> Playable:
    usermeta = {"keys": list(keys), "said": said, **meta}
    config = json.loads(re.sub(r"#[0-9a-f]{6}\b", lambda found: variable(found[0]), json.dumps(_CONFIG)))
    spec = chart.properties(usermeta=usermeta).to_dict()
    # Altair's own configuration is of another look. Colours of marks follow the theme, too.
    spec = json.loads(re.sub(r"#[0-9a-f]{6}\b", lambda found: variable(found[0]), json.dumps(spec)))
    return Playable({**spec, "config": config}, name, words)


def _choice(name: str, label: str, options: Mapping[str, str], value: str | None = None) -> alt.Parameter:
    labels = list(options.values())
    bound = alt.binding_select(options=list(options), labels=labels, name=label)
    return alt.param(name=name, value=value or next(iter(options)), bind=bound)


def _chosen(*names: str) -> str:
    return " && ".join(f"datum.{name} == {name}" for name in names)


def ladder(premiums: pd.DataFrame, corpora: Mapping[str, str], features: Mapping[str, str]) -> Playable:
    """Return what known speakers add, by corpus, features, training size and whether sentences are known.

    Args:
        premiums: From `ser_core.experiments.premium.premiums`.
        corpora: Corpora to choose from -> their names.
        features: Feature sets to choose from -> their names.
    """
    sizes = {size: f"{size} clips" for size in ("150", "300", "600")} | {"match": "all clips"}
    sentences = {"known": "in training, too", "new": "new, too"}
    rows, said = [], {}
    for at in itertools.product(corpora, features, sizes, sentences):
        said["|".join(at)] = "Not measured: the corpus has too few clips, or does not name its sentences."
    kept = premiums[premiums["corpus"].isin(corpora) & premiums["features"].isin(features)]
    for row in kept.itertuples():
        key = (row.corpus, row.features, row.size, row.sentences)
        interval = row.difference.interval
        scores = {"known speakers": row.known_speakers, "new speakers": row.new_speakers, "premium": row.value}
        for name, score in scores.items():
            ends = (interval.low, interval.high) if name == "premium" and not interval.refusal else (None, None)
            low, high = (end if end is None else round(100 * end, 2) for end in ends)
            at = dict(zip(("corpus", "features", "size", "sentences"), key, strict=True))
            rows.append({**at, "row": name, "value": round(100 * score, 2), "low": low, "high": high})
        said["|".join(key)] = (
            f"{corpora[row.corpus]}, {features[row.features]}, {row.train_clips:,} training clips: UAR is "
            f"{glue.share(row.known_speakers, 1, '%')} where test speakers were heard in training, and "
            f"{glue.share(row.new_speakers, 1, '%')} where they were not. Known speakers add "
            f"{row.difference.points()} points."
        )
    params = [
        _choice("corpus", "Corpus", corpora),
        _choice("features", "Features", features, "compare"),
        _choice("size", "Training size", sizes, "match"),
        _choice("sentences", "Test sentences are", sentences),
    ]
    order = ["known speakers", "new speakers", "premium"]
    base = alt.Chart(pd.DataFrame(rows)).transform_filter(_chosen("corpus", "features", "size", "sentences"))
    y = alt.Y("row:N", sort=order, title=None, axis=alt.Axis(ticks=False, domain=False))
    x = alt.X("value:Q", title="UAR, %; premium in points", scale=alt.Scale(domain=[-10, 100]))
    colour = alt.Color("row:N", scale=alt.Scale(domain=order, range=[PALETTE[1], PALETTE[0], INK]), legend=None)
    bars = base.mark_rule(strokeWidth=2).encode(y=y, x=alt.X("low:Q"), x2="high:Q", color=colour)
    dots = base.mark_point(size=60, filled=True, opacity=1).encode(y=y, x=x, color=colour)
    words = base.mark_text(dy=-13).encode(y=y, x=x, text=alt.Text("value:Q", format=".1f"))
    zero = alt.Chart(alt.InlineData([{"x": 0}])).mark_rule(strokeDash=[4, 3]).encode(x="x:Q")
    chart = (zero + bars + dots + words).add_params(*params).properties(width=_WIDTH, height=alt.Step(48))
    return _playable(
        chart,
        "play_ladder",
        "UAR with known and with new speakers, and the difference, the premium, with its interval.",
        ["corpus", "features", "size", "sentences"],
        said,
    )


def matrix(
    scores: pd.DataFrame, corpora: Mapping[str, str], features: Mapping[str, str], scaled: Mapping[str, str], rest: str
) -> Playable:
    """Return the transfer matrix by features, scaling and measure.

    Args:
        scores: One row a transfer: ``trained``, ``tested``, ``features``, ``normalisation`` and a column a measure of
            `ser_core.evaluation.metrics.METRICS`.
        corpora: Corpora -> their names.
        features: Feature sets to choose from -> their names.
        scaled: Normalisations to choose from -> their names.
        rest: What ``trained`` is where all other corpora were trained on.
    """
    trained = {**corpora, rest: rest}
    rows, said = [], {}
    for at in itertools.product(features, scaled, metrics.LABELS):
        said["|".join(at)] = "No Run has these features with this scaling."
    kept = scores[scores["features"].isin(features) & scores["normalisation"].isin(scaled)].reset_index(drop=True)
    for (of, how), part in kept.groupby(["features", "normalisation"], sort=False):
        own, pooled = part["trained"] == part["tested"], part["trained"] == rest
        for _, row in part.iterrows():
            names = {"trained": trained[row["trained"]], "tested": corpora[row["tested"]]}
            values = {measure: round(100 * row[measure], 1) for measure in metrics.LABELS}
            own_corpus = row["trained"] == row["tested"]
            rows.append({"features": of, "scaled": how, **names, **values, "own": own_corpus})
        for measure, label in metrics.LABELS.items():
            means = {"from one other corpus": ~own & ~pooled, f"from {rest}": pooled, "from the corpus itself": own}
            means = {name: part.loc[which, measure].mean() for name, which in means.items() if which.any()}
            best = part.loc[part.loc[~own, measure].idxmax()]
            said[f"{of}|{how}|{measure}"] = (
                f"{label}, mean over the cells shown: {glue.described(means, 1, '%')}. The highest across corpora is "
                f"{glue.share(best[measure], 1, '%')}, from {trained[best['trained']]} to {corpora[best['tested']]}."
            )
    params = [
        _choice("features", "Features", features),
        _choice("scaled", "Scaled by", scaled),
        _choice("measure", "Measure", metrics.LABELS),
    ]
    base = alt.Chart(pd.DataFrame(rows)).transform_filter(_chosen("features", "scaled"))
    base = base.transform_calculate(value="datum[measure]")
    axis = alt.Axis(ticks=False, domain=False)
    x = alt.X("tested:N", sort=list(corpora.values()), title="tested on", axis=axis).axis(labelAngle=-40)
    x.scale = alt.Scale(domain=list(corpora.values()))
    y = alt.Y("trained:N", title="trained on", axis=axis, scale=alt.Scale(domain=list(trained.values())))
    shade = alt.Opacity("value:Q", scale=alt.Scale(domain=[10, 100], range=[0, 0.55]), legend=None)
    cells = base.mark_rect(color=PALETTE[0]).encode(x=x, y=y, opacity=shade)
    frames = base.transform_filter("datum.own").mark_rect(filled=False, stroke=MUTED).encode(x=x, y=y)
    words = base.mark_text().encode(x=x, y=y, text=alt.Text("value:Q", format=".0f"))
    chart = (cells + frames + words).add_params(*params).properties(width=240, height=alt.Step(30))
    words = "Scores from each corpus to each; framed cells are within a corpus, new speakers."
    return _playable(chart, "play_matrix", words, ["features", "scaled", "measure"], said)


def actors(predictions: Mapping[str, pd.DataFrame], **options: object) -> Playable:
    """Return two systems on four actors of one's own choice, beside all sets of four.

    Args:
        predictions: Two systems or more -> their predictions of the same clips.
        **options: See `ser_core.evaluation.comparisons.difference`.

    Raises:
        SerError: If systems differ in the emotions of a speaker's clips.
    """
    names = list(predictions)
    classes = metrics.class_names(predictions[names[0]])
    speakers = sorted(predictions[names[0]]["speaker"].unique())
    rows, said, recalled, totals = [], {}, {}, None
    for name, table in predictions.items():
        counts = intervals.counts(table, "speaker", classes)  # seeds, speakers, truth, answer
        of = counts.sum(axis=3)[0]
        if totals is not None and not np.array_equal(of, totals):
            raise SerError(f"'{name}' predicts other clips than '{names[0]}'; expected the same")
        # UAR is linear in what is recalled: that of the mean over seeds is the mean of theirs.
        totals, recalled[name] = of, np.einsum("sukk->suk", counts).mean(axis=0)
    some = {name: power.scores_of_some(table, "uar", n_speakers=_FOUR) for name, table in predictions.items()}
    for first, second in itertools.permutations(names, 2):
        apart = 100 * (some[first] - some[second]).to_numpy()
        bins, _ = np.histogram(apart, _BINS)
        for left, n in zip(_BINS[:-1], bins, strict=True):
            if n:
                rows.append({"first": first, "second": second, "from": left, "to": left + 1, "sets": int(n)})
        whole = comparisons.difference(predictions[first], predictions[second], **options)
        said[f"{first}|{second}"] = (
            f"On all {len(speakers)} actors {first} minus {second} is {whole.points()} points of UAR; on "
            f"{glue.share((apart < 0).mean(), 0, '%')} of the {len(apart):,} sets of four {second} is ahead."
        )
    params = [_choice("first", "First system", dict(zip(names, names, strict=True)))]
    params.append(_choice("second", "Second system", dict(zip(names, names, strict=True)), names[1]))
    here = alt.param(name="here", value=None)
    base = alt.Chart(pd.DataFrame(rows)).transform_filter(_chosen("first", "second"))
    x = alt.X("from:Q", title="first minus second, points of UAR", scale=alt.Scale(zero=False, nice=True))
    y = alt.Y("sets:Q", title="sets of four actors")
    bars = base.mark_bar(color=PALETTE[0], opacity=0.45).encode(x=x.bin("binned"), x2="to:Q", y=y)
    zero = alt.Chart(alt.InlineData([{"x": 0}])).mark_rule(strokeDash=[4, 3]).encode(x="x:Q")
    # The script puts the difference on the chosen actors into `here`.
    mark = alt.Chart(alt.InlineData([{}])).transform_calculate(here="here").transform_filter("isValid(datum.here)")
    line = mark.mark_rule(color=PALETTE[1], strokeWidth=3).encode(x="here:Q")
    chart = (bars + zero + line).add_params(*params, here).properties(width=_WIDTH, height=200)
    words = "How the difference of two systems is distributed over all sets of four actors."
    four = {"actors": [name.rpartition("/")[2] for name in speakers], "totals": totals.tolist()}
    four["recalled"] = {name: np.round(table, 4).tolist() for name, table in recalled.items()}
    return _playable(chart, "play_actors", words, ["first", "second"], said, four=four)


def thresholds(predictions: Mapping[str, pd.DataFrame]) -> Playable:
    """Return who is taken for whom when a system answers only where it is sure enough.

    Args:
        predictions: Systems to choose from -> their predictions of the same classes, with probabilities.

    Raises:
        SerError: If predictions have no probabilities.
    """
    rows, curves, said = [], [], {}
    steps = range(0, 100, 5)
    for name, table in predictions.items():
        values, classes = calibration.probabilities(table)
        sure, seeds = values.max(axis=1), table["seed"].nunique()
        for percent in steps:
            kept = table[sure >= percent / 100]
            counts = metrics.confusions(kept, classes).sum(axis=0) if len(kept) else np.zeros((len(classes),) * 2)
            truths, covered = counts.sum(axis=1), len(kept) / len(table)
            uar = float(np.nanmean(metrics.recalls(counts))) if len(kept) else None
            key = {"system": name, "threshold": percent}
            for truth, answers, n in zip(classes, counts, truths, strict=True):
                if n:
                    rows.append({**key, "truth": truth, "share": [round(100 * answer / n, 1) for answer in answers]})
            curves.append({**key, "line": "coverage", "percent": round(100 * covered, 1)})
            if uar is None:
                said[f"{name}|{percent}"] = f"{name} is never as sure as {percent} %."
                continue
            curves.append({**key, "line": "UAR", "percent": round(100 * uar, 1)})
            gone = [label for label, n in zip(classes, truths, strict=True) if not n]
            said[f"{name}|{percent}"] = (
                f"{name}, probability of the answer at least {percent} %: {glue.share(covered, 0, '%')} of the clips "
                f"are answered ({len(kept) / seeds:,.0f} of {len(table) // seeds:,}), with a UAR of "
                f"{glue.share(uar, 1, '%')} on them" + (f"; no clip of {glue.listed(gone)} is left." if gone else ".")
            )
    system = _choice("system", "System", dict(zip(predictions, predictions, strict=True)))
    slider = alt.binding_range(min=steps.start, max=steps[-1], step=steps.step, name="Least probability, %")
    params = [system, alt.param(name="threshold", value=0, bind=slider)]
    lines = alt.Chart(pd.DataFrame(curves)).transform_filter(_chosen("system"))
    x = alt.X("threshold:Q", title="least probability of an answer, %", scale=alt.Scale(domain=[0, 100]))
    y = alt.Y("percent:Q", title="percent", scale=alt.Scale(domain=[0, 100]))
    two = alt.Scale(domain=["coverage", "UAR"], range=[PALETTE[1], PALETTE[0]])
    above = alt.Legend(orient="top", title=None, labelColor=INK, labelFontSize=12)
    colour = alt.Color("line:N", scale=two, legend=above)
    drawn = lines.mark_line(point=True).encode(x=x, y=y, color=colour)
    rule = alt.Chart(alt.InlineData([{}])).transform_calculate(at="threshold").mark_rule().encode(x="at:Q")
    cells = alt.Chart(pd.DataFrame(rows)).transform_filter(_chosen("system", "threshold"))
    cells = cells.transform_calculate(answer=json.dumps(list(classes))).transform_flatten(["share", "answer"])
    axis = alt.Axis(ticks=False, domain=False)
    domain = alt.Scale(domain=list(classes))
    x = alt.X("answer:N", title="answer", scale=domain, axis=axis).axis(labelAngle=-40)
    y = alt.Y("truth:N", title="truth", scale=domain, axis=axis)
    shade = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 100], range=[0, 0.55]), legend=None)
    shaded = cells.mark_rect(color=PALETTE[0]).encode(x=x, y=y, opacity=shade)
    words = cells.mark_text(fontSize=11).encode(x=x, y=y, text=alt.Text("share:Q", format=".0f"))
    upper = (drawn + rule).properties(width=240, height=130)
    lower = (shaded + words).properties(width=240, height=alt.Step(26))
    chart = alt.vconcat(upper, lower).resolve_scale(color="independent").add_params(*params)
    words = "Coverage and UAR by the least probability of an answer, and the confusion of what is answered."
    return _playable(chart, "play_thresholds", words, ["system", "threshold"], said)
