"""What both models must do: gradients, causality, batches, dtypes. Every test runs on each of checks.MODELS."""

import inspect
import re

import numpy as np
import pytest
from checks import MODELS, agree, check_backward, check_gradients, derivative, generic, problems
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import envs
import tem
import temt

each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
draw_problem = st.data()


# --------------------------------------------------------------------------------------------------- gradients


@each_model
@given(data=st.data())
def test_gradient_of_the_whole_loss(model, data):
    params, _, rng = problem = data.draw(problems(model))
    block = data.draw(st.integers(1, 10))
    if "hebbian" in params:
        params["hebbian"] = np.asarray(data.draw(st.booleans()), float)
    _, grads, _ = model.gradients(params, *problem.data, block)
    if not problem.walk.revisit.any():
        assert all((d == 0).all() for d in grads.values())
        return
    check_gradients(rng, lambda p: model.gradients(p, *problem.data, block)[0], params, grads)


@each_model
@given(data=st.data())
def test_forward_and_gradients_speak_of_the_same_loss_for_any_block(model, data):
    params, walk, _ = problem = data.draw(problems(model))
    loss, grads, right = model.gradients(params, *problem.data, data.draw(st.integers(1, 10)))
    p = model.forward(params, walk.actions, walk.observations)["probabilities"]
    chosen = np.take_along_axis(p, walk.observations[..., None], axis=-1)[..., 0][walk.revisit]
    agree(loss, -np.log(chosen).mean() if walk.revisit.any() else 0.0, 1e-10)
    assert (right == (p.argmax(axis=-1) == walk.observations)).all()
    assert (right == model.evaluate(params, walk, data.draw(st.integers(1, 10)))).all()
    whole = model.gradients(params, *problem.data, block=100)[1]
    scale = np.sqrt(sum(np.sum(d**2) for d in whole.values()))
    for name in grads:
        agree(grads[name], whole[name], 1e-9, scale)


@each_model
@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (1, 3), (2, 1)])
def test_nothing_to_learn_without_a_revisit(model, steps, batch):
    """One step, or two on a world without standing still: no revisit, so loss and gradients are 0 and never NaN."""
    rng = np.random.default_rng(0)
    walk = envs.walk(rng, envs.grid(2), batch, steps, 3)
    loss, grads, _ = model.gradients(model.init_params(rng, 4, 3, 5, 3), walk.actions, walk.observations, walk.revisit)
    assert not walk.revisit.any()
    assert loss == 0
    assert all((d == 0).all() for d in grads.values())


@each_model
@given(data=st.data())
def test_norm_backward(model, data):
    params, walk, rng = data.draw(problems(model))
    z = rng.normal(size=(*walk.states.shape, len(params["g0"])))
    _, cache = model.norm(z)
    check_backward(rng, lambda z: model.norm(z)[0], lambda d: [model.norm_backward(d, cache)], z)


@each_model
@given(data=st.data())
def test_activate_backward(model, data):
    params, walk, rng = data.draw(problems(model))
    z = rng.normal(size=(len(walk.states), len(params["g0"])))
    _, cache = model.activate(params, z)
    check_backward(
        rng, lambda z: model.activate(params, z)[0], lambda d: [model.activate_backward(params, d, cache)], z
    )


@each_model
@given(data=st.data())
def test_move_backward(model, data):
    params, walk, rng = data.draw(problems(model, max_T=2))
    g, a = rng.normal(size=(len(walk.states), len(params["g0"]))), rng.integers(len(params["W"]), size=len(walk.states))
    _, cache = model.move(params, g, a)
    check_backward(
        rng, lambda g: model.move(params, g, a)[0], lambda d: [model.move_backward(params, d, a, cache)[0]], g
    )


@each_model
@given(data=st.data())
def test_path_integrate_backward(model, data):
    params, walk, rng = data.draw(problems(model))
    _, cache = model.path_integrate(params, walk.actions)

    def forward(W, g0):
        dtype = np.result_type(W, g0)
        return model.path_integrate({**params, "W": W.astype(dtype), "g0": g0.astype(dtype)}, walk.actions)[0]

    def backward(dg):
        grads = model.path_integrate_backward(params, dg, walk.actions, cache)
        return grads["W"], grads["g0"]

    check_backward(rng, forward, backward, params["W"], params["g0"])


