"""The demo of `ser demo`: a page on this computer that hears a recording and says what a model makes of it."""

import contextlib
import html
import os
import shutil
import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from ser_core import paths
from ser_core.book.figures import panels
from ser_core.book.style import INK, PALETTE, draw, use_style
from ser_core.data import audio
from ser_core.errors import SerError
from ser_core.evaluation.metrics import PROBABILITY
from ser_core.experiments import models, predicting
from ser_core.systems import handcrafted, weights
from ser_core.systems.linear import Linear

LONGEST_S = 60.0
"""A recording may last this long, in s."""

LARGEST_MB = 20
"""An upload may have this many megabytes."""

KEPT_S = 600
"""An upload that was never heard, as its page was closed, is removed after this time, in s."""

MISUSE = (
    "For research and teaching. The models were trained on actors who play an emotion. They do not hear what a person "
    "feels, and they err with other languages, ages, rooms and microphones. Do not use them to judge, hire, grade, "
    "watch or diagnose people; in the EU, inferring emotions at work and in education is prohibited, with few "
    "exceptions (AI Act, article 5(1)(f))."
)

_TITLES = {"whisper-base": "Whisper base, frozen", "egemaps": "eGeMAPS, hand-made features"}

# Nothing is loaded from elsewhere, and no page may ask for it.
_POLICY = (
    "default-src 'self' blob: data:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; media-src 'self' blob: data:; "
    "connect-src 'self' blob: data: ws: wss:; frame-ancestors 'self' https://*.hf.space https://huggingface.co"
)
_STYLE = """
.gradio-container { max-width: 56rem !important; margin: 0 auto !important; }
.dark { --ser-ink: #e8eaed; --ser-muted: #a3adb8; --ser-grid: #3a424c; --ser-c1: #4aa8e0; --ser-c2: #ff8a4a;
  --ser-c3: #35c79a; --ser-paper: transparent; }
.ser p { margin: .4rem 0; max-width: 46rem; }
.ser .answer { font-size: 1.25rem; font-weight: 600; }
.ser .warn { border-left: 4px solid #b35900; padding: .3rem .8rem; }
.ser .error { border-left: 4px solid #b3261e; padding: .3rem .8rem; font-weight: 600; }
.ser .bar { display: grid; grid-template-columns: 6rem 1fr 3.2rem; gap: .6rem; align-items: center; margin: .2rem 0; }
.ser .bar i { display: block; height: .9rem; background: var(--ser-c1, #0072b2); border-radius: 2px; min-width: 1px; }
.ser .bar b { font-weight: 400; text-align: right; font-variant-numeric: tabular-nums; }
.ser { min-width: 0; max-width: 100%; }
.ser .scroll { overflow-x: auto; max-width: calc(100vw - 6rem); }
@media (max-width: 40rem) { .gradio-container main, .gradio-container .main { padding: 8px !important; } }
.ser table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.ser th, .ser td { padding: .2rem .6rem; text-align: left; border-bottom: 1px solid var(--ser-grid, #d8dee4); }
.ser svg { width: 100%; height: auto; }
footer { display: none !important; }
"""


def heard(file: Path | str) -> tuple[np.ndarray, int]:
    """Read an upload, and remove it.

    Args:
        file: Where Gradio put it.

    Returns:
        Mono samples and their rate in Hz.

    Raises:
        SerError: If it is too large, too long, cut short, silent or no recording; the message has no path.
    """
    file = Path(file)
    try:
        if file.stat().st_size > LARGEST_MB * 10**6:
            raise SerError(f"The file is larger than {LARGEST_MB} MB.")
        try:
            samples, rate = audio.read(file)
        except SerError as error:
            why = str(error).removeprefix(f"{file}: ").replace("fetch it again", "choose another file")
            raise SerError(f"The recording cannot be used: {why}.") from error
        if len(samples) > LONGEST_S * rate:
            raise SerError(f"The recording lasts {len(samples) / rate:.0f} s; at most {LONGEST_S:.0f} s are heard.")
        return samples, rate
    finally:
        _remove(file)


