"""What `temt.gradients` and `tem.gradients` compute, in PyTorch and in JAX: forward by hand, gradients by autograd.

    run = in_jax(temt, params, walk)  # everything is converted and placed here, once
    loss, grads = run()  # arrays of the library

They are written for speed, as a careful user would: every move of every walk in one product, of which a one-hot mask
keeps each walk's own (gathered weights are slower); attention that skips what causality masks, by a fused kernel or in
blocks of queries. TEM-t for any memory; TEM for one step of recall without f_p (K = 1, kappa = 0, squash off), its
default. What is new (see is_new) takes no part in the gradients: it is given, and so costs them nothing.

Glossary: as in temt.py. batch: what does not depend on the parameters, or takes no part in the gradients.
"""

import numpy as np

import temt

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None
try:
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = None

LEARNED = ("W", "g0", "D", "b", "log_beta", "log_eta")
EPS = temt.EPS
BLOCK = 64  # queries at once


def prepare(model, params, walk):  # -> batch {name: array}
    """One-hot moves (T, B, A), senses x (B, T, C), observations and weight (B, T); and from age, by query and memory,
    mask (age > 0), some (any is), decay (lam^(age - 1)) and sharp (log(1 + m) / sqrt(G)).
    """
    dtype, x = params["D"].dtype, model.sense(params, walk.observations)
    moves = np.eye(len(params["W"]), dtype=dtype)[walk.actions.T]
    new = model.is_new(params, model.path_integrate(params, walk.actions)[0], x)
    _, age = model.known({"new": new}, 0, new.shape[1])
    m = (age > 0).sum(axis=-1, keepdims=True)
    decay = np.where(age > 0, params.get("lam", dtype.type(1)) ** np.maximum(age - 1, 0).astype(dtype), 0)
    weight = (walk.revisit / max(1, walk.revisit.sum())).astype(dtype)
    batch = {"moves": moves, "x": x, "observations": walk.observations, "weight": weight, "mask": age > 0}
    sharp = (np.log1p(m) / np.sqrt(params["W"].shape[-1])).astype(dtype)
    return {**batch, "some": (m > 0).astype(dtype), "decay": decay.astype(dtype), "sharp": sharp}


def tem_recall(params, g, batch):  # (B, T, G) -> blocks of r, each (B, Q, C); operators alone, so for either library
    """tem.recall for K = 1: h = g (x) 1, p = g (x) x, u = sum over g of g ((w * (h p^T)) p), r = u / |u|."""
    (B, T, G), x, eta = g.shape, batch["x"], params["eta"]
    p, h = ((g[..., None] * y[:, :, None]).reshape(B, T, -1) for y in (x, x * 0 + 1))
    blocks = []
    for start in range(0, T, BLOCK):
        stop = min(start + BLOCK, T)
        weights = eta * batch["decay"][..., start:stop, :stop] * (h[:, start:stop] @ p[:, :stop].mT)
        hM = (weights @ p[:, :stop]).reshape(B, stop - start, G, -1)
        u = batch["some"][..., start:stop, :] * (g[:, start:stop, None] @ hM)[:, :, 0]
        blocks.append(u / ((u * u).sum(axis=-1)[..., None] + EPS) ** 0.5)
    return blocks


# ----------------------------------------------------------------------------------------------------- PyTorch


def torch_steps(g, W, moves, leak):  # (B, G), (G, A G), (t, B, A) -> (t, B, G)
    """t moves from g: norm(f(g W_a)), of every move a, times a one-hot mask."""
    (B, G), gs = g.shape, []
    for move in moves:
        z = ((g @ W).view(B, -1, G) * move[..., None]).sum(dim=1)
        g = F.rms_norm(z if leak == 1 else F.leaky_relu(z, leak), (G,), eps=EPS)
        gs.append(g)
    return torch.stack(gs)


def torch_path(params, batch, leak, steps, chunk):  # -> (B, T, G)
    """path_integrate; `chunk` moves in each call of `steps`."""
    moves, g0, (A, G, _) = batch["moves"], params["g0"], params["W"].shape
    W = params["W"].transpose(0, 1).reshape(G, A * G)
    gs = [F.rms_norm(g0 if leak == 1 else F.leaky_relu(g0, leak), (G,), eps=EPS).expand(1, moves.shape[1], G)]
    for start in range(1, len(moves), chunk):
        gs.append(steps(gs[-1][-1], W, moves[start : start + chunk], leak))
    return torch.cat(gs).transpose(0, 1)


