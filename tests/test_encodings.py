"""Position encodings and single changes taken back: gradients, equality with temt.py, causality and its absence."""

import csv
from pathlib import Path

import numpy as np
import pytest
from checks import agree, check_backward, check_gradients, generic
from hypothesis import given
from hypothesis import strategies as st

import envs
import temt
from notebooks import encodings

ENCODE = {encode for encode, _, _ in encodings.VARIANTS.values()}
PROJECT = {project for _, project, _ in encodings.VARIANTS.values()}
CAUSAL = [name for name, (_, _, causal) in encodings.VARIANTS.items() if causal]
OURS = "recurrent (TEM-t)"
TABLE = Path(__file__).parent / "benchmarks" / "encodings.csv"

each_variant = pytest.mark.parametrize("variant", encodings.VARIANTS)
each_causal_variant = pytest.mark.parametrize("variant", CAUSAL)
each_encode = pytest.mark.parametrize("pair", sorted(ENCODE, key=repr), ids=lambda pair: pair[0].__name__)
each_project = pytest.mark.parametrize("pair", sorted(PROJECT, key=repr), ids=lambda pair: pair[0].__name__)


@st.composite
def problems(draw, variant=OURS):  # -> params, walk, rng
    """Generic parameters in float64 and walks on a small world whose moves are shifts."""
    world = draw(st.sampled_from([envs.grid(2, 3), envs.hexagon(2), envs.grid(3)]))
    B, T, G, S = (draw(st.integers(*sizes)) for sizes in ((1, 3), (1, 8), (2, 4), (2, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    params = encodings.init_params(rng, variant, world, S, 2 * G, longest=9, dtype=np.float64)
    params |= {"log_beta": np.asarray(draw(st.floats(-1, 1))), "gain": np.asarray(draw(st.floats(0.2, 3)))}
    return generic(params, rng), envs.walk(rng, world, B, T, S), rng


# --------------------------------------------------------------------------------------------------- gradients


@each_variant
@given(data=st.data())
def test_gradient_of_the_whole_loss(variant, data):
    params, walk, rng = data.draw(problems(variant))
    _, grads, _ = encodings.gradients(params, variant, *walk[1:4])
    if walk.revisit.any():
        check_gradients(rng, lambda p: encodings.gradients(p, variant, *walk[1:4])[0], params, grads)
    else:
        assert all((d == 0).all() for d in grads.values())


@each_encode
@given(data=st.data())
def test_encode_backward(pair, data):
    (encode, backward), (params, walk, rng) = pair, data.draw(problems())
    g, cache = encode(params, walk.actions)
    own = sorted(backward(params, np.ones_like(g), walk.actions, cache))

    def forward(*values):
        dtype = np.result_type(0.0, *values)
        return encode({**params, **{k: v.astype(dtype) for k, v in zip(own, values)}}, walk.actions)[0]

    def backward_of_own(dg):
        grads = backward(params, dg, walk.actions, cache)
        return [grads[name] for name in own]

    check_backward(rng, forward, backward_of_own, *(params[name] for name in own))


@each_project
@given(data=st.data())
def test_project_backward(pair, data):
    """q, k and v side by side; x is given, so that nothing leads back to it."""
    (project, backward), (params, walk, rng) = pair, data.draw(problems())
    g, x = rng.normal(size=(*walk.states.shape, len(params["g0"]))), rng.normal(size=(*walk.states.shape, 3))
    (q, k, v), cache = project(params, g, x)
    own = sorted(backward(params, np.ones_like(q), np.ones_like(k), np.ones_like(v), cache)[1])

    def forward(g, *values):
        return np.concatenate(project({**params, **dict(zip(own, values))}, g, x)[0], axis=-1)

    def backward_of_both(dout):
        dg, dparams = backward(params, *np.split(dout, np.cumsum([q.shape[-1], k.shape[-1]]), axis=-1), cache)
        return dg, *(dparams[name] for name in own)

    check_backward(rng, forward, backward_of_both, g, *(params[name] for name in own))


# ------------------------------------------------------------------------------------------- the recurrent one is ours


@given(problem=problems(), leak=st.sampled_from([0.0, 0.3, 1.0]))
def test_the_recurrent_variant_is_temt(problem, leak):
    params, walk, _ = problem
    params["leak"] = np.asarray(leak)
    loss, grads, right = encodings.gradients(params, OURS, *walk[1:4])
    wanted_loss, wanted, wanted_right = temt.gradients(params, *walk[1:4], block=3)
    agree(loss, wanted_loss, 1e-12, scale=1 + wanted_loss)
    assert (right == wanted_right).all()
    assert grads.keys() == wanted.keys()
    scale = np.sqrt(sum(np.sum(d**2) for d in wanted.values()))
    for name, d in wanted.items():
        agree(grads[name], d, 1e-11, scale)
    assert (encodings.evaluate(params, OURS, walk) == temt.evaluate(params, walk)).all()


def test_the_recurrent_variant_is_trained_as_temt_trains():
    world, options = envs.grid(3), {"updates": 8, "batch": 4, "steps": 16}
    params = encodings.init_params(np.random.default_rng(0), OURS, world, 5, 8, dtype=np.float64)
    trained, history = encodings.train(np.random.default_rng(1), OURS, world, params, **options)
    shared = {k: v for k, v in params.items() if k in temt.init_params(np.random.default_rng(0), 4, 5, 8)}
    wanted, told = temt.train(np.random.default_rng(1), world, shared, quiet=True, **options)
    for name in wanted:
        np.testing.assert_allclose(trained[name], wanted[name], rtol=1e-9, atol=1e-12)
    assert history == told["accuracy"]


@each_variant
def test_every_variant_starts_from_the_same_values(variant):
    world = envs.grid(3)
    wanted = temt.init_params(np.random.default_rng(3), 4, 5, 8)
    params = encodings.init_params(np.random.default_rng(3), variant, world, 5, 8)
    for name in wanted.keys() - {"D"}:
        np.testing.assert_array_equal(params[name], wanted[name])
    np.testing.assert_array_equal(params["D"][:5], wanted["D"])
    assert (params["D"][5:] == 0).all()


@pytest.mark.parametrize(
    ("variant", "like"),
    [("separate q and k", OURS), ("position in values", OURS), ("rotary in time", "sinusoidal in time")],
)
def test_what_is_added_starts_by_changing_nothing(variant, like):
    world = envs.grid(3)
    walk = envs.walk(np.random.default_rng(0), world, 3, 12, 5)
    logits = []
    for name in (variant, like):
        params = encodings.init_params(np.random.default_rng(1), name, world, 5, 8, dtype=np.float64)
        logits.append(encodings.forward(params, name, walk.actions, walk.observations)[0])
    np.testing.assert_allclose(*logits, rtol=1e-12)


# ------------------------------------------------------------------------------------------------------ causality


def logits_with_another_sight(variant, params, walk, rng):  # -> logits, logits, the step t at which the sights differ
    t = rng.integers(walk.states.shape[1])
    other = walk.observations.copy()
    other[:, t] = (other[:, t] + 1) % len(params["b"])
    return *(encodings.forward(params, variant, walk.actions, o)[0] for o in (walk.observations, other)), t


@each_causal_variant
@given(data=st.data())
def test_what_is_seen_changes_later_predictions_alone(variant, data):
    before, after, t = logits_with_another_sight(variant, *data.draw(problems(variant)))
    np.testing.assert_array_equal(before[:, : t + 1], after[:, : t + 1])
    assert t + 1 == before.shape[1] or (before[:, t + 1] != after[:, t + 1]).any()


def test_without_causality_the_answer_is_among_the_values():
    """It is right at every step, first visits included, before any training; after some, even with a clock alone."""
    world, score = envs.grid(5), {}
    walk = envs.walk(np.random.default_rng(2), world, 16, 32, 45)
    for variant, updates in (("non-causal", 0), (OURS, 0), ("non-causal, in time", 80), ("sinusoidal in time", 80)):
        params = encodings.init_params(np.random.default_rng(0), variant, world, 45)
        params, _ = encodings.train(np.random.default_rng(1), variant, world, params, updates, steps=32)
        score[variant] = encodings.evaluate(params, variant, walk)[~walk.revisit].mean()
    assert score["non-causal"] == 1
    assert score["non-causal, in time"] > 0.97
    assert max(score[OURS], score["sinusoidal in time"]) < 0.1


# ------------------------------------------------------------------------------------------- what each encoding says


@given(problem=problems())
def test_rotary_matches_depend_on_the_time_between_alone(problem):
    params, walk, _ = problem
    g, _ = encodings.in_time(params, walk.actions)
    (q, k, _), _ = encodings.rotary(params, g, g)
    scores = q @ k.swapaxes(1, 2)
    agree(scores[:, 1:, 1:], scores[:, :-1, :-1], 1e-12, scale=np.linalg.norm(scores))


def test_true_coordinates_are_equal_where_places_are_equal_and_nowhere_else():
    rng, world = np.random.default_rng(0), envs.grid(4)
    params = encodings.init_params(rng, "true coordinates", world, 5, dtype=np.float64)
    walk = envs.walk(rng, world, 1, 200, 5)
    g = encodings.in_place(params, walk.actions)[0][0]
    apart = abs(g[:, None] - g).max(axis=-1)
    same = walk.states[0][:, None] == walk.states[0]
    assert apart[same].max() < 1e-9
    assert apart[~same].min() > 0.1


@given(problem=problems("none"))
def test_without_positions_attention_is_uniform(problem):
    params, walk, _ = problem
    weights = encodings.forward(params, "none", walk.actions, walk.observations)[1][5]["weights"]
    past = np.tril(np.ones(weights.shape[1:]), -1)
    np.testing.assert_allclose(weights * past.sum(axis=1)[:, None], np.broadcast_to(past, weights.shape), atol=1e-9)


# ----------------------------------------------------------------------------------------------------- the contract


@each_variant
def test_float32_stays_and_inputs_are_left_as_they_were(variant):
    rng, world = np.random.default_rng(0), envs.grid(3)
    params, walk = encodings.init_params(rng, variant, world, 5, 8), envs.walk(rng, world, 2, 9, 5)
    copies = {name: value.copy() for name, value in params.items()}
    loss, grads, right = encodings.gradients(params, variant, *walk[1:4])
    assert {d.dtype for d in (loss, *grads.values())} == {np.dtype(np.float32)}
    assert {name: d.shape for name, d in grads.items()} == {name: params[name].shape for name in grads}
    assert right.shape == walk.states.shape
    for name, value in copies.items():
        np.testing.assert_array_equal(params[name], value)


@pytest.mark.parametrize(
    ("argument", "options"),
    [("variant", {"variant": "cubic"}), ("G", {"G": 7}), ("world", {"world": envs.grid(3, torus=True)})],
)
def test_bad_settings_are_named(argument, options):
    options = {"variant": OURS, "world": envs.grid(3), "n_obs": 5} | options
    with pytest.raises(ValueError, match=f"^{argument} must"):
        encodings.init_params(np.random.default_rng(0), **options)


def test_bad_walks_are_named():
    rng, world = np.random.default_rng(0), envs.grid(3)
    params, walk = encodings.init_params(rng, OURS, world, 5, 8, longest=9), envs.walk(rng, world, 2, 10, 5)
    with pytest.raises(ValueError, match=r"^actions must have at most 9 steps"):
        encodings.evaluate(params, "learned per step", walk)
    with pytest.raises(ValueError, match=r"^revisit must"):
        encodings.gradients(params, OURS, walk.actions, walk.observations, walk.revisit[:1])
    with pytest.raises(ValueError, match=r"^observations must lie"):
        encodings.evaluate(params, OURS, walk._replace(observations=walk.observations + 5))


# ------------------------------------------------------------------------------------------------------- learning


def test_moves_teach_the_structure_and_a_clock_does_not():
    world, score = envs.grid(4), {}
    for variant in (OURS, "rotary in time"):
        params = encodings.init_params(np.random.default_rng(0), variant, world, 20, 32)
        params, _ = encodings.train(np.random.default_rng(1), variant, world, params, updates=250, batch=16, steps=24)
        walk = envs.walk(np.random.default_rng(2), world, 64, 24, 20)
        score[variant] = envs.accuracy(encodings.evaluate(params, variant, walk), walk)
    assert min(score[OURS]) > 0.95
    assert max(score["rotary in time"]) < 0.7


def test_the_table_of_results_has_every_variant_and_three_seeds():
    with open(TABLE) as file:
        rows = [*csv.DictReader(line for line in file if not line.startswith("#"))]
    assert {(row["variant"], int(row["seed"])) for row in rows} == {
        (v, s) for v in encodings.VARIANTS for s in range(3)
    }
