"""Cell scores on maps whose kind is known: waves, fields and noise, on square and hexagonal lattices."""

import re

import numpy as np
import pytest
from checks import MODELS, problems
from hypothesis import given
from hypothesis import strategies as st

import envs
import temt
from notebooks import cells

WORLDS = {"12 x 12": envs.grid(12), "16 x 16": envs.grid(16), "hexagon": envs.hexagon(8)}
WAVES = {"band": 1, "square": 2, "hexagonal": 3}
SCORES = {"hexagonal": cells.grid_score, "square": cells.square_score, "band": cells.band_score}

worlds = st.sampled_from(["12 x 12", "hexagon"]).map(WORLDS.get)  # 16 x 16 takes three times as long
seeds = st.integers(0, 2**32 - 1)


def wave_maps(rng, kind, xy, units=6):  # -> (units, N)
    """Sums of one, two or three equal waves, evenly turned; fields 4 to 6 places apart, direction and phase drawn."""
    n = WAVES[kind]
    apart = rng.uniform(4, 6, size=(units, 1)) * (np.sqrt(3) / 2 if n == 3 else 1)
    turn = rng.uniform(0, np.pi, size=(units, 1)) + np.pi / n * np.arange(n)
    k = 2 * np.pi / apart * np.exp(1j * turn)
    moved = xy - rng.uniform(-3, 3, size=(units, 1, 2))
    return np.cos(np.einsum("unx,ukx->unk", moved, np.stack([k.real, k.imag], axis=-1))).sum(axis=-1)


def field(xy, centre, width=1.2):  # -> (N,)
    """One Gaussian field."""
    return np.exp(-((xy - centre) ** 2).sum(axis=1) / (2 * width**2))


def with_holes(rng, maps, share=0.1):
    """The maps with that share of places never visited."""
    return np.where(rng.random(maps.shape) < share, np.nan, maps)


@given(worlds, seeds)
def test_autocorrelogram_matches_a_slow_oracle(world, seed):
    """np.corrcoef of the pairs, listed by hand, at lags drawn at random: centred at each lag, on the overlap alone."""
    rng = np.random.default_rng(seed)
    maps = with_holes(rng, rng.normal(size=(2, world.n_states)) + world.xy[:, 0])
    lags, corr = cells.autocorrelogram(maps, world.xy)
    assert len(np.unique(lags.round(3), axis=0)) == len(lags)
    for i in rng.choice(len(lags), 4):
        for rates, r in zip(maps, corr[:, i]):
            difference = world.xy - world.xy[:, None] - lags[i]
            here, there = np.nonzero((abs(difference) < 1e-5).all(axis=-1))
            both = np.isfinite(rates[here] + rates[there])
            expected = np.corrcoef(rates[here][both], rates[there][both])[0, 1] if both.sum() >= 20 else np.nan
            np.testing.assert_allclose(r, expected, atol=1e-12)


@given(worlds, seeds, st.sampled_from(sorted(WAVES)))
def test_autocorrelogram_is_1_at_lag_0_even_and_bounded(world, seed, kind):
    lags, corr = cells.autocorrelogram(wave_maps(np.random.default_rng(seed), kind, world.xy), world.xy)
    middle = len(lags) // 2
    assert (lags[middle] == 0).all()
    np.testing.assert_allclose(corr[:, middle], 1)
    np.testing.assert_array_equal(lags[::-1], -lags)
    np.testing.assert_array_equal(corr[:, ::-1], corr)
    assert np.nanmax(abs(corr)) < 1 + 1e-9


