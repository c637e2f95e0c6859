"""The gradients written by hand are those that autograd finds, in PyTorch and in JAX, where these are installed."""

import sys
from pathlib import Path

import numpy as np
import pytest
from checks import MODELS, agree, generic

import envs

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmarks"))
import autograd

each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


@pytest.fixture(params=["torch", "jax"])
def gradients_by(request):
    """in_torch or in_jax, with float64 to be had."""
    library = pytest.importorskip(request.param)
    if request.param == "torch":
        yield autograd.in_torch
    else:
        library.config.update("jax_disable_most_optimizations", True)  # most of the time would go into compiling
        with library.enable_x64(True):
            yield autograd.in_jax


def check_agreement(gradients_by, model, params, walk, tolerance):
    """Loss and every gradient; errors are measured against the whole gradient, since TEM's eta may have none."""
    loss, grads, _ = model.gradients(params, walk.actions, walk.observations, walk.revisit)
    loss_found, found = gradients_by(model, params, walk)()
    agree(loss, float(loss_found), tolerance)
    scale = np.sqrt(sum(np.sum(d**2) for d in grads.values()))
    assert scale > 0
    assert found.keys() == grads.keys()
    for name, d in grads.items():
        assert str(found[name].dtype).endswith(str(d.dtype))
        agree(np.asarray(found[name]), d, tolerance, scale)


SIZES = {"linear": (1.0, 2, 8, 5, 2, 2, 1.0), "relu": (0.0, 3, 12, 6, 6, 4, 0.3), "leaky": (0.3, 1, 11, 4, 5, 5, 0.9)}


@each_model
@pytest.mark.parametrize(("leak", "B", "T", "G", "S", "C", "same"), SIZES.values(), ids=SIZES)
def test_autograd_finds_our_gradients(gradients_by, monkeypatch, model, leak, B, T, G, S, C, same):
    """Generic float64; 5 queries in a block, so that several blocks are joined."""
    monkeypatch.setattr(autograd, "BLOCK", 5)
    rng = np.random.default_rng(0)
    params = generic(model.init_params(rng, 2, S, G, C, dtype=np.float64, same=same), rng)
    params |= {name: np.asarray(value) for name, value in {"leak": leak, "lam": 0.8}.items() if name in params}
    check_agreement(gradients_by, model, params, envs.walk(rng, envs.ring(4), B, T, S), 1e-10)


@each_model
def test_autograd_finds_our_gradients_in_float32(gradients_by, model):
    """As in training. Rounding, 6e-8, grows over the steps that it is carried through."""
    rng = np.random.default_rng(1)
    params = model.init_params(rng, 4, 9, 16)
    check_agreement(gradients_by, model, params, envs.walk(rng, envs.grid(4), 4, 70, 9), 1e-5)
