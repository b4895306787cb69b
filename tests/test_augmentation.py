import numpy as np
import pytest
import torch
import yaml

from ser_core.errors import SerError
from ser_core.systems.augmentation import augment_waveform, mask_image, mix
from ser_core.systems.settings import Augmentation

RATE = 16_000
EVERYTHING = {"noise_snr_db": (5, 20), "gain_db": (-6, 6), "speed": (0.9, 1.1), "pitch_semitones": (-2, 2)}


def rng(seed=0):
    return np.random.default_rng(seed)


def sine(hz=440.0, seconds=3.0, amplitude=0.3, rate=RATE):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype("float32")


def frequency(x, rate=RATE):
    """Frequency of the strongest component in Hz, to about 0.05 Hz by zero padding."""
    middle = x[len(x) // 10 : -len(x) // 10]
    n = 20 * rate
    return np.abs(np.fft.rfft(middle * np.hanning(len(middle)), n)).argmax() * rate / n


def decibels(x):
    return 10 * np.log10(np.mean(np.square(x, dtype="float64")))


@pytest.mark.parametrize("snr", [-5, 0, 10, 30])
@pytest.mark.parametrize("seconds", [0.01, 3])
def test_noise_has_the_ratio_asked_for(snr, seconds):
    x = sine(seconds=seconds)
    noise = augment_waveform(x, RATE, Augmentation(noise_snr_db=(snr, snr)), rng()) - x
    assert decibels(x) - decibels(noise) == pytest.approx(snr, abs=0.1)


def test_noise_is_white_and_independent_of_the_clip():
    x = sine()
    noise = augment_waveform(x, RATE, Augmentation(noise_snr_db=(10, 10)), rng()) - x
    quarters = np.add.reduceat(np.abs(np.fft.rfft(noise)) ** 2, np.arange(0, 24_000, 6_000)[:4])
    # 6,000 bins a quarter: the power of each deviates by some 1.3 % by chance.
    np.testing.assert_allclose(quarters / quarters.mean(), 1, atol=0.06)
    assert abs(np.corrcoef(x, noise)[0, 1]) < 0.02


def test_the_ratio_is_drawn_uniformly_from_the_range():
    x = sine(seconds=0.1)
    how, state = Augmentation(noise_snr_db=(5, 15)), rng()
    ratios = [decibels(x) - decibels(augment_waveform(x, RATE, how, state) - x) for _ in range(1000)]
    assert 4.99 < min(ratios) < 5.2 and 14.8 < max(ratios) < 15.01
    assert np.mean(ratios) == pytest.approx(10, abs=0.3)


@pytest.mark.parametrize("gain", [-20, -6, 0, 6])
def test_gain_is_exact(gain):
    x = sine()
    louder = augment_waveform(x, RATE, Augmentation(gain_db=(gain, gain)), rng())
    np.testing.assert_allclose(louder, x.astype("float64") * 10 ** (gain / 20), rtol=2e-7)


def test_gain_clips_only_what_it_lifts_over_full_scale():
    x = np.array([0.1, -0.4, 0.6, -0.7], "float32")
    louder = augment_waveform(x, RATE, Augmentation(gain_db=(6, 6)), rng())
    np.testing.assert_allclose(louder, [0.1 * 10**0.3, -0.4 * 10**0.3, 1, -1], rtol=1e-6)
    over = np.array([1.5, -0.5], "float32")
    np.testing.assert_allclose(
        augment_waveform(over, RATE, Augmentation(gain_db=(-1, -1)), rng()), over * 10**-0.05, rtol=1e-6
    )


def test_nothing_but_gain_clips():
    x = sine(amplitude=1.0)
    noisy = augment_waveform(x, RATE, Augmentation(noise_snr_db=(10, 10)), rng())
    assert np.abs(noisy).max() > 1.5


@pytest.mark.parametrize("factor", [0.8, 0.93, 1.0, 1.1, 1.5])
def test_speed_changes_duration_and_frequency_by_the_factor(factor):
    x = sine()
    y = augment_waveform(x, RATE, Augmentation(speed=(factor, factor)), rng())
    assert len(x) / len(y) == pytest.approx(factor, rel=1e-3)
    assert frequency(y) / frequency(x) == pytest.approx(factor, rel=1e-3)
    assert decibels(y) == pytest.approx(decibels(x), abs=0.05)


def test_what_speed_lifts_over_half_the_rate_does_not_fold_back():
    y = augment_waveform(sine(7_000), RATE, Augmentation(speed=(1.5, 1.5)), rng())
    assert decibels(y[1000:-1000]) < decibels(sine(7_000)) - 60


@pytest.mark.parametrize("semitones", [-4, -1.37, 0.5, 2, 7])
@pytest.mark.parametrize(("hz", "rate"), [(110, 16_000), (440, 16_000), (440, 44_100)])
def test_pitch_changes_the_frequency_and_keeps_duration_and_level(semitones, hz, rate):
    x = sine(hz, rate=rate)
    y = augment_waveform(x, rate, Augmentation(pitch_semitones=(semitones, semitones)), rng())
    assert frequency(y, rate) / frequency(x, rate) == pytest.approx(2 ** (semitones / 12), rel=0.01)
    assert len(y) == len(x)
    assert decibels(y) == pytest.approx(decibels(x), abs=0.01)


def test_pitch_keeps_the_tempo():
    seconds = np.arange(3 * RATE) / RATE
    # Bursts of 0.1 s at 0.5, 1.25 and 2.5 s.
    starts = np.array([0.5, 1.25, 2.5])
    on = ((seconds[:, None] >= starts) & (seconds[:, None] < starts + 0.1)).any(1)
    y = augment_waveform((sine() * on).astype("float32"), RATE, Augmentation(pitch_semitones=(3, 3)), rng())
    for start in starts:
        window = slice(int((start - 0.2) * RATE), int((start + 0.3) * RATE))
        power = np.square(y[window], dtype="float64")
        assert (power @ seconds[window]) / power.sum() == pytest.approx(start + 0.05, abs=0.015)


def test_probability_is_of_each_effect():
    x, state = sine(seconds=0.05), rng()
    how = Augmentation(gain_db=(-6, -6), speed=(2, 2), probability=0.3)
    found = [augment_waveform(x, RATE, how, state) for _ in range(2000)]
    faster = np.array([len(y) < len(x) for y in found])
    quieter = np.array([np.abs(y).max() < 0.2 for y in found])
    # Four standard errors of a share of 2,000.
    assert faster.mean() == pytest.approx(0.3, abs=0.042)
    assert quieter.mean() == pytest.approx(0.3, abs=0.042)
    assert (faster & quieter).mean() == pytest.approx(0.09, abs=0.026)


def test_never_and_nothing_leave_the_clip_as_it_is():
    x = sine()
    for how in (Augmentation(), Augmentation(**EVERYTHING, probability=0)):
        y = augment_waveform(x, RATE, how, rng())
        np.testing.assert_array_equal(y, x)
        assert not np.shares_memory(x, y)


def test_inputs_are_not_written_to():
    x = sine(seconds=0.5)
    before = x.copy()
    augment_waveform(x, RATE, Augmentation(**EVERYTHING), rng())
    np.testing.assert_array_equal(x, before)
    image, batch, lengths = torch.ones(50, 20), torch.rand(4, 10, 3), torch.tensor([10, 5, 3, 1])
    copies = batch.clone(), lengths.clone()
    mask_image(image, MASKS, rng())
    mix(batch, lengths, Augmentation(mixup=1.0), rng())
    assert image.eq(1).all() and torch.equal(batch, copies[0]) and torch.equal(lengths, copies[1])


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("n", [1, 2, 7, 300, 513])
@pytest.mark.parametrize("level", [0.0, 1e-30, 0.5])
def test_short_and_silent_clips_stay_finite_and_are_never_empty(name, n, level):
    for value in EVERYTHING[name] + ((2,) if name == "speed" else ()):
        y = augment_waveform(np.full(n, level, "float32"), RATE, Augmentation(**{name: (value, value)}), rng())
        assert y.dtype == np.float32 and np.isfinite(y).all() and len(y) >= 1
        if name != "speed":
            assert len(y) == n
        if level == 0:
            assert not y.any()


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros((2, 100)), np.array([0.0, np.nan]), np.array([np.inf])])
def test_what_is_no_clip_is_refused(samples):
    with pytest.raises(SerError, match=r"expected \(n_samples,\), at least one and all finite"):
        augment_waveform(samples, RATE, Augmentation(), rng())


