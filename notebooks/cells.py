"""Cell scores: how much like a grid cell, a square or band cell, or a place cell each rate map is. And cells to score.

Rate maps are (U, N), as envs.rate_maps gives them: NaN, or anything not finite, is a place never visited. xy (N, 2)
says where the places are, on a square or a hexagonal lattice. A score is one number a unit: 0 for a constant map, NaN
for a map with too few visited places (fewer than LEAST; for place_score, none). Nothing passed in is changed.
[W20] Whittington et al., Cell 2020; [W22] Whittington et al., ICLR 2022; [S06] Sargolini et al., Science 2006;
[K12] Krupic et al., Science 2012; [B18] Banino et al., Nature 2018.

Glossary: U, V units, N places, L lags, R circles, D directions, F wave vectors.
"""

import numpy as np
from tqdm import tqdm

import envs

LEAST = 20  # pairs of places, or places, below which nothing is correlated
QUIET = 0.01  # share of a map's variance below which a part of it does not vary
DEGREES = 5  # between the directions in which an autocorrelogram is sampled


def autocorrelogram(maps, xy):  # (U, N), (N, 2) -> (L, 2), (U, L)
    """Lags, and Pearson's correlation of each map with itself moved by each lag, -1 to 1 [S06].

    The lags are all differences of two places. Mean and spread are those of the overlap at that lag, in which both
    places of a pair were visited. 1 at lag 0; NaN below LEAST pairs, or where either side of the overlap varies by less
    than QUIET of the map's variance: the silent corners of a single field would correlate by their tails.
    Raises ValueError where maps and xy do not fit.
    """
    maps, xy = _check(maps, xy)
    point = xy @ [1, 1j]
    lags, which, counts = np.unique((point - point[:, None]).round(6), return_inverse=True, return_counts=True)
    pairs = np.split(np.argsort(which.ravel(), kind="stable"), np.cumsum(counts)[:-1])
    corr = np.full((len(maps), len(lags)), np.nan)
    quiet = np.array([QUIET * np.var(rates[np.isfinite(rates)]) if np.isfinite(rates).any() else 0 for rates in maps])
    for i in range(len(lags) // 2 + 1):  # sorted, so that the i-th lag from the end is minus the i-th
        here, there = (maps[:, places] for places in np.divmod(pairs[i], len(xy)))
        enough = np.isfinite(here + there).sum(axis=1) >= LEAST
        corr[enough, i] = corr[enough, -1 - i] = _pearson(here[enough], there[enough], least=quiet[enough])
    return np.c_[lags.real, lags.imag], corr


def grid_score(maps, xy):  # (U, N), (N, 2) -> (U,)
    """Hexagonal symmetry: min(r60, r120) - max(r30, r90, r150), -2 to 2 [S06]; ideal: about 1.3.

    r = correlation of a ring of the autocorrelogram with itself turned by so many degrees, each point weighing as the
    area it stands for. The ring reaches from the edge of the central peak to past the six nearest peaks (_ring);
    0 where there is none, as for a single field. Bands have about 0, square maps -1.2; 95 % of noise is below 0.35.
    Raises ValueError where maps and xy do not fit.
    """
    return _symmetry(maps, xy, (60, 120), (30, 90, 150))


def square_score(maps, xy):  # (U, N), (N, 2) -> (U,)
    """Square symmetry: r90 - max(r45, r135), -2 to 2, in the ring of grid_score; ideal maps have about 0.9.

    [B18]'s score for 90 degrees, but against the greater of the other two, not their mean.
    Bands have about 0, hexagonal maps -0.6; 95 % of noise is below 0.55. Raises ValueError as grid_score does.
    """
    return _symmetry(maps, xy, (90,), (45, 135))


def spectrum(maps, xy):  # (U, N), (N, 2) -> (F, 2), (U, F)
    """Wave vectors k in cycles per unit of xy, and the share of each map's variance in each plane wave, 0 to 1.

    R^2 of c + a cos(2 pi k.xy) + b sin(2 pi k.xy), least squares over visited places, for waves of at least one cycle
    across the world and at most half a cycle between neighbours; one of k and -k. 0 for a constant map.
    Raises ValueError where maps and xy do not fit.
    """
    maps, xy = _check(maps, xy)
    k = _wave_vectors(xy)
    phase = 2 * np.pi * xy @ k.T
    seen, places = np.isfinite(maps), np.isfinite(maps).sum(axis=1, keepdims=True).clip(1)
    y = np.where(seen, maps, 0)
    y = np.where(seen, y - y.sum(axis=1, keepdims=True) / places, 0)
    cos, sin = np.cos(phase), np.sin(phase)
    c, s, cc, cs = (seen @ wave / places for wave in (cos, sin, cos**2, cos * sin))
    # at half a cycle a step the sine is nil in every place: the 1e-6 keeps the two equations solvable
    cc, ss, cs = cc - c**2 + 1e-6, 1 - cc - s**2 + 1e-6, cs - c * s
    yc, ys, yy = y @ cos / places, y @ sin / places, (y**2).sum(axis=1, keepdims=True) / places
    explained = (ss * yc**2 - 2 * cs * yc * ys + cc * ys**2) / (cc * ss - cs**2)
    return k, (explained / np.where(yy > 0, yy, 1)).clip(0, 1)


def band_score(maps, xy):  # (U, N), (N, 2) -> (U,)
    """Share of a map's variance in its best plane wave, the greatest in its spectrum, 0 to 1; after [K12].

    One wave has 1, a square map of two 1/2, a hexagonal one of three 1/3, noise about 0.1. Raises ValueError as
    spectrum does.
    """
    return _settle(spectrum(maps, xy)[1].max(axis=1), np.asarray(maps, float), LEAST)


def place_score(maps, world):  # (U, N), World -> (U,)
    """Firing in the largest connected field over firing in all fields [W22 fig. 11]: 1 for one, 1/k for k equal ones.

    A field is places above 20 % of the map's peak, joined by moves of the world. 0 where the peak is not above 0.
    It says nothing of a field's size, and an offset changes it: a rate of 0 must mean silence.
    Raises ValueError where maps and world do not fit.
    """
    envs.check_type("world", world, envs.World)
    maps, _ = _check(maps, world.xy)
    state, move = np.nonzero(world.next_state >= 0)
    joined = np.eye(world.n_states, dtype=np.float32)
    joined[state, world.next_state[state, move]] = joined[world.next_state[state, move], state] = 1
    scores = np.zeros(len(maps))
    for u, rates in enumerate(np.where(np.isfinite(maps), maps, 0)):
        inside = rates > max(0.2 * rates.max(), 0)
        reach = joined[np.ix_(inside, inside)]
        for _ in range(world.n_states.bit_length()):  # each time, twice as far
            reach = (reach @ reach > 0).astype(np.float32)
        scores[u] = (reach @ rates[inside]).max(initial=0) / max(rates[inside].sum(), 1e-300)
    return _settle(scores.clip(0, 1), maps, 1)


def remapping(rng, grids, places, shuffles=1000):  # ((U, N1), (U, N2)), ((V, N1), (V, N2)) -> number, (shuffles,)
    """Do grid and place cells keep their relation from world 1 to world 2 [W20 fig. 6]? -> correlation, its null

    Over all pairs of a grid and a place cell: the grid cell's rate at the place cell's peak in world 1 against that in
    world 2, -1 to 1; NaN where either does not vary. Null: the same with world 2's peaks permuted among place cells;
    compare with it rather than with 0, as it keeps the grid cells' differences in mean rate.
    Raises ValueError where shapes do not fit or a place cell was never visited.
    """
    _check_shuffles(rng, shuffles)
    pairs = {"grids": grids, "places": places}
    for name, pair in pairs.items():
        pairs[name] = [envs.as_array(name, m, float) for m in (pair if isinstance(pair, (list, tuple)) else [pair])]
        shapes = [m.shape for m in pairs[name]]
        if [len(shape) for shape in shapes] != [2, 2] or not 0 < shapes[0][0] == shapes[1][0]:
            raise ValueError(f"{name} must be (U, N1) and (U, N2), one map a world, got {shapes}")
    grids, places = pairs.values()
    if any(g.shape[1] != p.shape[1] or np.isnan(p).all(axis=1).any() for g, p in zip(grids, places)):
        raise ValueError("places must have the grids' N in each world, and no map that is NaN alone")
    peaks = [np.nanargmax(p, axis=1) for p in places]
    orders = [np.arange(len(peaks[1]))] + [rng.permutation(len(peaks[1])) for _ in range(shuffles)]
    before = grids[0][:, peaks[0]].ravel()
    r = np.array([_pearson(before, grids[1][:, peaks[1][order]].ravel()) for order in orders])
    return float(r[0]), r[1:]


def null_scores(rng, score, maps, xy, shuffles=100):  # (U, N), (N, 2) -> (shuffles, U)
    """score(maps, xy) of maps whose visited places have been shuffled, each map and each time anew; holes stay.

    For place_score, pass the world as xy. Raises ValueError as the score does.
    """
    _check_shuffles(rng, shuffles)
    maps, _ = _check(maps, getattr(xy, "xy", xy))
    null = np.empty((shuffles, len(maps)))
    for u, rates in enumerate(maps):
        seen, copies = np.isfinite(rates), np.tile(rates, (shuffles, 1))
        copies[:, seen] = rng.permuted(copies[:, seen], axis=1)
        null[:, u] = score(copies, xy)
    return null


def population(rng, maps, xy, shuffles=100):  # (U, N), (N, 2) -> {name: ((U,), (shuffles, U))}
    """The periodic scores of each map and of its shuffles: {"grid": (scores, null), "square": ..., "band": ...}."""
    scores = {"grid": grid_score, "square": square_score, "band": band_score}
    return {name: (score(maps, xy), null_scores(rng, score, maps, xy, shuffles)) for name, score in scores.items()}


def grow(rng, model, params, world, updates=2500, steps=96, growth=0.6, rate=3e-3, decay=0.0, fixed=(), quiet=False):
    """model.train in one world, or several in turn, but for what matters to cells: -> params

    decay: L2 on W, decoupled from Adam: W shrinks by rate x decay at each update (Loshchilov & Hutter 2019). fixed:
    names of parameters that are not learned. ("log_beta",) keeps TEM-t's attention as blunt as it starts: neighbouring
    places must then have codes that differ more, which makes fields small enough for several in one world.
    """
    state, worlds = {}, world if isinstance(world, list) else [world]
    for update in tqdm(range(updates), desc=model.NAME, disable=quiet, mininterval=1):
        T = min(steps, round(12 + (steps - 12) * update / max(1, growth * updates)))
        walk = envs.walk(rng, worlds[update % len(worlds)], 32, T, len(params["b"]))
        _, grads, _ = model.gradients(params, walk.actions, walk.observations, walk.revisit)
        rate_now = rate * (1 + np.cos(np.pi * update / updates)) / 2
        learned = {name: d for name, d in grads.items() if name not in fixed}
        params, state = model.adam(params, learned, state, rate_now)
        params["W"] = params["W"] * params["W"].dtype.type(1 - rate_now * decay)
        if params["leak"] == 1:
            params["W"] = model.nearer_rotation(params["W"])
    return params


def _symmetry(maps, xy, like, unlike):
    """The least correlation of the ring with itself at `like` degrees, minus the greatest at `unlike` degrees."""
    maps, xy = _check(maps, xy)
    radii, circles = _circles(maps, xy)
    weight = np.array([np.outer(radii * _ring(radii, c), np.ones(c.shape[1])).ravel() for c in circles])
    turned = {a: np.roll(circles, a // DEGREES, axis=2).reshape(weight.shape) for a in like + unlike}
    r = {a: _pearson(circles.reshape(weight.shape), ring, weight) for a, ring in turned.items()}
    scores = np.min([r[a] for a in like], axis=0) - np.max([r[a] for a in unlike], axis=0)
    return _settle(np.nan_to_num(scores), maps, LEAST)


def _circles(maps, xy):  # (U, N), (N, 2) -> (R,), (U, R, D)
    """The autocorrelogram on half circles around lag 0 (the rest is its mirror image), where turning is rolling."""
    lags, corr = autocorrelogram(maps, xy)
    length, seen = np.linalg.norm(lags, axis=1), np.isfinite(corr)
    step = length[length > 0].min()
    radii = np.arange(step / 2, length[seen.any(axis=0)].max(initial=step), step / 2)
    angle = np.deg2rad(np.arange(0, 180, DEGREES))
    points = np.multiply.outer(radii, np.c_[np.cos(angle), np.sin(angle)])
    # smooths as it interpolates: with a width of 0.6 steps the lattice itself no longer shows
    distance2 = radii[:, None, None] ** 2 + length**2 - 2 * points @ lags.T
    near = np.exp(-distance2 / (2 * (0.6 * step) ** 2))
    weight = np.moveaxis(near @ seen.T, 2, 0)
    total = np.moveaxis(near @ np.where(seen, corr, 0).T, 2, 0)
    return radii, np.where(weight > 0.5, total / np.maximum(weight, 0.5), np.nan)


def _ring(radii, circles):  # (R,), (R, D) -> (R,) bool
    """From where the mean of a circle first falls to 0 to as far again past the six nearest peaks, or fewer."""
    below = np.nansum(circles, axis=1) <= 0
    inner = radii[below.argmax()] if below.any() else np.inf
    around = np.pad(circles, ((1, 1), (0, 0)), constant_values=np.nan)  # NaN: what lies at the border is no peak
    shifts = [np.roll(around, (i, j), axis=(0, 1))[1:-1] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    peak = (circles > 0) & (circles >= np.max(shifts, axis=0)) & (radii[:, None] > inner)
    nearest = radii[np.nonzero(peak)[0][:3]]  # three in half a circle are six
    return (radii >= inner) & (radii <= nearest.max(initial=-1) + inner)


def _wave_vectors(xy):  # (N, 2) -> (F, 2)
    """Waves of one cycle across the world to half a cycle between neighbours, a sixth of a cycle apart; one of +-k."""
    lags = (xy - xy[:, None]).reshape(-1, 2)
    length = np.linalg.norm(lags, axis=1)
    neighbours = lags[(length > 0) & (length < 1.01 * length[length > 0].min())]
    step, extent = np.linalg.norm(neighbours[0]), np.ptp(xy, axis=0).max()
    axis = np.arange(np.ceil(3 * extent / step) * 1.5 + 1) / (6 * extent)
    k = np.stack(np.meshgrid(np.r_[-axis[:0:-1], axis], axis), axis=-1).reshape(-1, 2)
    few = abs(k @ np.unique(neighbours.round(6), axis=0).T).max(axis=1) <= 0.5 + 1e-9
    return k[few & (np.linalg.norm(k, axis=1) >= 1 / extent - 1e-9)]


def _pearson(x, y, weight=1.0, least=0.0):  # (..., K), (..., K) -> (...)
    """Weighted correlation over the last axis of what is finite in both; NaN unless both vary by more than least."""
    weight = weight * np.isfinite(x + y)
    x, y = np.where(weight > 0, x, 0), np.where(weight > 0, y, 0)
    total = np.maximum(weight.sum(axis=-1), 1e-300)
    dx, dy = (z - ((weight * z).sum(axis=-1) / total)[..., None] for z in (x, y))
    xx, yy, xy = ((weight * product).sum(axis=-1) / total for product in (dx * dx, dy * dy, dx * dy))
    varies = [zz > np.maximum(least, 1e-20 * (weight * z * z).sum(axis=-1) / total) for zz, z in ((xx, x), (yy, y))]
    spread = np.sqrt(xx * yy)
    return np.where(varies[0] & varies[1], xy / np.where(spread > 0, spread, 1), np.nan)


def _settle(scores, maps, least):  # (U,), (U, N) -> (U,)
    """The scores, but 0 for a constant map and NaN for one with fewer than `least` visited places."""
    seen = np.isfinite(maps)
    high, low = np.where(seen, maps, -np.inf).max(axis=1), np.where(seen, maps, np.inf).min(axis=1)
    scores = np.where(high - low > 1e-9 * np.maximum(abs(high), abs(low)), scores, 0)
    return np.where(seen.sum(axis=1) < least, np.nan, scores)


def _check_shuffles(rng, shuffles):
    """Raise ValueError, naming the argument, unless rng is one, and shuffles how many."""
    envs.check_type("rng", rng, np.random.Generator)
    envs.check_size("shuffles", shuffles, 0)


def _check(maps, xy):
    """maps and xy as arrays of numbers; ValueError, naming the argument, unless they are (U, N) and (N, 2)."""
    maps, xy = envs.as_array("maps", maps, float), envs.as_array("xy", xy, float)
    if xy.ndim != 2 or xy.shape[1] != 2 or len(xy) < 2 or not np.isfinite(xy).all():
        raise ValueError(f"xy must be finite and of shape (N, 2), N at least 2, got {xy.shape}")
    if maps.ndim != 2 or maps.shape[1] != len(xy):
        raise ValueError(f"maps must be (U, N) for N = {len(xy)} places, got {maps.shape}")
    return maps, xy
