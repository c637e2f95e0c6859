"""Landmarks: step by step, correcting where one is by what one sees. In both models, forward and gradients."""

import time

import numpy as np
import pytest
from checks import MODELS, agree, check_backward, check_gradients, problems
from hypothesis import assume, given
from hypothesis import strategies as st

import envs
import tem

each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


def gate(*weights):
    return np.array(weights, float)


@each_model
@given(data=st.data())
def test_gradient_of_the_whole_loss_with_landmarks(model, data):
    """Through expect, see, correct, locate and store, with a gate that is half open, with and without noise."""
    params, walk, rng = data.draw(problems(model))
    params["gate"] = rng.normal(size=3)
    noise = 0.3 * rng.normal(size=(*walk.states.shape, len(params["g0"]))) if data.draw(st.booleans()) else None
    options = {"landmarks": True, "noise": noise}
    assume(model.forward(params, *walk[1:3], **options)["corrected"].any(axis=-1).all())  # else f is asked at its kink
    _, grads, right = model.gradients(params, *walk[1:4], **options)
    check_gradients(rng, lambda p: model.gradients(p, *walk[1:4], **options)[0], params, grads)
    assert "gate" in grads
    assert (right == model.evaluate(params, walk, **options)).all()


@each_model
@given(data=st.data())
def test_with_the_gate_at_zero_the_loop_is_the_parallel_form(model, data):
    """The same loss, predictions and gradients to rounding, whatever is stored only once."""
    params, walk, _ = problem = data.draw(problems(model))
    params["gate"] = gate(-1e3, 0, 0)
    loss, grads, right = model.gradients(params, *problem.data)
    loss_by_steps, grads_by_steps, right_by_steps = model.gradients(params, *problem.data, landmarks=True)
    agree(loss_by_steps, loss, 1e-10)
    assert (right == right_by_steps).all()
    scale = np.sqrt(sum(np.sum(d**2) for d in grads.values()))
    for name, d in grads.items():
        agree(grads_by_steps[name], d, 1e-8, scale)
    assert (grads_by_steps["gate"] == 0).all()
    one, other = (model.forward(params, *walk[1:3], landmarks=flag)["probabilities"] for flag in (False, True))
    np.testing.assert_allclose(other, one, rtol=1e-9)


@each_model
def test_with_landmarks_off_nothing_changes(model):
    """The gate is there and is neither read nor learned."""
    rng = np.random.default_rng(0)
    params, walk = model.init_params(rng, 4, 5, 8), envs.walk(rng, envs.grid(3), 3, 20, 5)
    loss, grads, _ = model.gradients(params, *walk[1:4])
    other_loss, other, _ = model.gradients({**params, "gate": np.array([9.0, 9, 9], np.float32)}, *walk[1:4])
    assert loss == other_loss
    assert "gate" not in grads
    assert all((other[name] == d).all() for name, d in grads.items())


@each_model
@given(data=st.data())
def test_correct_backward(model, data):
    params, walk, rng = data.draw(problems(model))
    params["gate"] = rng.normal(size=3)
    B, G = len(walk.states), len(params["g0"])
    g, found, seen = rng.normal(size=(B, G)), rng.normal(size=(B, G)), rng.random(B)
    _, cache = model.correct(params, g, found, seen)

    def forward(g, found, seen, weights):
        return model.correct({**params, "gate": weights}, g, found, seen)[0]

    def backward(dout):
        dg, dfound, dseen, dparams = model.correct_backward(params, dout, cache)
        return dg, dfound, dseen, dparams["gate"]

    check_backward(rng, forward, backward, g, found, seen, params["gate"])


@each_model
@given(data=st.data())
def test_locate_backward(model, data):
    params, walk, rng = data.draw(problems(model))
    (B, n), G = walk.states.shape, len(params["g0"])
    past, g, x = rng.normal(size=(B, n, G)), rng.normal(size=(B, 1, G)), model.sense(params, walk.observations)
    age = rng.integers(0, 4, size=(B, 1, n))

    def rows(past):
        memory, cache = model.remember(params, past, x)
        return {**memory, "place": past, "sense": x}, cache

    def forward(past, g):
        return model.locate(params, g, x[:, :1], rows(past)[0], age)[0]

    def backward(dfound):
        memory, memory_cache = rows(past)
        _, cache = model.locate(params, g, x[:, :1], memory, age)
        dg, dmemory, _ = model.locate_backward(params, dfound, memory, age, cache)
        return model.remember_backward(params, dmemory, memory_cache)[0] + dmemory.get("place", 0), dg

    params["same"] = np.array(1.0)
    check_backward(rng, forward, backward, past, g)


@each_model
@given(data=st.data())
def test_streaming_says_what_forward_says(model, data):
    """One action and one observation at a time: the same predictions, corrections and memory as the whole walk."""
    params, walk, _ = data.draw(problems(model))
    out = model.forward(params, *walk[1:3], landmarks=True)
    state = model.begin(params, len(walk.states), rows=1)  # no room: it must grow
    for t in range(walk.states.shape[1]):
        logits, state = model.expect(params, state, walk.actions[:, t])
        state = model.see(params, state, walk.observations[:, t])
        np.testing.assert_array_equal(logits, out["logits"][:, t])
        np.testing.assert_array_equal(state["g"], out["corrected"][:, t])
    np.testing.assert_array_equal(state["count"], out["count"])