def test_samples_of_other_types_become_float32():
    for kind in ("float64", "float32", "float16"):
        assert augment_waveform(sine().astype(kind), RATE, Augmentation(**EVERYTHING), rng()).dtype == np.float32


MASKS = Augmentation(time_masks=1, time_mask_frames=12, frequency_masks=1, frequency_mask_bins=5)


def widths(masked, axis):
    """Number of whole rows or columns that are zero, and whether they stand together."""
    zero = (masked == 0).all(1 - axis).numpy()
    where = np.flatnonzero(zero)
    return len(where), len(where) == 0 or where[-1] - where[0] + 1 == len(where)


def test_masks_are_bands_of_zeros_as_wide_as_asked():
    state, times, bins = rng(), [], []
    for _ in range(1000):
        masked = mask_image(torch.ones(100, 64), MASKS, state)
        (t, together_t), (f, together_f) = widths(masked, 0), widths(masked, 1)
        assert together_t and together_f
        assert int((masked == 0).sum()) == t * 64 + f * 100 - t * f
        times.append(t)
        bins.append(f)
    # Every width from 0 to the widest comes up, each as often as another: 77 and 167 times but for chance.
    assert set(times) == set(range(13)) and set(bins) == set(range(6))
    assert max(np.bincount(times)) < 120 and max(np.bincount(bins)) < 220