@pytest.mark.parametrize("holes", [0, 0.1])
@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_scores_of_ideal_maps(world, holes):
    """Whatever their direction, phase and scale, ideal maps score high on their own score and not on the others."""
    rng = np.random.default_rng(0)
    expected = {  # for each kind, the interval of its grid, square and band score
        "hexagonal": [(1.1, 1.5), (-0.8, -0.5), (0.28, 0.46)],
        "square": [(-1.3, -1.0), (0.7, 1.1), (0.44, 0.58)],
        "band": [(-0.2, 0.2), (-0.1, 0.12), (0.94, 1)],
    }
    for kind, intervals in expected.items():
        maps = with_holes(rng, wave_maps(rng, kind, world.xy, 30), holes)
        for score, (low, high) in zip(SCORES.values(), intervals):
            values = score(maps, world.xy)
            assert low <= values.min() <= values.max() <= high, (kind, score.__name__, values.min(), values.max())


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_rectified_and_noisy_maps_keep_their_scores(world):
    """Rates are not below 0, nor without noise: 0.3 of the map's standard deviation."""
    rng = np.random.default_rng(2)
    for kind, least in (("hexagonal", 1), ("square", 0.6), ("band", 0.65)):
        maps = np.maximum(wave_maps(rng, kind, world.xy, 30), 0)
        maps += 0.3 * maps.std() * rng.normal(size=maps.shape)
        assert SCORES[kind](maps, world.xy).min() > least


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_noise_scores_less_than_any_ideal_map(world):
    """The null lies about 0, and its 95th percentile below the worst of the ideal maps, above its 5th."""
    rng = np.random.default_rng(1)
    for kind, score in SCORES.items():
        ideal = wave_maps(rng, kind, world.xy, 30)
        null = cells.null_scores(rng, score, ideal[:3], world.xy, shuffles=100)
        assert null.shape == (100, 3)
        assert np.quantile(null, 0.95) < {"hexagonal": 0.5, "square": 0.6, "band": 0.2}[kind]
        assert np.quantile(null, 0.95) < score(ideal, world.xy).min() - 0.15
        if kind == "band":
            assert 0 < np.median(null) < 0.12  # a maximum over waves cannot be centred on 0
        else:
            assert -0.2 < np.median(null) < 0.1


@given(worlds, seeds, st.floats(0.01, 100), st.floats(-100, 100))
def test_scale_and_offset_change_no_score(world, seed, scale, offset):
    rng = np.random.default_rng(seed)
    maps = np.concatenate([wave_maps(rng, kind, world.xy, 1) for kind in WAVES])
    maps = with_holes(rng, maps + 0.3 * rng.normal(size=maps.shape))
    for score in SCORES.values():
        before, after = score(np.concatenate([maps, scale * maps + offset]), world.xy).reshape(2, -1)
        np.testing.assert_allclose(before, after, atol=1e-6)
    np.testing.assert_allclose(cells.place_score(scale * maps, world), cells.place_score(maps, world))


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize("kind", WAVES)
def test_phase_hardly_changes_a_score(world, kind):
    """The same waves, moved by part of a place and by a few places."""
    here, there = (wave_maps(np.random.default_rng(3), kind, world.xy - shift, 15) for shift in (0, (0.6, -2.3)))
    assert abs(here - there).max() > 0.01
    for score in SCORES.values():
        before, after = score(np.concatenate([here, there]), world.xy).reshape(2, -1)
        np.testing.assert_allclose(before, after, atol=0.3)


