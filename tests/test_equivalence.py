"""The ladder from Hebb to softmax (notebooks/03_from_hebb_to_attention.ipynb): one property test a rung.

Where a rung is an identity, it is tested forward and for gradients, in float64, on drawn sizes and hyperparameters.
Each rung is a function that yields (what, one side, the other side), and takes one keyword that breaks it on purpose:
test_a_broken_rung_is_found. The worst relative error of every rung is printed at the end of the run.
"""

import ast
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from checks import Problem, derivative, problems
from hypothesis import given
from hypothesis import strategies as st

import envs
import tem
import temt

FORWARD, GRADIENT = 1e-10, 1e-8
WORST = {}


def compare(rung, sides):
    """Both sides of each claim agree; keeps the worst relative error of each."""
    for what, left, right in sides:
        left, right = np.asarray(left), np.asarray(right)
        assert left.shape == right.shape
        error = np.linalg.norm(left - right) / max(np.linalg.norm(right), np.linalg.norm(left), 1e-300)
        key = f"rung {rung}, {what}"
        WORST[key] = max(WORST.get(key, 0), error)
        assert error <= (GRADIENT if "gradient" in what else FORWARD), key


@st.composite
def stored(draw, linear=False):
    """TEM's memory of a few pairs on a walk, position and sense codes generic; and its parameters."""
    B, n, G, C = draw(st.integers(1, 3)), draw(st.integers(2, 8)), draw(st.integers(2, 6)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    options = {"eta": draw(st.floats(0.05, 1.5)), "lam": draw(st.floats(0.3, 1)), "same": 1.0}
    if not linear:
        options |= {"K": draw(st.integers(1, 4)), "kappa": draw(st.floats(0.1, 1.2)), "squash": draw(st.booleans())}
    params = tem.init_params(rng, 2, C, G, C, dtype=np.float64, **options)
    return params, rng.normal(size=(B, n, G)), rng.normal(size=(B, n, C)), rng


def both_ways(params):
    return {**params, "hebbian": np.array(1.0)}, {**params, "hebbian": np.array(0.0)}


def read_and_back(params, g, x, q, da, remember=tem.remember):
    """h M of every step for cues q, and the gradients of <h M, da> for q, g and log_eta."""
    memory, cache = remember(params, g, x)
    _, age = tem.known(memory, 0, g.shape[1])
    a, associated = tem.associate(params, q, memory, age)
    dq, dmemory, dparams = tem.associate_backward(params, da, memory, age, associated)
    dg, dstore = tem.remember_backward(params, dmemory, cache)
    return a, dq, dg, dparams.get("log_eta", 0) + dstore.get("log_eta", 0)


# ------------------------------------------------------------------------------------------------------------ rungs


def rung_1(params, g, x, rng, exponent=-1):
    """q M_t = sum over tau < t of eta lam^(t - 1 - tau) (q . p_tau) p_tau: recall is linear attention, K = V = P."""
    hebbian, attention = both_ways(params)
    p = tem.remember(attention, g, x)[0]["p"]
    q, da = rng.normal(size=p.shape), rng.normal(size=p.shape)
    eta, lam, n = np.exp(params["log_eta"]), params["lam"], g.shape[1]
    plain = np.zeros_like(q)
    for t in range(n):
        for tau in range(t):
            overlap = np.einsum("bp,bp->b", q[:, t], p[:, tau])[:, None]
            plain[:, t] += eta * lam ** (t + exponent - tau) * overlap * p[:, tau]
    there, back = read_and_back(hebbian, g, x, q, da), read_and_back(attention, g, x, q, da)
    yield "forward, against a plain sum", there[0], plain
    yield "forward", there[0], back[0]
    for name, one, other in zip(("cue", "g", "log eta"), there[1:], back[1:]):
        yield f"gradient of {name}", one, other


def rung_2(params, g, x, rng, kappa=None):
    """K attractor steps are K linear-attention layers with f_p and a kappa-residual between them."""
    sides = []
    for side in both_ways(params):
        side = {**side, "kappa": params["kappa"] if kappa is None or side["hebbian"] else kappa}
        memory, cache = tem.remember(side, g, x)
        _, age = tem.known(memory, 0, g.shape[1])
        r, recalled = tem.recall(side, g, memory, age)
        dr = np.random.default_rng(0).normal(size=r.shape)
        dg, dmemory, dparams = tem.recall_backward(side, dr, memory, age, recalled)
        dg_stored, dstore = tem.remember_backward(side, dmemory, cache)
        sides.append((recalled["h"][:, 1:], r, dg + dg_stored, dparams.get("log_eta", 0) + dstore.get("log_eta", 0)))
    yield from zip(("h_K", "r", "gradient of g"), *sides)
    if params["squash"] or params["kappa"] or params["K"] > 1:  # else r is blind to eta, and its gradient is rounding
        scale = np.linalg.norm(sides[0][2])
        yield "gradient of log eta", [sides[0][3], scale], [sides[1][3], scale]


def rung_3(problem, lam=None):
    """The whole loss and all its gradients are the same through M over time and through attention."""
    hebbian, attention = both_ways(problem.params)
    attention["lam"] = attention["lam"] if lam is None else np.asarray(lam)
    (loss, grads, _), (other_loss, other_grads, _) = (
        tem.gradients(p, *problem.data, 100) for p in (hebbian, attention)
    )
    yield "loss", loss, other_loss
    size = np.sqrt(sum(np.sum(d**2) for d in grads.values()))
    for name in grads:
        yield "gradient", np.r_[grads[name].ravel(), size], np.r_[other_grads[name].ravel(), size]


def rung_4(params, g, x, rng, ones=1.0):
    """q . p_tau = (g_t . g_tau) (1 . x_tau): the conjunction factorises."""
    q, cue_cache = tem.cue(params, g)
    memory, cache = tem.remember(params, g, x)
    scores = q @ memory["p"].swapaxes(1, 2)
    kernel, total = g @ g.swapaxes(1, 2), (x.sum(axis=-1) if ones else np.ones(x.shape[:2]))[:, None]
    yield "forward", scores, kernel * total
    ds = rng.normal(size=scores.shape)
    dg = tem.cue_backward(params, ds @ memory["p"], cue_cache)
    dg = dg + tem.remember_backward(params, {"p": ds.swapaxes(1, 2) @ q}, cache)[0]
    weighted = ds * total
    yield "gradient of g", dg, weighted @ g + weighted.swapaxes(1, 2) @ g


def rung_5(params, g, x, rng, power=2):
    """With h = q M: summed over G it is (g_t G^T) L_x L_g X; contracted with g_t, the kernel (g_t . g_tau)^2 L_x X."""
    n, eta = g.shape[1], np.exp(params["log_eta"])
    age = np.subtract.outer(np.arange(n), np.arange(n))
    w = np.where(age > 0, eta * params["lam"] ** np.maximum(age - 1, 0), 0)

    def summed(g):
        L_x, L_g = x.sum(axis=-1)[:, None], g.sum(axis=-1)[:, None]
        return (w * (g @ g.swapaxes(1, 2)) * L_x * L_g) @ x

    def contracted(g):
        return (w * (g @ g.swapaxes(1, 2)) ** power * x.sum(axis=-1)[:, None]) @ x

    memory, cache = tem.remember(params, g, x)
    r, recalled = tem.recall(params, g, memory, age)
    yield "summed over G, forward", recalled["h"].sum(axis=2), summed(g)
    u = contracted(g)
    size = np.sqrt((u**2).sum(axis=-1, keepdims=True))
    yield "contracted with g, forward", r, np.divide(u, size, out=np.zeros_like(u), where=size > 0)

    dr, v = rng.normal(size=r.shape), rng.normal(size=g.shape)
    dg, dmemory, _ = tem.recall_backward(params, dr, memory, age, recalled)
    dg = dg + tem.remember_backward(params, dmemory, cache)[0]

    def read_out(g):
        u = contracted(g)
        return np.sum(dr[:, 1:] * u[:, 1:] / np.sqrt((u[:, 1:] ** 2).sum(axis=-1, keepdims=True)))

    scale = np.linalg.norm(dr) * np.linalg.norm(v)
    yield "contracted with g, gradient of g", [np.sum(dg * v), scale], [derivative(read_out, g, v), scale]


def rung_7(params, K, xi, beta_sign=1):
    """With V = K one step of TEM-t is the update of a modern Hopfield network [R21, eq. 3]."""
    memory, age = {"key": K, "value": K}, np.ones((1, K.shape[1]), int)
    step, cache = temt.associate(params, xi, memory, age)
    beta = beta_sign * cache["scale"]
    e = np.exp(beta * (xi @ K.swapaxes(1, 2)))
    yield "forward", step, (e / e.sum(axis=-1, keepdims=True)) @ K


def rung_9(g, x, c, rng, product=True):
    """(g (x) x (x) 1) . (G (x) X (x) C) = (g . G) (x . X) (1 . C): recall of c from g and x multiplies two matches."""
    n = g.shape[1]

    def triple(g, x, c):
        return np.einsum("bng,bnx,bnc->bngxc", g, x, c).reshape(*g.shape[:2], -1)

    scores = triple(g, x, np.ones_like(c)) @ triple(g, x, c).swapaxes(1, 2)
    matches = (g @ g.swapaxes(1, 2)), (x @ x.swapaxes(1, 2))
    yield "forward", scores, (matches[0] * matches[1] if product else matches[0] + matches[1]) * c.sum(axis=-1)[:, None]
    e, both = [np.exp(m / np.sqrt(n)) for m in matches], np.exp((matches[0] + matches[1]) / np.sqrt(n))
    weights = both / both.sum(axis=-1, keepdims=True)
    yield "softmax of a sum is a product of matches", weights, e[0] * e[1] / (e[0] * e[1]).sum(axis=-1, keepdims=True)


# ------------------------------------------------------------------------------------------------------------ tests


@given(stored())
def test_rung_1_hebbian_recall_is_linear_attention(drawn):
    compare(1, rung_1(*drawn))


@given(stored())
def test_rung_2_attractor_steps_are_attention_layers(drawn):
    compare(2, rung_2(*drawn))


@given(problems(tem))
def test_rung_3_gradients_through_M_and_through_attention_are_the_same(problem):
    compare(3, rung_3(problem))


@given(stored())
def test_rung_4_the_conjunction_factorises(drawn):
    compare(4, rung_4(*drawn))


@given(stored(linear=True))
def test_rung_5_keys_are_positions_and_values_are_senses(drawn):
    compare(5, rung_5(*drawn))


def orthonormal(rng, n, G):
    """n positions at right angles to each other, and to (1, ..., 1) so that z-scoring leaves them so; rms 1."""
    basis, _ = np.linalg.qr(np.c_[np.ones(G), rng.normal(size=(G, n))])
    return np.sqrt(G) * basis.T[None, 1 : n + 1]


@given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_rung_6_softmax_meets_the_linear_kernel_on_orthonormal_positions_as_beta_grows(n, extra, seed):
    """Not an identity: a change of kernel. TEM recalls orthonormal places exactly, TEM-t ever better as beta grows."""
    rng = np.random.default_rng(seed)
    g, x, age = orthonormal(rng, n, n + extra), np.eye(n)[None], np.ones((n, n), int)
    params = tem.init_params(rng, 2, n, n + extra, n, dtype=np.float64, same=1.0)
    exact, _ = tem.recall(params, g, tem.remember(params, g, x)[0], age)
    np.testing.assert_allclose(exact, x, atol=1e-9)
    errors = []
    for beta in (0.5, 1, 2, 4, 8, 16, 32):
        params = temt.init_params(rng, 2, n, n + extra, dtype=np.float64, beta=beta)
        r, _ = temt.recall(params, g, temt.remember(params, g, x)[0], age)
        errors.append(np.abs(r - exact).max())
    assert all(after < before or after < 1e-12 for before, after in pairwise(errors))
    assert errors[-1] < 1e-8


@given(stored(linear=True), st.floats(0.1, 5))
def test_rung_6_with_one_memory_both_recall_it_whatever_the_positions(drawn, beta):
    tem_params, g, x, rng = drawn
    x, age = abs(x[:, :1]), np.ones((g.shape[1], 1), int)
    params = temt.init_params(rng, 2, x.shape[-1], g.shape[-1], dtype=np.float64, beta=beta)
    hard, _ = tem.recall(tem_params, g, tem.remember(tem_params, g[:, :1], x)[0], age)
    soft, _ = temt.recall(params, g, temt.remember(params, g[:, :1], x)[0], age)
    size = np.linalg.norm(x, axis=-1, keepdims=True)
    compare(
        6, [("one memory", hard, np.repeat(x / size, g.shape[1], 1)), ("one memory", soft, np.repeat(x, g.shape[1], 1))]
    )


@st.composite
def hopfield(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, G = draw(st.integers(1, 9)), draw(st.integers(2, 7))
    params = temt.init_params(rng, 2, 3, G, dtype=np.float64, beta=draw(st.floats(0.05, 5)))
    return params, rng.normal(size=(2, n, G)), draw(st.floats(0.1, 5)) * rng.normal(size=(2, 1, G))


@given(hopfield())
def test_rung_7_one_step_is_the_modern_hopfield_update_and_its_energy_never_rises(drawn):
    """E = |xi|^2 / 2 - log(sum(exp(beta K xi))) / beta."""
    params, K, xi = drawn
    compare(7, rung_7(params, K, xi))
    energies, age = [], np.ones((1, K.shape[1]), int)
    for _ in range(12):
        step, cache = temt.associate(params, xi, {"key": K, "value": K}, age)
        match = cache["scale"] * (xi @ K.swapaxes(1, 2))
        peak = match.max(axis=-1, keepdims=True)
        lse = (peak + np.log(np.exp(match - peak).sum(axis=-1, keepdims=True))) / cache["scale"]
        energies.append((xi**2).sum(axis=-1, keepdims=True) / 2 - lse)
        xi = step
    assert (np.diff(energies, axis=0) <= 1e-12 * np.abs(energies[0])).all()


@given(problems(temt))
def test_rung_8_weights_are_memory_neurons_and_their_network_settles_on_recall(problem):
    """[KH21] dm/dt = K q - m, dv/dt = X^T f(m) - v: one neuron a memory, keys its synapses in and values those out."""
    params, walk, _ = problem
    out = temt.forward({**params, "same": np.array(1.0)}, walk.actions, walk.observations)
    b, t = 0, walk.states.shape[1] - 1
    K, X, q = out["key"][b, :t], out["value"][b, :t], out["scaled"][b, t]
    m, v = np.zeros(t), np.zeros(X.shape[1])
    for _ in range(400):
        m, v = m + 0.1 * (K @ q - m), v + 0.1 * (X.T @ temt.softmax(m) - v)
    compare(8, [("settled", v, out["r"][b, t]), ("memory neurons", temt.softmax(m), out["weights"][b, t, :t])])


@given(st.integers(1, 3), st.integers(1, 6), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_rung_9_three_regions_cost_tem_a_product_and_temt_a_sum(B, n, size, seed):
    rng = np.random.default_rng(seed)
    g, x, c = (rng.normal(size=(B, n, size + i)) for i in range(3))
    compare(9, rung_9(g, x, c, rng))


@pytest.mark.parametrize(
    "broken", ["lam exponent", "kappa dropped", "lam dropped", "no (1 . x)", "power", "beta", "sum"]
)
def test_a_broken_rung_is_found(broken):
    """The comparison fails where the identity is broken on purpose: the tests above can fail."""
    rng = np.random.default_rng(3)
    params = tem.init_params(rng, 2, 4, 5, 4, dtype=np.float64, eta=0.7, lam=0.8, K=3, kappa=0.6, squash=True, same=1.0)
    linear = {**params, "K": np.array(1.0), "kappa": np.array(0.0), "squash": np.array(0.0)}
    g, x = rng.normal(size=(2, 6, 5)), rng.normal(size=(2, 6, 4))
    learnable = {**params, "W": rng.normal(size=(2, 5, 5))}
    broken_sides = {
        "lam exponent": lambda: rung_1(params, g, x, rng, exponent=0),
        "kappa dropped": lambda: rung_2(params, g, x, rng, kappa=np.array(0.0)),
        "lam dropped": lambda: rung_3(Problem(learnable, envs.walk(rng, envs.ring(4), 2, 12, 4), rng), lam=1.0),
        "no (1 . x)": lambda: rung_4(params, g, x, rng, ones=0.0),
        "power": lambda: rung_5(linear, g, x, rng, power=1),
        "beta": lambda: rung_7(temt.init_params(rng, 2, 4, 5, dtype=np.float64), g, g[:, :1], beta_sign=-1),
        "sum": lambda: rung_9(g, x, x, rng, product=False),
    }
    with pytest.raises(AssertionError, match="rung broken"):
        compare("broken", broken_sides[broken]())
    for key in [key for key in WORST if "broken" in key]:
        del WORST[key]


def test_M_is_symmetric_so_that_transposing_it_changes_nothing():
    rng = np.random.default_rng(0)
    params = tem.init_params(rng, 2, 4, 5, 4, dtype=np.float64, lam=0.8, hebbian=True)
    M = tem.remember(params, rng.normal(size=(2, 6, 5)), rng.normal(size=(2, 6, 4)))[0]["M"]
    np.testing.assert_allclose(M, M.swapaxes(2, 3), rtol=1e-12)


# -------------------------------------------------------------------------------------------- TEM's memory by itself


@given(stored())
def test_forgetting_weights_are_eta_lam_to_the_age(drawn):
    """lam^(age - 1), to be exact: what was stored in the last step is whole."""
    params, g, x, _ = drawn
    memory, _ = tem.remember(params, g, x)
    age = np.arange(g.shape[1])[None] + 1
    _, cache = tem.associate(params, tem.cue(params, g[:, :1])[0], memory, age)
    np.testing.assert_allclose(cache["w"][0], np.exp(params["log_eta"]) * params["lam"] ** (age[0] - 1.0))


@pytest.mark.parametrize("seed", range(5))
def test_scaling_the_cue_scales_a_linear_recall_and_not_an_attractor(seed):
    rng = np.random.default_rng(seed)
    g, x, age = rng.normal(size=(2, 6, 5)), np.eye(4)[rng.integers(4, size=(2, 6))], np.ones((1, 6), int)

    def h(g_asked, **options):
        params = tem.init_params(rng, 2, 4, 5, 4, dtype=np.float64, same=1.0, **options)
        return tem.recall(params, g_asked, tem.remember(params, g, x)[0], age)[1]["h"]

    np.testing.assert_allclose(h(3 * g), 3 * h(g))
    attractor = {"K": 3, "kappa": 0.8, "squash": True}
    assert np.linalg.norm(h(3 * g, **attractor) - 3 * h(g, **attractor)) > 0.1 * np.linalg.norm(h(g, **attractor))


@pytest.mark.parametrize("G", [4, 9, 16])
def test_capacity_is_exact_up_to_G_orthonormal_positions_and_breaks_beyond(G):
    """G orthonormal positions hold G memories without error; G + 1 cannot be orthonormal, and errors grow."""
    rng = np.random.default_rng(G)
    basis, wrong = np.linalg.qr(rng.normal(size=(G, G)))[0], []
    for n in (G, 4 * G, 16 * G):
        g = np.r_[basis, rng.normal(size=(n - G, G))][None] * np.sqrt(G)
        g /= np.sqrt((g**2).mean(axis=-1, keepdims=True))
        params = tem.init_params(rng, 2, n, G, n, dtype=np.float64, same=1.0)
        r, _ = tem.recall(params, g, tem.remember(params, g, np.eye(n)[None])[0], np.ones((n, n), int))
        wrong.append(np.abs(r - np.eye(n)).max())
        assert (r.argmax(axis=-1) == np.arange(n)).all()  # the best match is still itself,
    assert wrong[0] < 1e-9
    assert wrong[0] < wrong[1] < wrong[2]  # but an ever smaller part of what is recalled


# ------------------------------------------------------------------------------------------- the diff is the paper

MEMORY = ["init_memory", "cue", "cue_backward", "f_p", "f_p_backward", "remember", "remember_backward"]
MEMORY += ["associate", "associate_backward", "recall", "recall_backward", "locate", "locate_backward"]


def functions(file):
    """Name -> source, to the letter, of every function of a file, in order; and the rest, but for the title."""
    source = (Path(tem.__file__).parent / file).read_text()
    nodes = ast.parse(source).body[1:]
    parts = {node.name: ast.get_source_segment(source, node) for node in nodes if isinstance(node, ast.FunctionDef)}
    rest = [ast.get_source_segment(source, node) for node in nodes if not isinstance(node, ast.FunctionDef)]
    return parts, rest


def test_the_diff_is_the_paper():
    """tem.py and temt.py hold the same functions in the same order; outside the memory they are equal to the letter."""
    (ours, rest), (theirs, other_rest) = functions("tem.py"), functions("temt.py")
    assert list(ours) == list(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == MEMORY
    names = list(ours)
    assert names[names.index(MEMORY[0]) : names.index(MEMORY[-1]) + 1] == MEMORY
    assert [line.split(" = ")[0] for line in rest if line not in other_rest] == ["NAME, SENSES"]
    assert len(rest) == len(other_rest)