def torch_temt_recall(params, g, batch):  # (B, T, G) -> (B, T, C)
    """Step t recalls the steps before it: queries 1..T-1 and keys 0..T-2 are causal attention, and step 0 has none."""
    x, G = batch["x"], g.shape[-1]
    q = F.layer_norm(g, (G,), eps=EPS)
    scaled, value = torch.exp(params["log_beta"]) * batch["sharp"] * q, F.pad(x, (0, max(0, G - x.shape[-1])))
    q, scaled, value = (m[:, None] for m in (q[:, :-1], scaled[:, 1:], value[:, :-1]))
    mask = {"is_causal": True} if batch["mask"].ndim == 2 else {"attn_mask": batch["mask"][:, None, 1:, :-1]}
    r = F.scaled_dot_product_attention(scaled, q, value, scale=1.0, **mask)[:, 0, :, : x.shape[-1]]
    return F.pad(r, (0, 0, 1, 0))


def torch_loss(recall, params, g, batch):  # -> scalar
    logits = recall(params, g, batch) @ params["D"] + params["b"]
    losses = F.cross_entropy(logits.flatten(0, 1), batch["observations"].flatten(), reduction="none")
    return batch["weight"].flatten() @ losses


def torch_tem_recall(params, g, batch):  # (B, T, G) -> (B, T, C)
    return torch.cat(tem_recall({"eta": torch.exp(params["log_eta"])}, g, batch), dim=1)


def in_torch(model, params, walk, compiled=False):  # -> run() -> loss, {name: gradient}
    """Eager; or compiled, 16 moves at a time (all of them unrolled take many minutes to compile)."""
    batch = {name: torch.tensor(value) for name, value in prepare(model, params, walk).items()}
    learned = {name: torch.tensor(params[name], requires_grad=True) for name in LEARNED if name in params}
    leak, recall = float(params["leak"]), torch_temt_recall if model is temt else torch_tem_recall
    steps, loss, chunk = torch_steps, torch_loss, len(batch["moves"])
    if compiled:
        steps, loss, chunk = torch.compile(torch_steps), torch.compile(torch_loss), 16

    def run():
        value = loss(recall, learned, torch_path(learned, batch, leak, steps, chunk), batch)
        return value.detach(), dict(zip(learned, torch.autograd.grad(value, [*learned.values()])))

    return run


# --------------------------------------------------------------------------------------------------------- JAX


def jax_norm(z):  # (..., G) -> (..., G)
    return z / jnp.sqrt((z * z).mean(axis=-1, keepdims=True) + EPS)


def jax_path(params, batch, leak):  # -> (B, T, G)
    """path_integrate as a scan: unrolled, it is not faster and takes half a minute to compile."""
    moves, (A, G, _) = batch["moves"], params["W"].shape
    B, W = moves.shape[1], params["W"].swapaxes(0, 1).reshape(G, A * G)

    def activate(z):
        return jax_norm(z if leak == 1 else jnp.maximum(z, leak * z))

    def step(g, move):
        g = activate(((g @ W).reshape(B, A, G) * move[..., None]).sum(axis=1))
        return g, g

    g0 = jnp.broadcast_to(activate(params["g0"]), (B, G))
    return jnp.concatenate([g0[None], jax.lax.scan(step, g0, moves[1:])[1]]).swapaxes(0, 1)


def jax_temt_recall(params, g, batch):  # (B, T, G) -> blocks of r, each (B, Q, C)
    q, x, blocks = jax_norm(g - g.mean(axis=-1, keepdims=True)), batch["x"], []
    scaled = jnp.exp(params["log_beta"]) * batch["sharp"] * q
    for start in range(0, g.shape[1], BLOCK):
        now, known = slice(start, start + BLOCK), slice(start + BLOCK)
        h = jnp.where(batch["mask"][..., now, known], scaled[:, now] @ q[:, known].mT, -1e30)
        blocks.append(batch["some"][..., now, :] * (jax.nn.softmax(h) @ x[:, known]))
    return blocks


def in_jax(model, params, walk):  # -> run() -> loss, {name: gradient}
    """Jitted; run waits until everything is computed."""

    def loss(params, batch):
        g = jax_path(params, batch, leak)
        r = jnp.concatenate(recall({**params, "eta": jnp.exp(params.get("log_eta", 0))}, g, batch), axis=1)
        logits = jax.nn.log_softmax(r @ params["D"] + params["b"])
        chosen = jnp.take_along_axis(logits, batch["observations"][..., None], axis=-1)[..., 0]
        return -(batch["weight"] * chosen).sum()

    leak, recall = float(params["leak"]), jax_temt_recall if model is temt else tem_recall
    learned = {name: params[name] for name in LEARNED if name in params}
    inputs = jax.device_put((learned, prepare(model, params, walk)))
    there_and_back = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(there_and_back(*inputs))