def _remove(file: Path) -> None:
    """Remove an upload and the folder that Gradio made for it."""
    root = Path(os.environ.get("GRADIO_TEMP_DIR", tempfile.gettempdir())).resolve()
    file.unlink(missing_ok=True)
    if file.resolve().parent.parent == root:
        shutil.rmtree(file.parent, ignore_errors=True)


def answer(samples: np.ndarray, rate: int, model: Linear) -> str:
    """Return what a model says of a recording, as HTML: probabilities, what they mean, and an answer if it gives one.

    Args:
        samples: Mono, in [-1, 1].
        rate: Their rate in Hz.
        model: The model.
    """
    table = predicting.predict_samples(samples, rate, model)
    usable = table[~table["status"].isin(predicting.UNUSABLE)]
    if usable.empty:
        return message(f"Nothing to predict: {table['note'].iloc[0]}.")
    columns = [PROBABILITY + name for name in model.classes]
    lengths = usable["end"] - usable["start"]
    mean = (usable[columns].mul(lengths, axis=0).sum() / lengths.sum()).rename(lambda name: name[len(PROBABILITY) :])
    parts = [f'<p class="answer">{_verdict(usable)}</p>']
    parts += [
        f'<div class="bar"><span>{html.escape(name)}</span><i style="width:{100 * p:.1f}%"></i><b>{p:.0%}</b></div>'
        for name, p in mean.sort_values(ascending=False).items()
    ]
    if len(table) > 1:
        parts.append(_windows(table, columns))
    parts.append(f"<p>{html.escape(_meaning(model))}</p>")
    return f'<div class="ser">{"".join(parts)}</div>'


def _verdict(table: pd.DataFrame) -> str:
    """Return the answer in words, or that there is none."""
    if len(table) == 1:
        given = table["prediction"].iloc[0]
        return f"Acted as: {html.escape(given)}" if given else "No answer: the model is not sure enough"
    counts = table["prediction"].value_counts()
    each = ", ".join(f"{html.escape(name)} in {n}" for name, n in counts.items() if name)
    return f"Of {len(table)} windows: {each + ', ' if each else ''}no answer in {counts.get('', 0)}"


def _windows(table: pd.DataFrame, columns: Sequence[str]) -> str:
    """Return the windows of a long recording as a table."""
    names = "".join(f"<th>{html.escape(name[len(PROBABILITY) :])}</th>" for name in columns)
    rows = []
    for row in table.to_dict("records"):
        cells = "".join(f"<td>{'' if np.isnan(row[name]) else f'{row[name]:.0%}'}</td>" for name in columns)
        said = html.escape(row["prediction"] or row["status"])
        rows.append(f"<tr><td>{row['start']:.1f}–{row['end']:.1f} s</td>{cells}<td>{said}</td></tr>")
    head = f"<thead><tr><th>window</th>{names}<th>answer</th></tr></thead>"
    return f'<div class="scroll" tabindex="0"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def _meaning(model: Linear) -> str:
    """Return what the probabilities of a model mean, with the numbers that say how far."""
    facts = model.facts
    elsewhere = "; ".join(
        f"{name}: {found['accuracy']:.0%} of all clips right, "
        + (f"answers {found['coverage']:.0%}, {right:.0%} of these right" if right is not None else "answers none")
        for name, found in facts.get("elsewhere", {}).items()
        for right in [found["accuracy_answered"]]
    )
    ending = f" On corpora that had no part in it, {elsewhere}." if elsewhere else ""
    return (
        "A probability is how likely an actor was told to play this emotion, among these "
        f"{len(model.classes)} and no others, as far as the model can tell. How often it is right differs from its "
        f"confidence by {100 * facts['held_out']['ece']:.0f} points on average; {predicting.trust(model)}.{ending}"
    )