@each_model
@given(data=st.data())
def test_memory_backward(model, data):
    """remember, then recall, for cues that are not the stored positions; ages with gaps, repeats and an empty row."""
    params, walk, rng = data.draw(problems(model))
    (B, n), G, Q = walk.states.shape, len(params["g0"]), data.draw(st.integers(1, 4))
    past, g, x = rng.normal(size=(B, n, G)), rng.normal(size=(B, Q, G)), model.sense(params, walk.observations)
    age = rng.integers(-1, 4, size=data.draw(st.sampled_from([(Q, n), (B, Q, n)])))
    own = sorted(model.init_memory().keys() & model.gradients(params, *walk[1:4])[1].keys())

    def forward(past, g, *values):
        dtype = np.result_type(past, g, *values)
        changed = {**params, **{name: value.astype(dtype) for name, value in zip(own, values)}}
        memory, _ = model.remember(changed, past.astype(dtype), x.astype(dtype))
        return model.recall(changed, g.astype(dtype), memory, age)[0]

    def backward(dr):
        memory, memory_cache = model.remember(params, past, x)
        _, cache = model.recall(params, g, memory, age)
        dg, dmemory, dparams = model.recall_backward(params, dr, memory, age, cache)
        return model.remember_backward(params, dmemory, memory_cache)[0], dg, *(dparams[name] for name in own)

    check_backward(rng, forward, backward, past, g, *(params[name] for name in own))


@each_model
@given(data=st.data())
def test_decode_backward(model, data):
    params, walk, rng = data.draw(problems(model))
    r = rng.normal(size=(*walk.states.shape, len(params["D"])))

    def backward(dlogits):
        dr, grads = model.decode_backward(params, dlogits, r)
        return dr, grads["D"], grads["b"]

    check_backward(rng, lambda r, D, b: model.decode({"D": D, "b": b}, r), backward, r, params["D"], params["b"])


@each_model
@given(data=st.data())
def test_cross_entropy_backward(model, data):
    params, walk, rng = data.draw(problems(model))
    logits, weight = rng.normal(size=(*walk.states.shape, len(params["b"]))), rng.random(walk.states.shape)
    loss, dlogits = model.cross_entropy(logits, walk.observations, weight)
    v = rng.normal(size=logits.shape)
    agree(
        np.sum(dlogits * v), derivative(lambda z: model.cross_entropy(z, walk.observations, weight)[0], logits, v), 1e-9
    )
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    agree(loss, -sum(weight[at] * np.log(p[at][walk.observations[at]]) for at in np.ndindex(weight.shape)), 1e-10)


@each_model
@given(z=hnp.arrays(np.float32, (2, 3, 4), elements=st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False)))
def test_softmax_and_cross_entropy_bear_extreme_logits(model, z):
    p = model.softmax(z)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-5)
    loss, dlogits = model.cross_entropy(z, np.zeros((2, 3), int), np.ones((2, 3), np.float32))
    assert np.isfinite(loss)
    assert np.isfinite(dlogits).all()
    assert (abs(dlogits) <= 1).all()


@each_model
@pytest.mark.parametrize("name", ["W", "g0", "D", "b", "memory's own"])
def test_the_gradient_check_can_fail(model, name):
    """A gradient wrong by 0.1 % in one parameter is caught."""
    rng = np.random.default_rng(1)
    attractor = {"K": 2, "kappa": 0.5} if model is tem else {}  # one linear step, normed, would be blind to eta
    params = generic(model.init_params(rng, 4, 5, 6, 5, dtype=np.float64, **attractor), rng)
    walk = envs.walk(rng, envs.grid(2, 3), 3, 8, 5)
    data = walk.actions, walk.observations, walk.revisit
    _, grads, _ = model.gradients(params, *data)
    check_gradients(rng, lambda p: model.gradients(p, *data)[0], params, grads)
    name = next(iter(grads.keys() & model.init_memory().keys())) if name not in grads else name
    wrong = {**grads, name: grads[name] * 1.001}
    with pytest.raises(AssertionError):
        check_gradients(rng, lambda p: model.gradients(p, *data)[0], params, wrong)