@each_model
@given(data=st.data())
def test_causality_with_landmarks(model, data):
    params, walk, rng = data.draw(problems(model))
    t = data.draw(st.integers(0, walk.states.shape[1] - 1))
    other = walk.observations.copy()
    other[:, t:] = rng.integers(len(params["b"]), size=other[:, t:].shape)
    before = [
        model.forward(params, walk.actions, o, landmarks=True)["logits"][:, : t + 1] for o in (walk.observations, other)
    ]
    np.testing.assert_allclose(*before, rtol=1e-12)


@each_model
def test_what_was_never_seen_moves_nothing(model):
    """No memory of this sense: the gate is shut, however open its weights."""
    rng = np.random.default_rng(0)
    params = model.init_params(rng, 2, 6, 8, 6, dtype=np.float64)
    params["gate"] = gate(50, 0, 0)
    walk = envs.walk(rng, envs.ring(6), 2, 6, 6)
    out = model.forward(params, walk.actions, np.tile(np.arange(6), (2, 1)), landmarks=True)
    assert (out["gate"] == 0).all()
    np.testing.assert_allclose(out["corrected"], out["g"], rtol=1e-12)


def exact(model, steps, batch):
    """A torus of 4 x 4 with one thing in each place, and parameters set by hand whose positions are exact there.

    Two pairs of units turn by 90 and 180 degrees with North, two with East; South and West turn them back.
    """
    world, rng = envs.grid(4, torus=True), np.random.default_rng(1)
    params = model.init_params(rng, 4, 16, 8, 16, same=0.8)
    turn, I, O = np.array([[0.0, 1], [-1, 0]]), np.eye(2), np.zeros((2, 2))
    north = np.block([[turn, O, O, O], [O, turn @ turn, O, O], [O, O, I, O], [O, O, O, I]])
    east = np.roll(north, (4, 4), axis=(0, 1))
    params |= {
        "W": np.stack([north, east, north.T, east.T]).astype(np.float32),
        "g0": np.tile(np.array([1, 0], np.float32), 4),
    }
    walk = envs.walk(rng, world, batch, steps, 16)
    return params, walk._replace(observations=walk.states)


@each_model
def test_memory_grows_with_places_and_not_with_steps(model):
    """6,000 steps among 16 places leave 16 memories, and the last two thousand take no longer than the first ones."""
    params, walk = exact(model, 6_000, 1)
    state, seconds, right = model.begin(params, 1), [], 0
    for t in range(6_000):
        if t % 200 == 0:
            seconds.append(-time.perf_counter())
        logits, state = model.expect(params, state, walk.actions[:, t])
        right += walk.revisit[0, t] and logits.argmax() == walk.observations[0, t]
        state = model.see(params, state, walk.observations[:, t])
        if t % 200 == 199:
            seconds[-1] += time.perf_counter()
    assert state["count"].tolist() == [16]
    assert state["stored_at"].shape[1] == 64
    assert right == walk.revisit.sum()
    assert np.median(seconds[-10:]) < 2 * np.median(seconds[1:11])


@each_model
def test_landmarks_mend_what_noise_breaks(model):
    """Exact positions, noise on g at each step: without landmarks it drifts away, with them it stays on the map."""
    params, walk = exact(model, 300, 16)
    noise = 0.2 * np.random.default_rng(0).normal(size=(16, 300, 8)).astype(np.float32)
    scores = {}
    for name, weights in (("with", (-9, 12, 0)), ("without", (-1e3, 0, 0))):
        gated = {**params, "gate": np.array(weights, np.float32)}
        scores[name] = envs.accuracy(model.evaluate(gated, walk, landmarks=True, noise=noise), walk)[0]
    assert scores["with"] > 0.9
    assert scores["without"] < 0.6


@each_model
def test_noise_of_another_shape_or_without_landmarks_is_named(model):
    rng = np.random.default_rng(0)
    params, walk = model.init_params(rng, 2, 5, 8), envs.walk(rng, envs.ring(5), 2, 5, 5)
    for noise, landmarks in ((np.zeros((2, 5, 8)), False), (np.zeros((2, 5, 7)), True), (0.1, True)):
        for call in (
            lambda **options: model.forward(params, *walk[1:3], **options),
            lambda **options: model.gradients(params, *walk[1:4], **options),
            lambda **options: model.evaluate(params, walk, **options),
        ):
            with pytest.raises(ValueError, match=r"noise must (have the shape \(2, 5, 8\)|come with landmarks), got"):
                call(noise=noise, landmarks=landmarks)


def test_tem_refuses_landmarks_on_synapses():
    rng = np.random.default_rng(0)
    params, walk = tem.init_params(rng, 2, 5, 8, 5, hebbian=True), envs.walk(rng, envs.ring(5), 1, 5, 5)
    with pytest.raises(ValueError, match="hebbian must be off with landmarks"):
        tem.forward(params, *walk[1:3], landmarks=True)


@each_model
def test_bad_streams_are_named(model):
    rng = np.random.default_rng(0)
    params = model.init_params(rng, 2, 5, 8)
    state = model.begin(params, 1)
    _, state = model.expect(params, state, np.array([-1]))
    seen = model.see(params, state, np.array([3]))
    for call, message in (
        (lambda: model.begin(params, 0), "B must be an integer of at least 1, got 0"),
        (lambda: model.see(params, state, np.array([5])), "o must lie in 0..4, got 5"),
        (lambda: model.expect(params, seen, np.array([2])), "a must lie in 0..1, got 2"),
        (lambda: model.expect(params, seen, np.array([0, 1])), r"a must be integers of shape \(1,\), got int64 \(2,\)"),
        (lambda: model.see(params, seen, np.array([1])), "see must follow expect"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
