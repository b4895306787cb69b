"""The demo: what its page says, in Chromium with an upload and with a recording, and what it leaves behind."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from spoken import RATE, toy, voice

from ser_core import paths
from ser_core.book import demo
from ser_core.book.release import printing
from ser_core.data import corpora
from ser_core.errors import SerError
from ser_core.evaluation.metrics import PROBABILITY
from ser_core.experiments import models, predicting
from ser_core.systems import weights

ROOT = paths.repository()


@pytest.fixture
def upload(tmp_path, monkeypatch):
    """Put a sound where Gradio puts an upload: in a folder of its own."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "temporary"))

    def call(samples, rate=RATE):
        path = tmp_path / "temporary" / "a1b2" / "sound.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, samples, rate)
        return path

    return call


def test_an_upload_is_removed_once_it_is_heard(upload):
    path = upload(voice(2))
    samples, rate = demo.heard(path)
    assert (len(samples), rate) == (2 * RATE, RATE)
    assert not path.exists() and not path.parent.exists() and path.parent.parent.exists()


@pytest.mark.parametrize(
    ("samples", "rate", "match"),
    [
        (np.zeros(61 * 8000), 8000, "lasts 61 s; at most 60 s"),
        (np.zeros((11_000_000, 1), "int16"), 48_000, "larger than 20 MB"),
        (np.stack([voice(), -voice()], axis=1), RATE, "cancel each other"),
    ],
)
def test_what_is_too_much_or_no_sound_is_removed_and_its_path_kept_back(upload, samples, rate, match):
    path = upload(samples, rate)
    with pytest.raises(SerError, match=match) as caught:
        demo.heard(path)
    assert str(path) not in str(caught.value) and not path.exists()


def test_the_answer_says_what_the_model_says():
    page = demo.answer(voice(4), RATE, toy())
    assert "Acted as: long" in page and "<b>95%</b>" in page  # 1 / (1 + exp(1 - 4))
    assert "answered 40% of clips, 80% of these rightly" in page and "confidence by 10 points" in page
    assert "No answer" in demo.answer(voice(4), RATE, toy(threshold=0.99))
    assert 'role="alert"' in demo.answer(np.zeros(RATE, "float32"), RATE, toy())


def test_a_long_recording_is_answered_by_windows():
    sound = np.concatenate([voice(5), np.zeros(5 * RATE, "float32"), voice(5)])
    page = demo.answer(sound, RATE, toy())
    assert page.count("<tr>") == 4 and "10.0–15.0 s" in page and "<td>no speech</td>" in page
    assert "long in 2" in page


def test_the_picture_has_four_axes_and_words_for_the_blind():
    page = demo.picture(voice(2, hz=220), RATE)
    assert page.count('id="heard-axes_') == 4 and "220 Hz in the median" in page
    assert "pitch (none)" in demo.picture(np.zeros(400, "float32"), 8000)