# ------------------------------------------------------------------------------------------- what predictions know


@each_model
@given(data=st.data())
def test_causality(model, data):
    """The observation at t changes the predictions after t alone."""
    params, walk, rng = data.draw(problems(model))
    B, T = walk.states.shape
    t = data.draw(st.integers(0, T - 1))
    other = walk.observations.copy()
    other[:, t:] = rng.integers(len(params["b"]), size=(B, T - t))
    before = [model.forward(params, walk.actions, o)["probabilities"][:, : t + 1] for o in (walk.observations, other)]
    np.testing.assert_allclose(*before, rtol=1e-12)


@each_model
@given(data=st.data())
def test_an_empty_memory_recalls_zeros(model, data):
    """So the first prediction is the decoder's prior, softmax(b)."""
    params, walk, _ = data.draw(problems(model))
    out = model.forward(params, walk.actions, walk.observations)
    assert (out["r"][:, 0] == 0).all()
    prior = np.exp(params["b"]) / np.exp(params["b"]).sum()
    np.testing.assert_allclose(out["probabilities"][:, 0], np.tile(prior, (len(walk.states), 1)), rtol=1e-12)


@each_model
@given(data=st.data())
def test_a_memory_of_no_rows_recalls_zeros(model, data):
    params, walk, rng = data.draw(problems(model))
    B, G, C = len(walk.states), *np.shape(params["g0"]), len(params["D"])
    memory, _ = model.remember(params, np.zeros((B, 0, G)), np.zeros((B, 0, C)))
    r, _ = model.recall(params, rng.normal(size=(B, 1, G)), memory, np.zeros((1, 0), int))
    assert r.shape == (B, 1, C)
    assert (r == 0).all()


@each_model
@given(data=st.data())
def test_a_batch_is_so_many_single_walks(model, data):
    params, walk, _ = data.draw(problems(model))
    whole = model.forward(params, walk.actions, walk.observations)
    for b in range(len(walk.states)):
        single = model.forward(params, walk.actions[b : b + 1], walk.observations[b : b + 1])
        for name in ("g", "r", "probabilities"):
            np.testing.assert_allclose(single[name][0], whole[name][b], rtol=1e-9, atol=1e-12)


@each_model
@given(data=st.data())
def test_the_order_of_memories_does_not_matter(model, data):
    params, walk, rng = data.draw(problems(model))
    params["same"] = np.asarray(1.0)
    out = model.forward(params, walk.actions, walk.observations)
    T = walk.states.shape[1]
    order = rng.permutation(T)
    memory, _ = model.remember(params, out["g"][:, order], out["x"][:, order])
    r, _ = model.recall(params, out["g"], memory, (np.arange(T)[:, None] - np.arange(T))[:, order])
    np.testing.assert_allclose(r, out["r"], rtol=1e-9, atol=1e-12)


@each_model
@given(data=st.data())
def test_inputs_are_left_as_they_were(model, data):
    params, walk, _ = problem = data.draw(problems(model))
    copies = {k: v.copy() for k, v in params.items()}, [array.copy() for array in walk]
    _, grads, _ = model.gradients(params, *problem.data)
    model.forward(params, walk.actions, walk.observations)
    model.adam(params, grads, model.adam(params, grads, {}, 0.1)[1], 0.1)
    assert all((params[k] == v).all() for k, v in copies[0].items())
    assert all((a == b).all() for a, b in zip(walk, copies[1]))