def message(words: str) -> str:
    """Return what went wrong, as HTML.

    Args:
        words: In words; escaped here.

    Examples:
        >>> message("a < b")
        '<div class="ser"><p class="error" role="alert">a &lt; b</p></div>'
    """
    return f'<div class="ser"><p class="error" role="alert">{html.escape(words)}</p></div>'


def picture(samples: np.ndarray, rate: int) -> str:
    """Return waveform, spectrogram, pitch and loudness of a recording as an SVG in the book's style.

    Args:
        samples: Mono, in [-1, 1].
        rate: Their rate in Hz.
    """
    from scipy.signal import spectrogram

    x = audio.resample(samples, rate, 16_000)
    duration = len(x) / 16_000
    hop = max(160, len(x) // 600)
    with plt.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="nperseg")  # longer than a very short recording
        use_style()
        figure, axes = panels(6.4, 4, sharex=True)
        cut = x[: len(x) // hop * hop].reshape(-1, hop)
        edges = np.arange(len(cut)) * hop / 16_000
        axes[0].fill_between(edges, cut.min(axis=1), cut.max(axis=1), color=PALETTE[0], linewidth=0)
        axes[0].set_title("Waveform")
        _, _, power = spectrogram(x, 16_000, nperseg=512, noverlap=max(0, 512 - hop), scaling="spectrum")
        db = 10 * np.log10(np.maximum(power, 1e-12))
        extent = (0, duration, 0, 8)
        axes[1].imshow(db, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=db.max() - 70)
        axes[1].set(title="Spectrogram", ylabel="kHz")
        times, hz = handcrafted.pitch(x, 16_000)
        axes[2].plot(times, np.where(hz > 0, hz, np.nan), color=PALETTE[1])
        axes[2].set(title="Pitch, by Praat", ylabel="Hz", ylim=(50, 500))
        level = 10 * np.log10(np.maximum(np.square(cut, dtype="float64").mean(axis=1), 1e-12))
        axes[3].plot(edges, level, color=PALETTE[2])
        axes[3].set(title="Loudness", ylabel="dB re full scale", xlabel="s", ylim=(-80, 0), xlim=(0, duration))
        for one in axes:
            one.tick_params(labelcolor=INK)
        voiced = hz[hz > 0]
        pitch = f"{np.median(voiced):.0f} Hz in the median" if len(voiced) else "none"
        alt = f"Waveform, spectrogram, pitch ({pitch}) and loudness of {duration:.1f} s of sound."
        svg = draw(figure, name="heard", alt=alt).svg
    return f'<div class="ser"><div class="scroll" tabindex="0">{svg}</div></div>'


def transcript(samples: np.ndarray, rate: int) -> str:
    """Return what Whisper base hears, as HTML.

    Args:
        samples: Mono, in [-1, 1].
        rate: Their rate in Hz.

    Raises:
        SerError: If its weights are not there.
    """
    from ser_core.systems.transcription import hear

    said = hear(samples, rate, weights.folder("whisper-base") / "base.pt")
    words = html.escape(said["transcript"]) or "(no words)"
    return f'<div class="ser"><p>Whisper base hears ({html.escape(said["language"] or "?")}): <q>{words}</q></p></div>'


def can_transcribe() -> bool:
    """Return whether Whisper's weights are here in its own format."""
    found = weights.find("whisper-base")
    return bool(found) and (found / "base.pt").is_file()


def build(chosen: str | None = None):
    """Return the page.

    Args:
        chosen: The model that is shown first, see `ser_core.experiments.models.find`; others can be chosen there.

    Returns:
        A ``gradio.Blocks``.

    Raises:
        SerError: If there is no such model.
    """
    import gradio

    first = chosen or models.default()
    names = list(
        dict.fromkeys([first, *(name for name in models.SHIPPED if name != "whisper-base" or models.has_weights())])
    )
    loaded = {name: models.find(name) for name in names}
    titles = [(_TITLES.get(name, loaded[name].name), name) for name in names]

    def shown(heard_before: tuple | None, name: str, words: bool) -> tuple[str, str, str]:
        if heard_before is None:
            return "", "", ""
        try:
            said = transcript(*heard_before) if words else ""
            return answer(*heard_before, loaded[name]), said, picture(*heard_before)
        except SerError as error:
            return message(str(error)), "", ""

    def hear(file: str | None, name: str, words: bool) -> tuple:
        if file is None:
            return None, "", "", ""
        try:
            samples = heard(file)
        except SerError as error:
            return None, message(str(error)), "", ""
        return samples, *shown(samples, name, words)

    with gradio.Blocks(analytics_enabled=False, title="Honest Splits: demo", delete_cache=(60, KEPT_S)) as page:
        gradio.Markdown("# What a model makes of a voice")
        gradio.HTML(f'<div class="ser"><p class="warn" role="note">{html.escape(MISUSE)}</p></div>')
        sound = gradio.Audio(
            sources=["upload", "microphone"],
            type="filepath",
            label=f"Speech, at most {LONGEST_S:.0f} s and {LARGEST_MB} MB; the file is removed once it is heard",
            buttons=[],
            editable=False,
        )
        with gradio.Row():
            model = gradio.Radio(titles, value=first, label="Model")
            words = gradio.Checkbox(False, label="Transcribe by Whisper, too", visible=can_transcribe())
        if not models.has_weights():
            gradio.Markdown("Whisper's model and its transcript need its weights: `ser weights get whisper-base`.")
        samples, result = gradio.State(None), gradio.HTML(elem_id="answer")
        said, drawn = gradio.HTML(elem_id="words"), gradio.HTML(elem_id="picture")
        options = {"api_visibility": "private", "concurrency_id": "hear", "concurrency_limit": 1}
        sound.change(hear, [sound, model, words], [samples, result, said, drawn], **options)
        for setting in (model, words):
            setting.change(shown, [samples, model, words], [result, said, drawn], **options)
    return page


@contextlib.contextmanager
def serving(chosen: str | None = None, *, host: str = "127.0.0.1", port: int | None = None) -> Iterator[str]:
    """Serve the demo; its files lie in a folder of its own, which is removed at the end.

    Args:
        chosen: See `build`.
        host: Address to listen at; by default only this computer is answered.
        port: Port; a free one if not given.

    Yields:
        The address of the page.

    Raises:
        SerError: If there is no such model, or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="ser-demo-") as folder:
        # Gradio reads these when it is imported.
        settings = {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
        settings |= {"HF_HUB_DISABLE_TELEMETRY": "1", "MPLBACKEND": "agg"}
        os.environ.update(settings)
        plt.switch_backend("agg")
        page = build(chosen)
        page.queue(max_size=8)
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                max_file_size=LARGEST_MB * 10**6,
                allowed_paths=[],
                blocked_paths=[str(paths.repository())],
                footer_links=[],
                ssr_mode=False,
                css=_STYLE,
                theme=_theme(),
                app_kwargs={"middleware": [_strict()], "docs_url": None, "redoc_url": None},
            )
        except OSError as error:
            raise SerError(f"port {port} is taken ({error}); name another by --port") from error
        try:
            yield address
        finally:
            page.close(verbose=False)


def wait() -> None:
    """Wait until Ctrl-C, or until somebody ends the process; then `serving` removes its files."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with contextlib.suppress(KeyboardInterrupt):
        ended.wait()


def _theme():
    """Return Gradio's plain theme in the fonts of the computer."""
    import gradio

    return gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def _strict():
    """Return what tells the browser to ask nothing of other hosts."""
    from starlette.middleware import Middleware

    class Policy:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            async def sent(event):
                if event["type"] == "http.response.start":
                    event["headers"] = [*event["headers"], (b"content-security-policy", _POLICY.encode())]
                    event["headers"] += [(b"referrer-policy", b"no-referrer"), (b"x-content-type-options", b"nosniff")]
                await send(event)

            await self.app(scope, receive, sent if scope["type"] == "http" else send)

    return Middleware(Policy)
