"""What the tests share: drawn problems of generic numbers, and derivatives exact to rounding.

A problem is a model's parameters and B walks, in float64. Sizes, hyperparameters and a seed are drawn by Hypothesis and
everything else is generic normals: nothing is 0 or 1 by habit, where a forgotten factor would not show.
"""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

import envs
import tem
import temt

MODELS = [tem, temt]


class Problem(NamedTuple):
    params: dict
    walk: envs.Walk
    rng: np.random.Generator

    @property
    def data(self):
        return self.walk.actions, self.walk.observations, self.walk.revisit


def memory_options(model, draw):
    """Hyperparameters of a model's own memory, drawn."""
    same = draw(st.sampled_from([1.0, 0.9, 0.3]))
    if model is temt:
        return {"beta": draw(st.floats(0.2, 4)), "same": same}
    attractor = {"K": draw(st.integers(1, 4)), "kappa": draw(st.floats(0, 1.2)), "squash": draw(st.booleans())}
    return {"eta": draw(st.floats(0.05, 1.5)), "lam": draw(st.floats(0.3, 1)), "same": same, **attractor}


def generic(params, rng):
    """The same parameters with every array replaced by normals of a sensible size; the scalars stay."""
    size = {"W": 1 / np.sqrt(len(params["g0"]))}
    return {k: v if v.ndim == 0 else size.get(k, 1.0) * rng.normal(size=v.shape) for k, v in params.items()}


@st.composite
def problems(draw, model, max_B=4, max_T=9):
    """A model with generic parameters, and walks on a small world of few kinds of observation."""
    world = draw(st.sampled_from([envs.grid(2, 3), envs.grid(2, 2, torus=True), envs.ring(4), envs.hexagon(2)]))
    B, T, G = draw(st.integers(1, max_B)), draw(st.integers(1, max_T)), draw(st.integers(5, 9))
    S, C = draw(st.sampled_from([(2, 2), (5, 5), (3, 3), (6, 4), (5, 4)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    params = model.init_params(rng, world.n_actions, S, G, C, dtype=np.float64, **memory_options(model, draw))
    params["leak"] = np.asarray(draw(st.sampled_from([0.0, 1.0, 0.3])))
    return Problem(generic(params, rng), envs.walk(rng, world, B, T, S), rng)


def derivative(f, x, v, eps=1e-30):
    """d f(x + h v) / dh at h = 0, by a complex step: exact to rounding, for f analytic at x."""
    return np.imag(f(x + 1j * eps * v)) / eps


def agree(got, want, tolerance, scale=None):
    """|got - want| <= tolerance * scale, the scale being |want| unless a natural one is given (never 1 by habit)."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert np.linalg.norm(got - want) <= tolerance * (np.linalg.norm(want) if scale is None else scale)


def check_backward(rng, forward, backward, *inputs, tolerance=1e-9):
    """<dout, J v> must equal <backward(dout), v> for each input along a random direction v.

    forward(*inputs) -> out; backward(dout) -> the gradient of each input in turn. Errors are measured against
    |dout| |v|: a derivative may be 0, as that of a softmax over one memory is.
    """
    dout = rng.normal(size=forward(*inputs).shape)
    gradients = backward(dout)
    assert len(gradients) == len(inputs)
    for i, (x, dx) in enumerate(zip(inputs, gradients)):
        assert dx.shape == np.shape(x)
        v = rng.normal(size=np.shape(x))
        along = derivative(lambda x, i=i: forward(*inputs[:i], x, *inputs[i + 1 :]), x, v)
        agree(np.sum(dx * v), np.sum(dout * along), tolerance, scale=np.linalg.norm(dout) * np.linalg.norm(v))


def check_gradients(rng, loss, params, grads, tolerance=1e-9):
    """Every gradient, each along a random direction of its own, and all of them along a joint one.

    Errors are measured against the whole gradient: one parameter's part may be 0, as W's is where all that was seen
    is the same.
    """
    directions = {name: rng.normal(size=params[name].shape) for name in grads}
    wavy = {name: np.asarray(value, complex) if name in grads else value for name, value in params.items()}
    scale = np.sqrt(sum(np.sum(d**2) for d in grads.values()))
    for names in [*([name] for name in grads), list(grads)]:

        def along(h, names=names):
            return loss({**wavy, **{name: params[name] + h * directions[name] for name in names}})

        agree(sum(np.sum(grads[k] * directions[k]) for k in names), derivative(along, 0, 1), tolerance, scale)