@each_model
@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_number_has_the_dtype_of_params(model, dtype, landmarks):
    rng = np.random.default_rng(0)
    walk = envs.walk(rng, envs.grid(3), 3, 20, 5)
    params = model.init_params(rng, 4, 5, 6, dtype=dtype)
    out = model.forward(params, walk.actions, walk.observations, landmarks)
    loss, grads, _ = model.gradients(params, walk.actions, walk.observations, walk.revisit, landmarks=landmarks)
    params, _ = model.adam(params, grads, model.adam(params, grads, {}, 0.003, clip=1e-3)[1], np.float64(0.003))
    arrays = {**out, **grads, "loss": loss, **{f"new {k}": v for k, v in params.items()}}
    kinds = {
        name: value.dtype
        for name, value in arrays.items()
        if isinstance(value, np.ndarray | np.generic) and name not in ("new", "count")
    }
    assert {name: kind for name, kind in kinds.items() if kind != dtype} == {}


@each_model
@given(data=st.data())
def test_shapes_are_those_on_the_def_line(model, data):
    """`def f(...):  # ... -> (B, T, G)`: the first thing that f returns has that shape."""
    params, walk, _ = data.draw(problems(model))
    (B, T), (A, G, _), (C, S) = walk.states.shape, params["W"].shape, params["D"].shape
    out = model.forward(params, walk.actions, walk.observations)
    Q, a = T, walk.actions[:, -1] % A
    memory, memory_cache = model.remember(params, out["g"], out["x"])
    r, recalled = model.recall(params, out["g"], *model.known(memory, 0, T))
    _, moved = model.move(params, out["g"][:, 0], a)
    calls = {
        "activate": [params, out["g"][:, 0]],
        "activate_backward": [params, out["g"][:, 0], moved],
        "move": [params, out["g"][:, 0], a],
        "move_backward": [params, out["g"][:, 0], a, moved],
        "path_integrate": [params, walk.actions],
        "cue": [params, out["g"]],
        "remember_backward": [params, memory, memory_cache],
        "recall": [params, out["g"], *model.known(memory, 0, T)],
        "recall_backward": [params, r, *model.known(memory, 0, T), recalled],
        "decode": [params, r],
        "decode_backward": [params, out["logits"], r],
        "sense": [params, walk.observations],
        "sense_code": [C, S],
        "evaluate": [params, walk],
    }
    sizes = {"B": B, "T": T, "Q": Q, "n": T, "A": A, "G": G, "C": C, "S": S, "P": G * C}
    for name, arguments in calls.items():
        function = getattr(model, name)
        line = inspect.getsource(function).split('"""')[0]
        promised = re.search(r"# .*->[^(]*\(([A-Za-z, ]+)\)", line.replace("\n", " ")).group(1)
        result = function(*arguments)
        result = result[0] if isinstance(result, tuple) else result
        assert result.shape == tuple(sizes[axis] for axis in promised.replace(" ", "").split(",")), name


# ------------------------------------------------------------------------------------------------- path integration


@each_model
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_a_hundred_thousand_steps_neither_overflow_nor_vanish(model, activation):
    rng = np.random.default_rng(0)
    params = model.init_params(rng, 4, 5, 8, activation=activation)
    params["W"] = params["W"] * np.float32(3)  # far from a rotation: without norm, 3 ** 100000
    g, _ = model.path_integrate(params, np.c_[-1, rng.integers(4, size=(1, 99_999))])
    np.testing.assert_allclose(np.mean(g**2, axis=-1), 1, rtol=1e-5)


@given(data=st.data())
def test_norm_changes_no_prediction_of_temt(data):
    """f is positively homogeneous and keys are z-scored, so the scale of each g is lost in its cue."""
    params, walk, rng = data.draw(problems(temt))
    out = temt.forward(params, walk.actions, walk.observations)
    scaled = out["g"] * np.exp(rng.normal(size=(*walk.states.shape, 1)))
    memory, _ = temt.remember(params, scaled, out["x"])
    r, _ = temt.recall(params, scaled, *temt.known(memory, 0, walk.states.shape[1]))
    np.testing.assert_allclose(r, out["r"], rtol=1e-7, atol=1e-9)
    z = rng.normal(size=(3, len(params["g0"])))
    for scale in (1e-3, 0.3, 70.0):
        np.testing.assert_allclose(temt.activate(params, scale * z)[0], temt.activate(params, z)[0], rtol=1e-12)