def test_masks_reach_every_place():
    state = rng()
    hidden = sum((mask_image(torch.ones(100, 64), MASKS, state) == 0).float() for _ in range(1000))
    assert hidden.min() > 0


@pytest.mark.parametrize("n_frames", [1, 4, 5, 23, 100])
def test_a_time_mask_covers_at_most_a_fifth_of_the_clip(n_frames):
    how, state = Augmentation(time_masks=1, time_mask_frames=1000), rng()
    found = {widths(mask_image(torch.ones(n_frames, 8), how, state), 0)[0] for _ in range(500)}
    assert found == set(range(n_frames // 5 + 1))


def test_several_masks_may_be_asked_for():
    how, state = Augmentation(time_masks=3, time_mask_frames=5), rng()
    most = max(widths(mask_image(torch.ones(200, 8), how, state), 0)[0] for _ in range(1000))
    assert 10 < most <= 15


def test_what_is_not_masked_stays_as_it_is():
    image = torch.randn(100, 64, generator=torch.Generator().manual_seed(0))
    masked = mask_image(image, MASKS, rng(3))
    assert masked.dtype == image.dtype and masked.shape == image.shape
    assert torch.equal(masked[masked != 0], image[masked != 0]) and (masked == 0).any()
    assert torch.equal(mask_image(image, Augmentation(), rng()), image)


def test_images_that_cannot_be_masked_are_refused():
    with pytest.raises(SerError, match=r"\(n_frames, n_bins\), got shape \(48000,\)"):
        mask_image(torch.zeros(48_000), MASKS, rng())
    with pytest.raises(SerError, match="frequency_mask_bins=5: the image has 5 bins"):
        mask_image(torch.zeros(100, 5), MASKS, rng())


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 4), (6, 9, 2, 3)])
def test_mixup_by_hand(shape):
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([9, 7, 5, 3, 2, 1])
    for i, n in enumerate(lengths):
        inputs[i, n:] = 0
    mixed, longer, partner, w = mix(inputs, lengths, Augmentation(mixup=0.4), rng(1))
    assert sorted(partner.tolist()) == list(range(6)) and partner.tolist() != list(range(6))
    assert mixed.dtype == inputs.dtype and w.shape == (6,) and (w >= 0.5).all() and (w <= 1).all()
    x, p = inputs.numpy().astype("float64"), partner.tolist()
    for i in range(6):
        expected = float(w[i]) * x[i] + (1 - float(w[i])) * x[p[i]]
        np.testing.assert_allclose(mixed[i].numpy(), expected, atol=1e-6)
        assert longer[i] == (max(lengths[i], lengths[p[i]]) if w[i] < 1 else lengths[i])
        # What the length leaves out is padding.
        assert not mixed[i, longer[i] :].any()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_weights_are_the_larger_side_of_a_beta(alpha):
    n = 20_000
    w = mix(torch.zeros(n, 1), torch.ones(n, dtype=torch.long), Augmentation(mixup=alpha), rng())[3].double().numpy()
    # w or 1 - w, each half of the time, is Beta(alpha, alpha), of variance 1 / (4 (2 alpha + 1)).
    assert np.mean((w - 0.5) ** 2) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)
    assert len(np.unique(w)) > n / 3


def test_a_weight_of_one_keeps_the_length():
    inputs, lengths = torch.ones(50, 8), torch.arange(50) % 8 + 1
    _, longer, _, w = mix(inputs, lengths, Augmentation(mixup=1e-6), rng())
    assert (w == 1).all() and torch.equal(longer, lengths)


def test_mixup_off_is_the_batch_itself():
    inputs, lengths = torch.rand(3, 4), torch.tensor([4, 2, 1])
    mixed, longer, partner, w = mix(inputs, lengths, Augmentation(), rng())
    assert torch.equal(mixed, inputs) and torch.equal(longer, lengths)
    assert partner.tolist() == [0, 1, 2] and w.tolist() == [1, 1, 1]


def test_a_batch_of_one_is_mixed_with_itself():
    mixed, longer, partner, _ = mix(torch.ones(1, 4), torch.tensor([4]), Augmentation(mixup=1.0), rng())
    assert torch.allclose(mixed, torch.ones(1, 4)) and longer.tolist() == [4] and partner.tolist() == [0]