def test_ring_correlation_weighs_by_area():
    """As np.cov has it, the weight of a point being the radius of its circle."""
    world = envs.grid(12)
    maps = wave_maps(np.random.default_rng(0), "hexagonal", world.xy, 1)
    radii, circles = cells._circles(maps, world.xy)
    ring = cells._ring(radii, circles[0])
    here, weight = circles[0][ring], np.repeat(radii[ring], circles.shape[2])
    r = {}
    for angle in (30, 60, 90, 120, 150):
        (vx, cxy), (_, vy) = np.cov(here.ravel(), np.roll(here, angle // 5, axis=1).ravel(), aweights=weight)
        r[angle] = cxy / np.sqrt(vx * vy)
    expected = min(r[60], r[120]) - max(r[30], r[90], r[150])
    np.testing.assert_allclose(cells.grid_score(maps, world.xy), expected)


@given(worlds, seeds)
def test_band_score_is_the_best_least_squares_fit(world, seed):
    """On a wave in noise, with holes, and a short list of waves to choose from: as np.linalg.lstsq has it."""
    rng = np.random.default_rng(seed)
    k = rng.permutation(cells._wave_vectors(world.xy))[:20]
    rates = np.cos(2 * np.pi * world.xy @ rng.choice(k) + rng.uniform(0, 6)) + rng.normal(size=world.n_states)
    rates = with_holes(rng, rates)
    seen = np.isfinite(rates)
    y = rates[seen] - rates[seen].mean()
    best = 0
    for phase in 2 * np.pi * k @ world.xy[seen].T:
        design = np.c_[np.ones(len(y)), np.cos(phase), np.sin(phase)]
        best = max(best, 1 - ((y - design @ np.linalg.lstsq(design, y)[0]) ** 2).sum() / (y**2).sum())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "_wave_vectors", lambda xy: k)
        np.testing.assert_allclose(cells.band_score(rates[None], world.xy), best, atol=1e-4)


@given(worlds, seeds)
def test_waves_of_any_period_from_two_places_up_are_bands(world, seed):
    rng = np.random.default_rng(seed)
    frequency, turn = rng.uniform(0.15, 0.5), rng.uniform(0, np.pi)
    phase = 2 * np.pi * frequency * world.xy @ [np.cos(turn), np.sin(turn)] + rng.uniform(0.5, 1)
    assert cells.band_score(np.cos(phase)[None], world.xy)[0] > 0.85


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_the_spectrum_peaks_at_the_waves_of_a_map(world):
    k, _ = cells.spectrum(np.zeros((1, world.n_states)), world.xy)
    drawn = np.arange(0, len(k), 41)
    share = cells.spectrum(np.cos(2 * np.pi * k[drawn] @ world.xy.T + 0.3), world.xy)[1]
    np.testing.assert_allclose(share[np.arange(len(drawn)), drawn], 1, atol=1e-4)
    np.testing.assert_allclose(share.max(axis=1), 1, atol=1e-4)
    assert (cells.spectrum(np.ones((1, world.n_states)), world.xy)[1] == 0).all()


def test_silent_corners_do_not_correlate():
    """Far from its one field a rectified unit is all but silent; what is left there must not look like other fields."""
    rng, world = np.random.default_rng(0), envs.hexagon(9)
    tails = np.array([field(world.xy, c, width) for c, width in (((3, 1), 1.5), ((-4, 2), 2), ((0, -4), 1.2))])
    maps = tails + 1e-3 * sum(field(world.xy, c) for c in rng.uniform(-8, 8, size=(40, 2)))
    np.testing.assert_array_equal(cells.grid_score(maps, world.xy), 0)
    lags, corr = cells.autocorrelogram(maps, world.xy)
    assert np.isnan(corr[:, np.linalg.norm(lags, axis=1) > 13]).all()


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_one_field_is_a_place_cell_and_no_grid_cell(world):
    maps = np.array([field(world.xy, centre) for centre in world.xy[::5]])
    np.testing.assert_allclose(cells.place_score(maps, world), 1)
    assert abs(cells.grid_score(maps, world.xy)).max() < 0.1
    assert abs(cells.square_score(maps, world.xy)).max() < 0.1
    assert cells.band_score(maps, world.xy).max() < 0.6


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_one_field_with_holes_is_still_a_place_cell(world):
    """A hole may part a field; most of the firing stays together, and nothing looks periodic."""
    maps = with_holes(np.random.default_rng(0), np.array([field(world.xy, centre) for centre in world.xy[::5]]))
    scores = cells.place_score(maps, world)
    assert np.median(scores) > 0.99
    assert np.quantile(scores, 0.05) > 0.7
    assert max(abs(score(maps, world.xy)).max() for score in (cells.grid_score, cells.square_score)) < 0.1


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_fields_strewn_at_random_are_no_lattice(world):
    """Their grid scores lie about 0; 95 % of them, unlike all ideal maps, are below 0.8."""
    rng = np.random.default_rng(0)
    for k in (2, 3, 5, 8):
        maps = np.array([sum(field(world.xy, c) for c in rng.permutation(world.xy)[:k]) for _ in range(100)])
        for score in (cells.grid_score, cells.square_score):
            assert abs(np.median(scores := score(maps, world.xy))) < 0.2
            assert np.quantile(scores, 0.95) < (0.8 if score is cells.grid_score else 1)
        assert np.quantile(cells.band_score(maps, world.xy), 0.95) < 0.7


@pytest.mark.parametrize("holes", [0, 0.1])
@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_lattices_of_fields_are_no_place_cells(world, holes):
    """A unit of many fields has little of its firing in one; the stripes of a band are each one field."""
    rng = np.random.default_rng(1)
    for kind, most in (("square", 0.35), ("hexagonal", 0.35), ("band", 0.7)):
        maps = with_holes(rng, np.maximum(wave_maps(rng, kind, world.xy, 30), 0), holes)
        assert cells.place_score(maps, world).max() < most


def test_each_score_names_its_source():
    """By a tag that the module's docstring spells out."""
    for score in (cells.autocorrelogram, *SCORES.values(), cells.place_score, cells.remapping):
        tags = re.findall(r"\[([A-Z]+\d\d)", score.__doc__)
        assert tags, score.__name__
        assert all(f"[{tag}] " in cells.__doc__ for tag in tags)


def test_k_equal_fields_on_a_hexagonal_lattice_have_a_kth():
    world = WORLDS["hexagon"]
    for k in (1, 2, 3):
        rates = sum(field(world.xy, centre, 0.9) for centre in [(0, 0), (5, 0), (-5, 0)][:k])
        np.testing.assert_allclose(cells.place_score(rates[None], world), 1 / k, rtol=1e-3)


def test_k_equal_fields_have_a_kth_and_unequal_ones_the_share_of_the_largest():
    world = envs.grid(16)
    centres = [(2, 2), (2, 12), (12, 2), (12, 12)]
    for k in (1, 2, 3, 4):
        rates = sum(field(world.xy, centre) for centre in centres[:k])
        np.testing.assert_allclose(cells.place_score(rates[None], world), 1 / k, rtol=1e-3)
    rates = np.zeros(256)
    rates[[0, 1, 16]], rates[[17 * 8, 255]] = 1, (1.5, 0.9)  # 0.9 and 1.5 alone; 1 + 1 + 1 together
    np.testing.assert_allclose(cells.place_score(rates[None], world), 3 / 5.4)
    rates[[100, 104]] = 0.29, 0.31  # below a fifth of the peak: in no field; above it: in one
    np.testing.assert_allclose(cells.place_score(rates[None], world), 3 / 5.71)


def test_fields_are_joined_by_moves_alone():
    """Corners do not touch on a grid, edges do on a torus, a place never visited parts a field, a line is one field."""
    rates = np.zeros((1, 16))
    rates[0, [0, 5]] = 1
    assert cells.place_score(rates, envs.grid(4)) == 0.5
    rates = np.zeros((1, 16))
    rates[0, [0, 12]] = 1
    assert cells.place_score(rates, envs.grid(4)) == 0.5
    assert cells.place_score(rates, envs.grid(4, torus=True)) == 1
    one_way = envs.laps(12, 2)
    rates = np.r_[np.ones(20), np.zeros(4)][None]
    assert cells.place_score(rates, one_way) == 1
    rates[0, 10] = np.nan
    np.testing.assert_allclose(cells.place_score(rates, one_way), 10 / 19)
    two_ways_in = envs.World("y", ("on",), [[2], [2], [3], [3]], np.eye(4)[:, :2], ())
    assert cells.place_score([[1, 1, 1, 0]], two_ways_in) == 1


def test_noise_and_several_fields_are_no_place_cells():
    rng, world = np.random.default_rng(0), envs.grid(12)
    null = cells.null_scores(rng, cells.place_score, field(world.xy, (5, 5))[None], world)
    assert np.quantile(null, 0.95) < 0.7
    assert np.quantile(cells.place_score(rng.normal(size=(100, 144)), world), 0.95) < 0.5


def remapped(rng, cells_kept, N=100, U=6, V=20):
    """Grid cells that differ in mean rate, and place cells whose peaks keep the grid rates of world 1, or do not."""
    grids = rng.normal(size=(U, N)) + 0.5 * rng.normal(size=(U, 1))
    move, peaks = rng.permutation(N), rng.choice(N, V, replace=False)
    there = np.empty_like(grids)
    there[:, move] = grids + 0.1 * rng.normal(size=grids.shape)
    peaks_there = move[peaks] if cells_kept else rng.choice(N, V, replace=False)
    places = [0.5 * rng.random((V, N)) + np.eye(N)[p] for p in (peaks, peaks_there)]
    places[0][:, rng.integers(N)] = np.nan  # somewhere never visited
    return (grids, there), places


@given(seeds)
def test_remapping_tells_kept_relations_from_lost_ones(seed):
    rng = np.random.default_rng(seed)
    r, null = cells.remapping(rng, *remapped(rng, True), shuffles=100)
    assert null.shape == (100,)
    assert r > 0.85
    assert r > null.max() + 0.1


def test_lost_relations_lie_within_the_null():
    """The share of worlds above the null's 95th percentile is 5 %, though grid cells differ in mean rate."""
    rng = np.random.default_rng(0)
    drawn = [cells.remapping(rng, *remapped(rng, False), shuffles=100) for _ in range(100)]
    assert np.mean([r > np.quantile(null, 0.95) for r, null in drawn]) < 0.13  # 3.5 standard errors
    assert np.mean([r for r, null in drawn]) == pytest.approx(np.mean([null for r, null in drawn]), abs=0.05)


def test_remapping_matches_a_slow_oracle():
    rng = np.random.default_rng(3)
    grids, places = [rng.normal(size=(4, n)) for n in (9, 11)], [rng.normal(size=(5, n)) for n in (9, 11)]
    at = [[g[u, np.argmax(p[v])] for u in range(4) for v in range(5)] for g, p in zip(grids, places)]
    np.testing.assert_allclose(cells.remapping(rng, grids, places, 1)[0], np.corrcoef(*at)[0, 1])


@given(seeds, st.floats(0.01, 100), st.floats(-100, 100))
def test_scale_and_offset_of_rates_do_not_change_the_remapping_statistic(seed, scale, offset):
    grids, places = remapped(np.random.default_rng(seed), True)
    told = cells.remapping(np.random.default_rng(1), grids, places, 10)
    other = [[scale * rates + offset for rates in pair] for pair in (grids, places)]
    again = cells.remapping(np.random.default_rng(1), *other, 10)
    np.testing.assert_allclose(again[0], told[0], atol=1e-8)
    np.testing.assert_allclose(again[1], told[1], atol=1e-8)


@given(worlds, seeds)
def test_shuffling_keeps_values_and_holes(world, seed):
    rng = np.random.default_rng(seed)
    maps = with_holes(rng, rng.normal(size=(2, world.n_states)))
    seen = []
    cells.null_scores(rng, lambda copies, xy: seen.append(copies) or np.zeros(len(copies)), maps, world.xy, 3)
    for rates, copies in zip(maps, seen):
        assert (np.isnan(copies) == np.isnan(rates)).all()
        np.testing.assert_array_equal(np.sort(copies), np.tile(np.sort(rates), (3, 1)))
        assert len({tuple(np.nan_to_num(row)) for row in [rates, *copies]}) == 4


@pytest.mark.parametrize("value", [0, 0.1, -3, 1e9])
@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_constant_maps_score_0_and_unvisited_ones_nan(world, value):
    rng = np.random.default_rng(0)
    maps = np.full((3, world.n_states), float(value))
    maps[1], maps[2, 19:] = np.nan, np.nan
    maps[2, :19] = rng.normal(size=19)
    for score in SCORES.values():
        np.testing.assert_array_equal(score(maps, world.xy), [0, np.nan, np.nan])
    np.testing.assert_array_equal(cells.place_score(maps[:2], world), [0, np.nan])
    assert cells.place_score(-np.eye(world.n_states)[:1], world) == 0  # it never fires


def test_nothing_passed_in_is_changed_and_seeds_repeat():
    rng, world = np.random.default_rng(0), envs.grid(12)
    maps = with_holes(rng, wave_maps(rng, "hexagonal", world.xy))
    before = maps.copy()
    nulls = [cells.null_scores(np.random.default_rng(s), cells.grid_score, maps, world.xy, 5) for s in (1, 1, 2)]
    for score in SCORES.values():
        score(maps, world.xy)
    cells.place_score(maps, world)
    cells.remapping(rng, (maps, maps), (maps, maps), 5)
    np.testing.assert_array_equal(maps, before)
    np.testing.assert_array_equal(nulls[0], nulls[1])
    assert (nulls[0] != nulls[2]).all()


nine, one, rng0 = envs.grid(3), np.ones((1, 9)), np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cells.autocorrelogram(np.ones(9), nine.xy), r"maps must be \(U, N\) for N = 9 places, got \(9,\)"),
        (lambda: cells.grid_score(np.ones((2, 8)), nine.xy), r"maps must be \(U, N\) for N = 9 places, got \(2, 8\)"),
        (lambda: cells.square_score(one, np.ones((9, 3))), r"xy must be finite and of shape \(N, 2\)"),
        (lambda: cells.band_score(one, np.ones(9)), r"xy must be finite and of shape \(N, 2\)"),
        (lambda: cells.band_score(one, np.full((9, 2), np.nan)), "xy must be finite"),
        (lambda: cells.place_score(np.ones((2, 8)), nine), r"maps must be \(U, N\) for N = 9 places"),
        (lambda: cells.null_scores(rng0, cells.band_score, np.ones((2, 8)), nine.xy), "maps must be"),
        (lambda: cells.remapping(rng0, (one, one[0]), (one, one)), "grids must be"),
        (lambda: cells.remapping(rng0, (one, one), (one, np.ones((2, 9)))), "places must be"),
        (lambda: cells.remapping(rng0, (one, one), (one, np.ones((1, 8)))), "places must have the grids' N"),
        (lambda: cells.remapping(rng0, (one, one), (one, one * np.nan)), "no map that is NaN alone"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("model", MODELS)
def test_several_starts_give_one_map_of_displacement(model, activation):
    """On a torus the frame moves with the start, exactly: the position code of a walk knows its moves alone."""
    world, size = envs.grid(6, torus=True), 6
    params = model.init_params(np.random.default_rng(0), 4, 5, G=8, activation=activation, dtype=np.float64)
    maps = []
    for start in (0, 14, 27):
        walk = envs.walk(np.random.default_rng(1), world, 20, 40, 5, start=start)
        g = model.path_integrate(params, walk.actions)[0]
        frame = envs.rate_maps(g, walk.states, 36).reshape(-1, size, size)
        maps.append(np.roll(frame, (-(start // size), -(start % size)), axis=(1, 2)))
    np.testing.assert_allclose(maps[1], maps[0], rtol=1e-12)
    np.testing.assert_allclose(maps[2], maps[0], rtol=1e-12)


def test_several_starts_agree_after_learning():
    """Where edges block the way other walks are taken, but the code of a displacement stays."""
    rng, world = np.random.default_rng(0), envs.grid(6)
    params, _ = temt.train(rng, world, temt.init_params(rng, 4, 45, G=32), 200, steps=32, quiet=True)
    maps = []
    for x, y in ((2, 2), (3, 2), (2, 3)):
        walk = envs.walk(rng, world, 200, 32, 45, start=y * 6 + x)
        frame = envs.rate_maps(temt.path_integrate(params, walk.actions)[0], walk.states, 36).reshape(-1, 6, 6)
        maps.append(frame[:, y - 2 : y + 3, x - 2 : x + 3].ravel())
    assert np.corrcoef(maps).min() > 0.95


@pytest.mark.parametrize("model", MODELS)
def test_grow_is_train_with_decay_and_with_parameters_held(model):
    world, steps = [envs.ring(5), envs.ring(6)], 20
    start = model.init_params(np.random.default_rng(0), 2, 4, G=6, activation="relu")
    trained, _ = model.train(np.random.default_rng(1), world, start, 12, steps=steps, growth=0.5, quiet=True)
    options = {"updates": 12, "steps": steps, "growth": 0.5, "quiet": True}
    grown = cells.grow(np.random.default_rng(1), model, start, world, **options)
    for name in start:
        np.testing.assert_array_equal(grown[name], trained[name])
    held = cells.grow(np.random.default_rng(1), model, start, world, fixed=("D", "W"), decay=5.0, **options)
    np.testing.assert_array_equal(held["D"], start["D"])
    rates = 3e-3 * (1 + np.cos(np.pi * np.arange(12) / 12)) / 2
    np.testing.assert_allclose(held["W"], start["W"] * np.prod(1 - 5 * rates), rtol=1e-5)


@pytest.mark.parametrize("model", MODELS)
@given(st.data())
def test_norm_makes_L2_on_g_constant_and_the_scale_of_W_free(model, data):
    """rms(g) = 1 whatever z is, 0 where all of z is cut off; the loss is flat along W_a: its size moves nothing."""
    params, walk, _ = problem = data.draw(problems(model))
    g = model.path_integrate(params, walk.actions)[0]
    np.testing.assert_allclose((g**2).mean(axis=-1), (g != 0).any(axis=-1), rtol=1e-12)
    _, grads, _ = model.gradients(params, *problem.data)
    along = np.einsum("agh,agh->a", params["W"], grads["W"])
    size = np.sqrt(sum(np.sum(d**2) for d in grads.values()))  # of the whole: W's part may be 0
    assert (abs(along) <= 1e-10 * size * np.linalg.norm(params["W"], axis=(1, 2))).all()


def test_population_scores_each_map_and_its_shuffles():
    rng, world = np.random.default_rng(0), envs.hexagon(7)
    told = cells.population(rng, wave_maps(rng, "hexagonal", world.xy), world.xy, shuffles=20)
    assert told.keys() == {"grid", "square", "band"}
    for scores, null in told.values():
        assert (scores.shape, null.shape) == ((6,), (20, 6))
    scores, null = told["grid"]
    assert (scores > np.quantile(null, 0.95, axis=0)).all()