# --------------------------------------------------------------------------------------------------- TEM-t's memory


@given(data=st.data())
def test_attention_is_the_formula(data):
    """softmax(beta log(1 + m) / sqrt(G) q . k) over the m earlier steps, as plain loops would have it."""
    params, walk, _ = data.draw(problems(temt))
    params["same"] = np.asarray(1.0)
    out = temt.forward(params, walk.actions, walk.observations)
    z = (out["g"] - out["g"].mean(-1, keepdims=True)) / np.maximum(out["g"].std(-1, keepdims=True), 1e-15)
    for b, t in np.ndindex(*walk.states.shape):
        match = [
            z[b, t] @ z[b, s] * np.exp(params["log_beta"]) * np.log(1 + t) / np.sqrt(z.shape[-1]) for s in range(t)
        ]
        weights = np.exp(np.array(match) - max(match, default=0))
        np.testing.assert_allclose(out["weights"][b, t, :t], weights / weights.sum(), rtol=1e-6, atol=1e-12)
        assert (out["weights"][b, t, t:] == 0).all()


@given(data=st.data())
def test_beta_to_infinity_recalls_the_best_match(data):
    params, walk, rng = data.draw(problems(temt))
    (B, n), G = walk.states.shape, len(params["g0"])
    past, g = rng.normal(size=(B, n, G)), rng.normal(size=(B, 1, G))
    memory, _ = temt.remember(params, past, temt.sense(params, walk.observations))
    best = np.einsum("bqg,bng->bqn", temt.cue(params, g)[0], memory["key"]).argmax(axis=-1)
    sharp = {**params, "log_beta": np.asarray(np.log(1e9))}
    r, _ = temt.recall(sharp, g, memory, np.ones((1, n), int))
    if G > 2:  # two z-scored units are always (1, -1) or (-1, 1): ties
        np.testing.assert_allclose(r, np.take_along_axis(memory["value"], best[..., None], axis=1), atol=1e-6)


# ---------------------------------------------------------------------------------------------------------- learning


@each_model
def test_adam_is_the_published_rule_on_clipped_gradients(model):
    rng = np.random.default_rng(0)
    params, state = {"a": rng.normal(size=3), "b": rng.normal(size=(2, 2)), "fixed": np.array(2.0)}, {}
    want, m, v = {k: params[k].copy() for k in "ab"}, {"a": 0, "b": 0}, {"a": 0, "b": 0}
    for t in range(1, 6):
        grads = {k: t * rng.normal(size=params[k].shape) for k in "ab"}
        size = np.sqrt((grads["a"] ** 2).sum() + (grads["b"] ** 2).sum())
        params, state = model.adam(params, grads, state, rate=0.01, clip=2.0)
        for k in "ab":
            d = grads[k] * min(1, 2.0 / size)
            m[k], v[k] = 0.9 * m[k] + 0.1 * d, 0.999 * v[k] + 0.001 * d**2
            want[k] = want[k] - 0.01 * m[k] / (1 - 0.9**t) / (np.sqrt(v[k] / (1 - 0.999**t)) + 1e-8)
            np.testing.assert_allclose(params[k], want[k], rtol=1e-10)
    assert params["fixed"] == 2.0


@each_model
def test_linear_units_are_moved_by_rotations_from_first_to_last(model):
    """Which keeps every singular value at 1; rectified units are free."""
    rng = np.random.default_rng(0)
    for activation in ("linear", "relu"):
        params = model.init_params(rng, 4, 10, 16, activation=activation)
        params, _ = model.train(rng, envs.grid(3), params, 60, 8, 20, quiet=True)
        worst = abs(np.linalg.svd(params["W"], compute_uv=False) - 1).max()
        assert worst < 1e-3 if activation == "linear" else worst > 0.05