def outcome(seed):
    """Bytes of everything the module makes from one seed."""
    state = rng(seed)
    x = augment_waveform(sine(seconds=1), RATE, Augmentation(**EVERYTHING), state)
    image = mask_image(torch.ones(100, 64), MASKS, state)
    mixed = mix(torch.arange(40.0).view(4, 10), torch.tensor([10, 8, 4, 2]), Augmentation(mixup=0.4), state)
    return b"".join([x.tobytes(), image.numpy().tobytes(), *(t.numpy().tobytes() for t in mixed)])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    assert outcome(0) == outcome(0)
    assert outcome(0) != outcome(1)


def test_global_random_states_are_neither_read_nor_changed():
    np.random.seed(1)
    torch.manual_seed(1)
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()
    first, position = outcome(0), np.random.get_state()[2]
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)
    assert position == 624 and torch.equal(torch.get_rng_state(), torch_before)
    np.random.seed(2)
    torch.manual_seed(2)
    assert outcome(0) == first


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"noise_snr_db": (10, 5)},
            r"'noise_snr_db' must be two numbers, low and high, not \(10, 5\)",
        ),
        ({"noise_snr_db": (-30, 5)}, "from -20 to 100"),
        ({"gain_db": 6}, "'gain_db' must be two numbers, low and high, from -60 to 60, or null, not 6"),
        ({"gain_db": (-6, 0, 6)}, "must be two numbers"),
        ({"gain_db": [-6, 6]}, "must be two numbers"),
        ({"gain_db": (float("nan"), 6)}, "must be two numbers"),
        ({"gain_db": ("-6", "6")}, "must be two numbers"),
        ({"speed": (0, 1)}, r"'speed' must be two numbers, low and high, from 0.5 to 2, or null, not \(0, 1\)"),
        ({"speed": (True, True)}, "must be two numbers"),
        ({"pitch_semitones": (-13, 0)}, "from -12 to 12"),
        ({"time_masks": -1, "time_mask_frames": 5}, "'time_masks' must be a whole number from 0, not -1"),
        ({"time_masks": 1.5, "time_mask_frames": 5}, "'time_masks' must be a whole number from 0, not 1.5"),
        (
            {"frequency_masks": True, "frequency_mask_bins": 5},
            "'frequency_masks' must be a whole number",
        ),
        ({"time_masks": 2}, "time_masks=2 with time_mask_frames=0 masks nothing; give both or neither"),
        ({"frequency_mask_bins": 8}, "frequency_masks=0 with frequency_mask_bins=8 masks nothing"),
        ({"mixup": -0.1}, "'mixup' must be a number from 0, not -0.1"),
        ({"mixup": float("inf")}, "'mixup' must be a number from 0, not inf"),
        ({"mixup": "0.4"}, "'mixup' must be a number from 0, not '0.4'"),
        ({"probability": 1.1}, "'probability' must be a number from 0 to 1, not 1.1"),
        ({"probability": None}, "'probability' must be a number from 0 to 1, not None"),
    ],
)
def test_values_out_of_range_are_refused_on_one_line(fields, message):
    with pytest.raises(SerError, match=message) as error:
        Augmentation(**fields)
    assert "\n" not in str(error.value)


def test_an_augmentation_is_read_from_yaml():
    text = "{noise_snr_db: [5, 20], speed: [0.9, 1.1], gain_db: null, time_masks: 2, time_mask_frames: 40, mixup: 0.2}"
    how = Augmentation.from_mapping(yaml.safe_load(text))
    assert how == Augmentation((5, 20), None, (0.9, 1.1), None, 2, 40, 0, 0, 0.2, 1.0)
    assert hash(how) == hash(Augmentation.from_mapping(yaml.safe_load(text)))
    assert Augmentation.from_mapping({}) == Augmentation()


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            {"noise": [5, 20]},
            r"unknown fields \['noise'\]; expected some of \['noise_snr_db', 'gain_db', .*'probability'\]",
        ),
        ({1: 2}, r"unknown fields \[1\]"),
        (None, "None is no mapping"),
        (["speed"], "is no mapping"),
        ({"speed": [0.9]}, r"'speed' must be two numbers, low and high, from 0.5 to 2, or null, not \(0.9,\)"),
    ],
)
def test_mappings_that_describe_no_augmentation_are_refused(mapping, message):
    with pytest.raises(SerError, match=message):
        Augmentation.from_mapping(mapping)


def test_what_is_on_is_known():
    for name, span in EVERYTHING.items():
        assert Augmentation(**{name: span}).waveform and not Augmentation(**{name: span}).image
    for masks, width in (("time_masks", "time_mask_frames"), ("frequency_masks", "frequency_mask_bins")):
        how = Augmentation(**{masks: 1, width: 3})
        assert how.image and not how.waveform
    assert not Augmentation().waveform and not Augmentation(mixup=0.2).image