def test_the_space_needs_what_the_package_declares():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = declared["optional-dependencies"]
    there = {*declared["dependencies"], *extras["features"], *extras["study"], *extras["demo"]}
    asked = (ROOT / "space" / "requirements.txt").read_text().split()
    assert set(asked) <= there and set(declared["dependencies"]) <= set(asked)
    header = (ROOT / "space" / "README.md").read_text().split("---")[1]
    locked = re.search(r"^gradio==(\S+)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)[1]
    assert f"sdk_version: {locked}\n" in header and "app_file: app.py" in header


# In the browser


needs_browser = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None or not printing.can_print(),
    reason="needs gradio and Chromium",
)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The demo as a process of its own, which at the end has removed its files."""
    root = tmp_path_factory.mktemp("served")
    (root / "cache").mkdir()
    if fetched := weights.find("whisper-base"):
        (root / "cache" / "weights").symlink_to(fetched.parent)
    words = [sys.executable, "-m", "ser_core.cli", "demo", "--model", "egemaps"]
    environment = os.environ | {"TMPDIR": str(root), "SER_WEIGHTS": str(root), "SER_CACHE": str(root / "cache")}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as server:
        address = server.stdout.readline().split()[0]
        yield address, root
        server.send_signal(signal.SIGTERM)
        assert (server.wait(60), server.stderr.read()) == (0, "")
    assert not list(root.glob("ser-demo-*"))


@pytest.fixture(scope="module")
def opened(served, tmp_path_factory):
    """The page, with a microphone that hears a voice; nothing may be asked of other hosts."""
    heard = tmp_path_factory.mktemp("microphone") / "voice.wav"
    soundfile.write(heard, voice(8), 48_000)
    asked = []
    microphone = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    with printing.browser(*microphone, f"--use-file-for-fake-audio-capture={heard}") as browser:
        page = browser.new_context(permissions=["microphone"], viewport={"width": 390, "height": 844}).new_page()
        page.set_default_timeout(120_000)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(served[0])
        yield page
    own = (served[0], "blob:", "data:")
    assert asked and [url for url in asked if not url.startswith(own)] == []


def left(root):
    return [path for path in root.glob("ser-demo-*/**/*") if path.is_file()]


@needs_browser
def test_an_upload_is_answered(opened, served, tmp_path):
    soundfile.write(tmp_path / "mine.wav", voice(3), RATE)
    opened.locator("input[type=file]").first.set_input_files(tmp_path / "mine.wav")
    opened.locator("#answer .answer").wait_for()
    assert "No answer" in opened.locator("#answer").inner_text()  # as this model always abstains
    assert opened.locator("#answer .bar").count() == 4
    opened.locator("#picture svg").wait_for()
    assert "Do not use them to judge" in opened.locator("[role=note]").inner_text()
    assert left(served[1]) == []
    # A phone is not made to scroll sideways, and nobody is told of another host.
    assert opened.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@needs_browser
def test_what_is_no_sound_is_refused_in_words(opened, served, tmp_path):
    (tmp_path / "fake.wav").write_text("no sound")
    opened.reload()
    opened.locator("input[type=file]").first.set_input_files(tmp_path / "fake.wav")
    opened.locator("#answer [role=alert]").wait_for()
    assert "cannot be decoded" in opened.locator("#answer").inner_text()
    assert str(Path(served[1])) not in opened.locator("#answer").inner_text() and left(served[1]) == []


@needs_browser
def test_a_recording_is_answered(opened, served):
    opened.reload()
    opened.get_by_role("button", name="Record audio").click()
    opened.get_by_role("button", name="Record", exact=True).click()
    opened.wait_for_timeout(2500)
    opened.get_by_role("button", name="Stop").first.click()
    opened.locator("#answer .answer").wait_for()
    assert opened.locator("#answer .bar").count() == 4 and left(served[1]) == []


@needs_browser
@pytest.mark.needs_data
@pytest.mark.needs_fetched("whisper-base")
def test_whisper_answers_too_and_says_what_it_hears(opened, served):
    opened.reload()
    clip = corpora.table("ravdess").loc["ravdess/03-01-05-02-01-01-01"]
    recording = corpora.audio_path(clip, paths.data_folder("ravdess"))
    opened.get_by_label("Whisper base, frozen").check()
    opened.get_by_label("Transcribe by Whisper, too").check()
    opened.locator("input[type=file]").first.set_input_files(recording)
    opened.locator("#words q").wait_for()
    assert opened.locator("#words q").inner_text().lower().strip(".! ") == clip["transcript"].lower()
    # As `ser predict` says of this file.
    (row,) = predicting.predict([recording], models.find("whisper-base")).to_dict("records")
    shown = dict(zip(*(opened.locator(f"#answer .bar {one}").all_inner_texts() for one in ("span", "b")), strict=True))
    assert shown == {name: f"{row[PROBABILITY + name]:.0%}" for name in models.find("whisper-base").classes}
    assert ("Acted as: " + row["prediction"] if row["prediction"] else "No answer") in opened.inner_text("#answer")
    assert left(served[1]) == []