@given(st.integers(2, 8), st.floats(0.02, 0.2), st.integers(0, 2**32 - 1))
def test_newton_schulz_moves_singular_values_as_the_docstring_says(G, size, seed):
    W = np.eye(G) + size * np.random.default_rng(seed).normal(size=(2, G, G)) / np.sqrt(G)
    u, s, vt = np.linalg.svd(W)
    np.testing.assert_allclose(temt.nearer_rotation(W), u * (s * (3 - s**2) / 2)[:, None] @ vt, atol=1e-12)


@each_model
def test_same_seed_same_numbers_and_other_seed_others(model):
    def learn(seed):
        rng = np.random.default_rng(seed)
        params, history = model.train(rng, envs.ring(5), model.init_params(rng, 2, 5, 8), 4, 3, 14, quiet=True)
        return params["W"], history["loss"]

    (first, loss), (again, loss_again), (other, _) = learn(0), learn(0), learn(1)
    assert (first == again).all()
    assert loss == loss_again
    assert not np.allclose(first, other)


@each_model
def test_walks_grow_and_worlds_take_turns(model, monkeypatch):
    drawn, walk = [], envs.walk
    monkeypatch.setattr(
        envs, "walk", lambda rng, world, B, T, S: drawn.append((world.n_states, T)) or walk(rng, world, B, T, S)
    )
    rng = np.random.default_rng(0)
    worlds, params = [envs.grid(2), envs.grid(3)], model.init_params(rng, 4, 5, 6)
    _, history = model.train(rng, worlds, params, updates=10, batch=2, steps=20, growth=0.4, quiet=True)
    assert [n for n, _ in drawn] == [4, 9] * 5
    assert [T for _, T in drawn] == history["steps"] == [12, 14, 16, 18] + [20] * 6


@each_model
def test_an_interrupted_training_keeps_what_it_has_learned(model, monkeypatch, capsys):
    calls, gradients = [], model.gradients

    def interrupted(*args, **options):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return gradients(*args, **options)

    monkeypatch.setattr(model, "gradients", interrupted)
    rng = np.random.default_rng(0)
    start = model.init_params(rng, 2, 5, 8)
    params, history = model.train(rng, envs.ring(5), start, updates=50, batch=2, steps=12, quiet=True)
    assert [len(values) for values in history.values()] == [3, 3, 3]
    assert not (params["W"] == start["W"]).all()
    assert "interrupted after 3 updates" in capsys.readouterr().out


@each_model
def test_the_progress_bar_is_silent_when_asked(model, capfd):
    rng = np.random.default_rng(0)
    for quiet in (True, False):
        model.train(rng, envs.ring(5), model.init_params(rng, 2, 5, 8), 2, 2, 12, quiet=quiet)
        assert ("2/2" in capfd.readouterr().err) is not quiet


@each_model
def test_learning_on_a_small_world_reaches_worlds_never_seen(model):
    """4 x 4 grid, 20 kinds, a few seconds: beats the edge agent, and knows edges that were never taken."""
    rng, world = np.random.default_rng(0), envs.grid(4)
    params, _ = model.train(rng, world, model.init_params(rng, 4, 20, 48), 800, 16, 32, quiet=True)
    walk = envs.walk(rng, world, 200, 32, 20)
    revisits, zero_shot = envs.accuracy(model.evaluate(params, walk), walk)
    assert revisits >= 0.98
    assert zero_shot >= 0.97
    assert envs.accuracy(envs.edge_agent(walk, 20), walk)[0] < 0.6


# --------------------------------------------------------------------------------------- files and what is not allowed


@each_model
def test_what_is_saved_is_loaded_to_the_last_bit_and_without_pickle(model, tmp_path):
    params = model.init_params(np.random.default_rng(0), 4, 5, 6, activation="relu")
    model.save(tmp_path / "any name", params)
    loaded = model.load(tmp_path / "any name")
    assert loaded.keys() == params.keys()
    assert all((loaded[k] == v).all() and loaded[k].dtype == v.dtype for k, v in params.items())
    with np.load(tmp_path / "any name", allow_pickle=False) as file:
        assert set(file.files) == set(params)


@each_model
@pytest.mark.parametrize("content", ["missing", "empty", "text", "other", "shapes", "pickle", "folder", "array"])
def test_files_that_are_not_ours_are_refused(model, content, tmp_path):
    path, params = tmp_path / "file.npz", model.init_params(np.random.default_rng(0), 4, 5, 6)
    if content == "folder":
        path.mkdir()
    elif content == "array":
        with open(path, "wb") as file:
            np.save(file, np.zeros(3))
    elif content in ("empty", "text"):
        path.write_text("" if content == "empty" else "W = 3")
    elif content == "other":
        np.savez(path, a=np.zeros(3))
    elif content == "shapes":
        np.savez(path, **{**params, "W": params["W"][:, :3]})
    elif content == "pickle":
        np.savez(path, **{**params, "W": np.array([None, "x"], object)})
    with pytest.raises(FileNotFoundError if content == "missing" else ValueError, match=r"file\.npz"):
        model.load(path)


@each_model
def test_bad_walks_are_named(model):
    rng = np.random.default_rng(0)
    params, walk = model.init_params(rng, 4, 5, 6), envs.walk(rng, envs.grid(2), 2, 6, 5)
    a, o, revisit = walk.actions, walk.observations, walk.revisit

    def changed(array, at, value):
        array = array.copy()
        array[at] = value
        return array

    for arguments, message in (
        ((a[0], o[0]), r"actions must be a non-empty \(B, T\) array of integers, got int64 \(6,\)"),
        ((a.tolist(), o), r"actions must be .* got \[\[-1, "),
        ((a.astype(float), o), "actions must be .* got float64"),
        ((a[:0], o[:0]), r"actions must be a non-empty .*\(0, 6\)"),
        ((a, o[:, :3]), r"observations must have the shape of actions \(2, 6\), got \(2, 3\)"),
        ((a, o * np.nan), "observations must be .* integers, got float64"),
        ((changed(a, (0, 0), 2), o), "actions must be -1 at step 0"),
        ((changed(a, (1, 3), 4), o), r"actions must lie in 0..3, got \d..4"),
        ((changed(a, (1, 3), -1), o), "actions must lie in 0..3, got -1"),
        ((a, changed(o, (0, 0), 5)), r"observations must lie in 0..4, got \d..5"),
        ((a, changed(o, (0, 0), -1)), "observations must lie in 0..4, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            model.forward(params, *arguments)
        with pytest.raises(ValueError, match=message):
            model.gradients(params, *arguments, revisit)
    with pytest.raises(ValueError, match=r"revisit must have the shape of actions \(2, 6\), got \(2, 5\)"):
        model.gradients(params, a, o, revisit[:, 1:])
    with pytest.raises(ValueError, match=r"params\['W'\] must be finite, got NaN or infinity"):
        model.forward({**params, "W": changed(params["W"], (0, 0, 0), np.nan)}, a, o)


@each_model
def test_bad_settings_are_named(model):
    rng = np.random.default_rng(0)
    params = model.init_params(rng, 4, 5, 6)
    for call, message in (
        (lambda: model.init_params(rng, 4, 5, activation="tanh"), "activation must be one of .*, got 'tanh'"),
        (lambda: model.init_params(rng, 4, 45, C=9), "C must be n_obs = 45 .* got 9"),
        (lambda: model.init_params(rng, 0, 5), "n_actions must be an integer of at least 1, got 0"),
        (lambda: model.init_params(rng, 4, 5, G=0), "G must be an integer of at least 1, got 0"),
        (lambda: model.train(rng, envs.ring(5), params), r"worlds must each have the 4 actions of params, got \[2\]"),
        (lambda: model.train(rng, [], params), r"worlds must each have the 4 actions of params, got \[\]"),
        (lambda: model.train(rng, envs.grid(2), params, updates=-1), "updates must be an integer of at least 0"),
        (lambda: model.train(rng, envs.grid(2), params, batch=0, quiet=True), "batch must be an integer of at least 1"),
        (lambda: model.train(rng, envs.grid(2), params, steps=0, quiet=True), "steps must be an integer of at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
