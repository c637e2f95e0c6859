"""The TEM-transformer: a transformer whose position encodings are learned by walking, in NumPy.

An agent walks through a world it has never seen and predicts what it will see next. Positions g are path-integrated
from its moves; a memory binds them to what was sensed. Here the memory is a transformer's: causal attention whose
queries and keys are positions alone and whose values are senses alone. `diff tem.py temt.py` shows what that changes.

[W20] Whittington et al., The Tolman-Eichenbaum Machine, Cell 2020.
[W22] Whittington, Warren & Behrens, Relating transformers to models of the hippocampal formation, ICLR 2022.

Glossary. Axes: B walks, T steps, Q of them asked at once, n memories, A moves, G position units, C sense units,
S kinds of observation. Quantities: a move, o observation, g position, x sense code, q cue, r recalled sense,
W_a what move a does to g, D and b the decoder. `dz` is always dLoss/dz. A function that has a backward returns
(result, cache), and its backward takes (dresult, cache). `params` is a dict of arrays, and their dtype is that of
every computation: float32 to train, float64 to check.

Not included: learned sense codes, several heads or blocks, and the variational losses of [W20].
"""

import argparse
import sys
import time
from itertools import combinations, islice

import numpy as np
from tqdm import tqdm

import envs

NAME, SENSES = "TEM-t", None  # what the model is called, and its C: None, one sense for each kind of observation
EPS = 1e-30  # 0 / 0 is 0 in a norm; lost in the rounding of anything that is not 0

# ------------------------------------------------------------------------------------------------- parameters


def init_params(rng, n_actions, n_obs, G=64, C=SENSES, activation="linear", turn=0.5, dtype=np.float32, **memory):
    """Fresh parameters for A = n_actions moves and S = n_obs kinds of observation.  -> dict

    W (A, G, G), random rotations for linear units (Cayley transform of a skew matrix, `turn` says how far from I), and
    I + noise for rectified ones; g0 (G,); D (C, S), 5 x the sense code; b (S,); leak, the slope of f below zero: 1 for
    linear, 0 for relu; gate (3,), see correct. C = S senses (TEM-t) are coded one-hot, fewer (TEM) two-hot. `memory`
    goes to init_memory.
    """
    envs.check_choice("activation", activation, "linear", "relu")
    envs.check_choice("dtype", dtype, np.float32, np.float64, float)
    C = n_obs if C is None else C
    for name, value in (("n_actions", n_actions), ("n_obs", n_obs), ("G", G), ("C", C)):
        envs.check_size(name, value, 1)
    envs.check_type("rng", rng, np.random.Generator)
    envs.check_number("turn", turn, 0)
    I, noise = np.eye(G), rng.normal(size=(n_actions, G, G)) / np.sqrt(G)
    skew = turn * (noise - noise.swapaxes(1, 2)) / np.sqrt(8)
    params = {
        "W": np.linalg.solve(I - skew, I + skew) if activation == "linear" else I + 0.2 * noise,
        "g0": rng.normal(size=G),
        "D": 5 * sense_code(C, n_obs).T,
        "b": np.zeros(n_obs),
        "leak": float(activation == "linear"),
        "gate": (-54.0, 56.0, 0.0),
    }
    return {name: np.asarray(value, dtype) for name, value in {**params, **init_memory(**memory)}.items()}


def sense_code(C, S):  # -> (S, C)
    """What the senses make of each kind of observation: one unit each where C = S, else two units each [W20]."""
    if C == S:
        return np.eye(S)
    pairs = list(islice(combinations(range(C), 2), S))
    if len(pairs) < S:
        raise ValueError(f"C must be n_obs = {S} for one-hot senses, or have C (C - 1) / 2 >= {S} pairs, got {C}")
    return np.eye(C)[np.array(pairs)].sum(axis=1)


def check_params(params):
    """Raise ValueError unless params are finite numbers of the names and shapes that init_params gives."""
    names = ("W", "D", "g0", "b", "leak", "gate", *init_memory())
    if not isinstance(params, dict) or not params.keys() >= {*names}:
        got = sorted(params) if isinstance(params, dict) else params
        raise ValueError(f"params must be a dict of {sorted(names)}, got {envs.brief(got)}")
    arrays = {name: envs.check_finite(f"params[{name!r}]", value) for name, value in params.items()}
    (A, G), (C, S) = ((*arrays[name].shape, 0, 0)[:2] for name in "WD")
    shapes = [(A, G, G), (C, S), (G,), (S,), (), (3,)] + [()] * (len(names) - 6)
    wrong = [f"{n} {arrays[n].shape}" for n, shape in zip(names, shapes) if arrays[n].shape != shape or 0 in shape]
    if wrong:
        raise ValueError(f"params must be of the shapes init_params gives, got {', '.join(wrong)}")


def save(path, params):
    """Write params to `path` as .npz, whole or not at all; np.load reads it without pickle."""
    check_params(params)
    envs.write(path, lambda file: np.savez(file, **params))


def load(path):  # -> dict
    """Read what `save` wrote. FileNotFoundError where nothing is there, ValueError where it is something else."""
    try:
        with np.load(path) as file:
            params = dict(file)
        check_params(params)
        sense_code(*params["D"].shape)
    except FileNotFoundError:
        raise
    except Exception as error:  # np.load and zipfile raise a dozen kinds
        raise ValueError(f"path must be an .npz file written by save, got {envs.brief(path)}: {error}") from error
    return params


# ------------------------------------------------------------------------------- path integration [W22, sec. 2]


def norm(z):  # (..., G) -> (..., G)
    """g = z / rms(z), 0 where z is 0."""
    rms = np.sqrt(np.einsum("...g,...g->...", z, z) / z.shape[-1] + EPS)[..., None]
    g = z / rms
    return g, (g, rms)


def norm_backward(dg, cache):  # (..., G) -> (..., G)
    """dz = (dg - g mean(g dg)) / rms."""
    g, rms = cache
    return (dg - g * (np.einsum("...g,...g->...", g, dg) / g.shape[-1])[..., None]) / rms


def activate(params, z):  # (B, G) -> (B, G)
    """g = norm(f(z)), f(z) = max(z, leak z). Without norm, g would overflow or vanish."""
    return norm(np.maximum(z, params["leak"] * z))


def activate_backward(params, dg, cache):  # (B, G) -> (B, G)
    """df = norm_backward(dg);  dz = f'(z) df."""
    return slope(params, cache[0]) * norm_backward(dg, cache)


def slope(params, g):  # (..., G) -> (..., G)
    """f'(z): 1 where z > 0, leak elsewhere. g = norm(f(z)) has the sign of z, but where leak = 0 cuts it off."""
    return params["leak"] + (1 - params["leak"]) * (g > 0)


def move(params, g, a):  # (B, G), (B,) -> (B, G)
    """norm(f(g W_a)): what move a does to the position."""
    z = (g @ params["W"])[a, np.arange(len(a))]  # every move of every walk, of which each walk keeps its own
    return activate(params, z)


def move_backward(params, dg, a, cache):  # (B, G) -> dg (B, G) before the move, dz (B, G)
    """dg_before = dz W_a^T. The gradient of W needs all steps' dz together: moves_backward."""
    dz = activate_backward(params, dg, cache)
    return (dz @ params["W"].swapaxes(1, 2))[a, np.arange(len(a))], dz


def path_integrate(params, actions):  # (B, T) -> (B, T, G)
    """g_0 = norm(f(g0)), then g_t = norm(f(g_{t-1} W_{a_t})): a recurrent position encoding."""
    B, T = actions.shape
    g, rms = (np.empty((T, B, n), params["g0"].dtype) for n in (len(params["g0"]), 1))
    g[0], (_, rms[0]) = activate(params, np.repeat(params["g0"][None], B, axis=0))
    for t in range(1, T):
        g[t], (_, rms[t]) = move(params, g[t - 1], actions[:, t])
    return g.swapaxes(0, 1).copy(), (g, rms)


def path_integrate_backward(params, dg, actions, cache):  # (B, T, G) -> {W, g0}
    """Back through time: dg_{t-1} gains dz_t W_a^T, to which norm_backward does nothing more.

    For no later g depends on the length of g_{t-1}: what comes back is perpendicular to it. So norm_backward takes the
    dg of all steps at once.
    """
    g, rms = cache
    dz, by = norm_backward(dg.swapaxes(0, 1), (g, g.dtype.type(1))), slope(params, g) / rms
    moves, rows, W_T = actions.T, np.arange(len(actions)), params["W"].swapaxes(1, 2).copy()
    for t in reversed(range(len(g))):
        dz[t] *= by[t]
        if t:
            dz[t - 1] += (dz[t] @ W_T)[moves[t], rows]
    return moves_backward(params, g, dz, moves)


def moves_backward(params, g, dz, moves):  # (T, B, G), (T, B, G), (T, B) -> {W, g0}
    """dW_a sums g_{t-1}^T dz_t over the steps that took move a;  dg0 sums dz_0."""
    taken = [moves[1:] == a for a in range(len(params["W"]))]
    return {"W": np.stack([g[:-1][at].T @ dz[1:][at] for at in taken]), "g0": dz[0].sum(axis=0)}


# ------------------------------------------------------------------------------------- memory [W22, sec. 4 and 5]


def init_memory(beta=0.5, same=1.0):
    """The memory's own parameters: log_beta, the sharpness of attention; same, see is_new."""
    envs.check_number("beta", beta, EPS)
    envs.check_number("same", same, -1)
    return {"log_beta": np.log(float(beta)), "same": same}


def cue(params, g):  # (B, Q, G) -> (B, Q, G)
    """z-score over units, query and key alike: a position finds itself whatever its mean and scale."""
    q = g - g.mean(axis=-1, keepdims=True)
    std = np.sqrt(np.einsum("bqg,bqg->bq", q, q) / g.shape[-1] + EPS)[..., None]
    q /= std
    return q, (q, std)


def cue_backward(params, dq, cache):  # (B, Q, G) -> (B, Q, G)
    """dg = (dq - mean(dq) - q mean(q dq)) / std."""
    q, std = cache
    dg = dq - dq.mean(axis=-1, keepdims=True)
    dg -= q * (np.einsum("bqg,bqg->bq", q, dq) / q.shape[-1])[..., None]
    dg /= std
    return dg


def f_p(params, h):  # (B, Q, n) -> (B, Q, n)
    """Memory neurons compete: softmax over memories."""
    weights = softmax(h)
    return weights, weights


def f_p_backward(params, dweights, weights):  # (B, Q, n) -> (B, Q, n)
    """dh = weights (dweights - sum(weights dweights))."""
    dh = dweights - np.einsum("bqn,bqn->bq", dweights, weights)[..., None]
    dh *= weights
    return dh


def remember(params, g, x):  # (B, n, G), (B, n, C) -> what is stored, each (B, n, ...)
    """Keys of position alone, values of sense alone."""
    key, cache = cue(params, g)
    return {"key": key, "value": x, "new": is_new(params, g, x)}, cache


def remember_backward(params, dmemory, cache):  # -> dg (B, n, G), dparams
    """Senses are given, so only the keys lead back to g."""
    return cue_backward(params, dmemory["key"], cache), {}


def associate(params, q, memory, age):  # (B, Q, G), n memories, (Q, n) or (B, Q, n) -> (B, Q, C)
    """f_p(beta log(1 + m) / sqrt(G) q K^T) X, over the m memories of positive age."""
    m = (age > 0).sum(axis=-1, keepdims=True)
    scale = np.exp(params["log_beta"]) * np.log1p(m).astype(q.dtype) / np.sqrt(q.dtype.type(q.shape[-1]))
    scaled = scale * q
    h = scaled @ memory["key"].swapaxes(1, 2)
    np.copyto(h, -np.inf, where=age <= 0)
    weights, _ = f_p(params, h)
    return weights @ memory["value"], {"weights": weights, "scaled": scaled, "scale": scale}


def associate_backward(params, dr, memory, age, cache):  # (B, Q, C) -> dq (B, Q, G), dmemory, dparams
    """dweights = dr X^T;  dh = f_p_backward(dweights);  dq = scale dh K;  dK = dh^T (scale q)."""
    dh = f_p_backward(params, dr @ memory["value"].swapaxes(1, 2), cache["weights"])
    dscaled = dh @ memory["key"]
    dparams = {"log_beta": np.sum(dscaled * cache["scaled"])}
    return cache["scale"] * dscaled, {"key": dh.swapaxes(1, 2) @ cache["scaled"]}, dparams


def recall(params, g, memory, age):  # (B, Q, G), n memories, (Q, n) or (B, Q, n) -> r (B, Q, C)
    """r = associate(cue(g)). age: how many steps ago each memory was stored, as a query sees it; <= 0: not stored."""
    q, cue_cache = cue(params, g)
    r, cache = associate(params, q, memory, age)
    return r, {**cache, "cue_cache": cue_cache}


def recall_backward(params, dr, memory, age, cache):  # (B, Q, C) -> dg (B, Q, G), dmemory, dparams
    """Back through associate, then through cue."""
    dq, dmemory, dparams = associate_backward(params, dr, memory, age, cache)
    return cue_backward(params, dq, cache["cue_cache"]), dmemory, dparams


def locate(params, g, x, memory, age):  # (B, Q, G), (B, Q, C), n memories, (B, Q, n) -> (B, Q, G)
    """Where was this seen? Associate from g to places, over memories of sense x alone; 0 where there is none."""
    q, cue_cache = cue(params, g)
    same = age * same_sense(x, memory["sense"])
    found, cache = associate(params, q, {**memory, "value": memory["place"]}, same)
    return found, {**cache, "cue_cache": cue_cache, "same": same}


def locate_backward(params, dfound, memory, age, cache):  # (B, Q, G) -> dg (B, Q, G), dmemory, dparams
    """As recall_backward; dplaces = weights^T dfound."""
    places = {**memory, "value": memory["place"]}
    dq, dmemory, dparams = associate_backward(params, dfound, places, cache["same"], cache)
    dmemory["place"] = cache["weights"].swapaxes(1, 2) @ dfound
    return cue_backward(params, dq, cache["cue_cache"]), dmemory, dparams


# ----------------------------------------------------------------------------------------------- decoding and loss


def softmax(z):  # (..., n) -> (..., n)
    """exp(z) / sum(exp(z)); all zeros where every z is -inf, or where there is none."""
    e = z - z.max(axis=-1, keepdims=True, initial=np.finfo(z.dtype).min)
    np.exp(e, out=e)
    e /= np.maximum(e.sum(axis=-1, keepdims=True), 1)  # the largest e is 1, unless there is none
    return e


def decode(params, r):  # (B, Q, C) -> (B, Q, S)
    """logits = r D + b: with nothing recalled, b alone, the prior."""
    return r @ params["D"] + params["b"]


def decode_backward(params, dlogits, r):  # (B, Q, S) -> dr (B, Q, C), dparams
    """dr = dlogits D^T;  dD = sum over steps of r^T dlogits;  db = sum over steps of dlogits."""
    C, S = params["D"].shape
    dD = r.reshape(-1, C).T @ dlogits.reshape(-1, S)
    return dlogits @ params["D"].T, {"D": dD, "b": dlogits.sum(axis=(0, 1))}


def cross_entropy(logits, o, weight):  # (B, Q, S), (B, Q), (B, Q) -> scalar, dlogits (B, Q, S)
    """-sum of weight log softmax(logits)[o];  dlogits = weight (softmax(logits) - onehot(o))."""
    z, at = logits - logits.max(axis=-1, keepdims=True), (*np.indices(o.shape), o)
    dlogits = np.exp(z)
    total = dlogits.sum(axis=-1, keepdims=True)
    loss = np.sum(weight * (np.log(total[..., 0]) - z[at]))
    dlogits /= total
    dlogits[at] -= 1
    dlogits *= weight[..., None]
    return loss, dlogits


# ------------------------------------------------------------------------------------- the whole model, there and back


def forward(params, actions, observations, landmarks=False, noise=None):  # (B, T), (B, T) -> dict
    """Everything about B walks by name: g, x, what is stored, what recall made of it, r, logits, probabilities.

    actions: 0..A-1, but -1 at step 0, where the walk begins. observations: 0..S-1; the one at t is used after t alone.
    landmarks: correct g after each observation, see walk_by_steps, which takes noise (B, T, G). Raises ValueError for
    anything else.
    """
    check(params, actions, observations, None, landmarks, noise)
    if landmarks:
        logits, steps, state = walk_by_steps(params, actions, observations, noise)
        g, corrected, gate = (np.stack([step[name] for step in steps], axis=1) for name in ("g", "corrected", "gate"))
        told = {"g": g, "corrected": corrected, "gate": gate, "count": state["count"], **state["memory"]}
        return {**told, "logits": logits, "probabilities": softmax(logits)}
    x = sense(params, observations)
    g, _ = path_integrate(params, actions)
    memory, _ = remember(params, g, x)
    r, recalled = recall(params, g, *known(memory, 0, g.shape[1]))
    logits = decode(params, r)
    return {"g": g, "x": x, **memory, **recalled, "r": r, "logits": logits, "probabilities": softmax(logits)}


def gradients(params, actions, observations, revisit, block=32, landmarks=False, noise=None):
    """Mean cross-entropy over the revisits; {name: gradient}; right (B, T), where the likeliest observation was true.

    Steps ask the memory in blocks, each block for what was stored before its end, and each goes there and back at once:
    no T x T array is ever whole.
    """
    check(params, actions, observations, revisit, landmarks, noise)
    envs.check_type("revisit", revisit, np.ndarray)
    envs.check_size("block", block, 1)
    weight = (revisit / max(1, revisit.sum())).astype(params["D"].dtype)
    if landmarks:
        return steps_backward(params, actions, observations, weight, noise)
    x = sense(params, observations)
    g, path_cache = path_integrate(params, actions)
    memory, memory_cache = remember(params, g, x)

    loss, grads, dmemory, right, dg = 0, {}, {}, np.empty(revisit.shape, bool), np.empty_like(g)
    for start in reversed(range(0, g.shape[1], block)):  # the last block recalls all that is stored
        stop = min(start + block, g.shape[1])
        now, (stored, age) = slice(start, stop), known(memory, start, stop)
        r, recalled = recall(params, g[:, now], stored, age)
        logits = decode(params, r)
        loss_now, dlogits = cross_entropy(logits, observations[:, now], weight[:, now])
        dr, ddecoder = decode_backward(params, dlogits, r)
        dg[:, now], dstored, drecall = recall_backward(params, dr, stored, age, recalled)
        loss, right[:, now] = loss + loss_now, logits.argmax(axis=-1) == observations[:, now]
        dmemory = dmemory or {name: np.zeros_like(d) for name, d in dstored.items()}
        for name, d in dstored.items():
            dmemory[name][:, :stop] += d
        grads = added(grads, ddecoder, drecall)
    dg_stored, dstore = remember_backward(params, dmemory, memory_cache)
    grads = added(grads, dstore)
    return loss, {**grads, **path_integrate_backward(params, dg + dg_stored, actions, path_cache)}, right


def added(total, *parts):  # dicts of arrays -> dict
    """The sum of dicts, name by name."""
    total = dict(total)
    for name, d in (item for part in parts for item in part.items()):
        total[name] = total.get(name, 0) + d
    return total


def sense(params, observations):  # (B, T) -> (B, T, C)
    """x = code[o]."""
    return sense_code(*params["D"].shape).astype(params["D"].dtype)[observations]


def same_sense(x, other):  # (B, Q, C), (B, n, C) -> (B, Q, n)
    """True where the code x . other is as great as x . x: sense codes are all of one length."""
    return x @ other.swapaxes(1, 2) == (x * x).sum(axis=-1)[..., None]


def is_new(params, g, x):  # (B, n, G), (B, n, C) -> (B, n)
    """False where the same sense is stored already at the same place, one whose cosine with g is more than `same`."""
    new = np.ones(x.shape[:2], bool)
    if params["same"] < 1:
        unit = g / np.sqrt((g * g).sum(axis=-1, keepdims=True) + EPS)
        match = (unit @ unit.swapaxes(1, 2) > params["same"]) & same_sense(x, x)
        for t in range(1, new.shape[1]):
            new[:, t] = ~(match[:, t, :t] & new[:, :t]).any(axis=-1)
    return new


def known(memory, start, stop):  # -> memory of steps 0..stop-1, age (stop - start, stop) or (B, stop - start, stop)
    """What the steps start..stop-1 may recall, and how many steps before each of them it was stored; 0: it was not."""
    stored, age = {name: m[:, :stop] for name, m in memory.items()}, np.arange(start, stop)[:, None] - np.arange(stop)
    return stored, age if stored["new"].all() else age * stored["new"][:, None]


def check(params, actions, observations, revisit=None, landmarks=True, noise=None):
    """Raise ValueError, naming the argument, unless these are B walks that params can read."""
    check_params(params)
    envs.check_type("landmarks", landmarks, bool)
    (A, _, _), (_, S) = params["W"].shape, params["D"].shape
    for name, value, kinds in (("actions", actions, A), ("observations", observations, S)):
        if not isinstance(value, np.ndarray) or value.ndim != 2 or value.size == 0 or value.dtype.kind not in "iu":
            raise ValueError(f"{name} must be a non-empty (B, T) array of integers, got {envs.brief(value)}")
        used = value[:, 1:] if name == "actions" else value
        if used.size and not 0 <= used.min() <= used.max() < kinds:
            raise ValueError(f"{name} must lie in 0..{kinds - 1}, got {used.min()}..{used.max()}")
    if (actions[:, 0] != -1).any():
        raise ValueError(f"actions must be -1 at step 0, where the walk begins, got {actions[:, 0]}")
    for name, value in (("observations", observations), ("revisit", revisit)):
        if value is not None and envs.as_array(name, value).shape != actions.shape:
            raise ValueError(f"{name} must have the shape of actions {actions.shape}, got {np.shape(value)}")
    if revisit is not None and np.asarray(revisit).dtype != bool:
        raise ValueError(f"revisit must be true and false, got {np.asarray(revisit).dtype}")
    if noise is not None:
        envs.check_finite("noise", noise, (*actions.shape, len(params["g0"])))
        if not landmarks:
            raise ValueError("noise must come with landmarks, got landmarks=False")


# ------------------------------------------------------------- landmarks, step by step [W22, appendix; W20, inference]


def begin(params, B, rows=64):  # -> state
    """B agents about to take their first step: no position yet, an empty memory with room for `rows`, which grows."""
    check_params(params)
    envs.check_size("B", B, 1)
    envs.check_size("rows", rows, 1)
    places, senses = (np.zeros((B, rows, n), params["D"].dtype) for n in (len(params["g0"]), len(params["D"])))
    memory = {**remember(params, places, senses)[0], "place": places, "sense": senses}
    return {"t": 0, "count": np.zeros(B, int), "stored_at": np.zeros((B, rows), int), "memory": memory}


def expect(params, state, a, noise=0):  # state, (B,), (B, G) -> logits (B, S), state
    """Take move a (any at the first step, where the walk begins), and say what will be seen. noise is added to g."""
    check_stream(params, state, "a", a, "W")
    noise = envs.check_finite("noise", noise, (), (len(a), len(params["g0"])))
    if state["t"]:
        g, move_cache = move(params, state["g"], a)
    else:
        g, move_cache = activate(params, np.repeat(params["g0"][None], len(a), axis=0))
    g, n, t = g + noise.astype(g.dtype), state["count"].max(), state["t"]
    stored = {name: m[:, :n] for name, m in state["memory"].items()}
    age = ((t - state["stored_at"][:, :n]) * (np.arange(n) < state["count"][:, None]))[:, None]
    r, recalled = recall(params, g[:, None], stored, age)
    logits = decode(params, r)[:, 0]
    step = {"a": a, "g": g, "move": move_cache, "n": n, "age": age, "r": r, "recalled": recalled, "logits": logits}
    return logits, {**state, "g": g, "step": step}


def see(params, state, o):  # state, (B,) -> state
    """See o after `expect`: correct the position, and store (position, sense) unless the pair is not new (is_new).

    The memory of the state that came in is written to: go on with the one that is returned.
    """
    check_stream(params, state, "o", o, "b")
    if "o" in state.get("step", {"o": None}):
        raise ValueError("see must follow expect: the move comes first")
    o, step, memory, count, rows = np.asarray(o), state["step"], state["memory"], state["count"], np.arange(len(o))
    if count.max() + 1 > state["stored_at"].shape[1]:  # full: make as much room again
        grow = {name: np.concatenate([m, np.zeros_like(m)], axis=1) for name, m in memory.items()}
        memory, state = grow, {**state, "stored_at": np.concatenate([state["stored_at"]] * 2, axis=1)}
    g, x, p = step["g"][:, None], sense(params, o[:, None]), softmax(step["logits"])
    stored = {name: m[:, : step["n"]] for name, m in memory.items()}
    found, located = locate(params, g, x, stored, step["age"])
    corrected, correction = correct(params, step["g"], found[:, 0], p[rows, o])
    pair, remembered = remember(params, corrected[:, None], x)
    cosine = (stored["place"] @ corrected[..., None])[..., 0] / step["g"].shape[-1]
    twin = same_sense(x, stored["sense"])[:, 0] & (cosine > params["same"])
    new = (params["same"] >= 1) | ~(twin & (step["age"][:, 0] > 0)).any(axis=-1)
    for name, row in {**pair, "place": corrected[:, None], "sense": x}.items():
        memory[name][rows, count] = row[:, 0]  # into the first free row, which counts only where it is new
    state["stored_at"][rows, count] = state["t"]
    step = {**step, "o": o, "p": p, "located": located, "correction": correction, "remembered": remembered}
    step |= {"corrected": corrected, "gate": correction["gate"][:, 0], "slot": count, "new": new}
    return {**state, "t": state["t"] + 1, "g": corrected, "count": count + new, "memory": memory, "step": step}


def check_stream(params, state, name, value, rows):
    """Raise ValueError, naming the argument, unless value is an integer for each agent: a row of params[rows].

    A first move may be any integer. What check_params looks at is looked at by begin alone, not at every step.
    """
    if not isinstance(params, dict) or rows not in params:
        raise ValueError(f"params must be what begin was given, got {envs.brief(params)}")
    if not isinstance(state, dict) or not state.keys() >= {"t", "count", "stored_at", "memory"}:
        raise ValueError(f"state must be what begin, expect or see returned, got {envs.brief(state)}")
    array, shape, first = envs.as_array(name, value), state["count"].shape, name == "a" and not state["t"]
    if array.shape != shape or array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers of shape {shape}, got {envs.brief(array)}")
    if not first and not 0 <= array.min() <= array.max() < len(params[rows]):
        raise ValueError(f"{name} must lie in 0..{len(params[rows]) - 1}, got {array.min()}..{array.max()}")


def correct(params, g, found, seen):  # (B, G), (B, G), (B,) -> (B, G)
    """norm(g + gate (found - g)), gate = sigmoid(gate . (1, cos(g, found), seen)); 0 where nothing was found.

    seen: the probability that was given to what was then seen. Both say whether the recall can be trusted.
    """
    some = found.any(axis=-1, keepdims=True)
    length = [np.sqrt(np.einsum("bg,bg->b", v, v) + EPS)[:, None] for v in (g, found)]
    cosine = np.einsum("bg,bg->b", g, found)[:, None] / (length[0] * length[1])
    features = np.concatenate([np.ones_like(cosine), cosine, seen[:, None]], axis=1)
    gate = some * (1 + np.tanh(features @ params["gate"][:, None] / 2)) / 2
    corrected, normed = norm(g + gate * (found - g))
    cache = {"g": g, "found": found, "length": length, "features": features, "gate": gate, "normed": normed}
    return corrected, cache


def correct_backward(params, dout, cache):  # (B, G) -> dg (B, G), dfound (B, G), dseen (B,), dparams
    """dmixed = norm_backward(dout);  dgate = dmixed . (found - g);  ds = gate (1 - gate) dgate;  then cos, mixture."""
    g, found, gate, features, (a, b) = (cache[name] for name in ("g", "found", "gate", "features", "length"))
    dmixed = norm_backward(dout, cache["normed"])
    ds = gate * (1 - gate) * np.einsum("bg,bg->b", dmixed, found - g)[:, None]
    dcosine, cosine = ds * params["gate"][1], features[:, 1:2]
    dg = (1 - gate) * dmixed + dcosine * (found / b - cosine * g / a) / a
    dfound = gate * dmixed + dcosine * (g / a - cosine * found / b) / b
    return dg, dfound, (ds * params["gate"][2])[:, 0], {"gate": (ds * features).sum(axis=0)}


def walk_by_steps(params, actions, observations, noise=None):  # (B, T) x 2 -> logits (B, T, S), steps, state
    """Expect, see, expect, see, ... from the beginning of the walk; noise (B, T, G) is added to g after each move."""
    B, T = actions.shape
    state, steps = begin(params, B), []
    for t in range(T):
        _, state = expect(params, state, actions[:, t], 0 if noise is None else noise[:, t])
        state = see(params, state, observations[:, t])
        steps.append(state["step"])
    return np.stack([step["logits"] for step in steps], axis=1), steps, state


def steps_backward(params, actions, observations, weight, noise=None):  # -> loss, {name: gradient}, right (B, T)
    """Walk by steps, then back: what is stored collects its gradient from all later steps before its own turn comes."""
    logits, steps, state = walk_by_steps(params, actions, observations, noise)
    loss, dlogits = cross_entropy(logits, observations, weight)
    dmemory, grads, rows = {name: np.zeros_like(m) for name, m in state["memory"].items()}, {}, np.arange(len(actions))
    dg, dz = np.zeros_like(state["g"]), np.zeros((len(steps), *state["g"].shape), state["g"].dtype)
    for t, step in reversed([*enumerate(steps)]):
        stored = {name: m[:, : step["n"]] for name, m in state["memory"].items()}
        drow = {name: (d[rows, step["slot"]].T * step["new"]).T[:, None] for name, d in dmemory.items()}
        dstored, dparams_store = remember_backward(params, drow, step["remembered"])
        dcorrected = dg + dstored[:, 0] + drow["place"][:, 0]
        dg, dfound, dseen, dgate = correct_backward(params, dcorrected, step["correction"])
        dg_locate, dplaces, dlocate = locate_backward(params, dfound[:, None], stored, step["age"], step["located"])
        dp = (np.eye(step["p"].shape[1], dtype=dg.dtype)[step["o"]] - step["p"]) * step["p"][rows, step["o"], None]
        dr, ddecode = decode_backward(params, (dlogits[:, t] + dseen[:, None] * dp)[:, None], step["r"])
        dg_recall, drows, drecall = recall_backward(params, dr, stored, step["age"], step["recalled"])
        for name, d in [*dplaces.items(), *drows.items()]:
            dmemory[name][:, : step["n"]] += d
        grads = added(grads, dparams_store, dgate, dlocate, ddecode, drecall)
        dg = dg + dg_locate[:, 0] + dg_recall[:, 0]
        if t:
            dg, dz[t] = move_backward(params, dg, step["a"], step["move"])
        else:
            dz[t] = activate_backward(params, dg, step["move"])
    corrected = np.stack([step["corrected"] for step in steps])
    grads |= moves_backward(params, corrected, dz, actions.T)
    return loss, grads, logits.argmax(axis=-1) == observations


# ---------------------------------------------------------------------------------------------------- learning


def adam(params, grads, state, rate, clip=1.0, beta1=0.9, beta2=0.999):  # -> params, state
    """One step of Adam (Kingma & Ba 2015) on gradients whose joint norm is cut to `clip`. A first state is {}."""
    norm = sum(float(np.vdot(d, d)) for d in grads.values()) ** 0.5
    params, t, moments = dict(params), state.get("t", 0) + 1, {}
    for name, d in grads.items():
        d = d * min(1.0, clip / (norm + EPS))
        m, v = state.get(name, (0, 0))
        m, v = beta1 * m + (1 - beta1) * d, beta2 * v + (1 - beta2) * d * d
        step = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + 1e-8)
        params[name], moments[name] = params[name] - params[name].dtype.type(rate) * step, (m, v)
    return params, dict(moments, t=t)


def nearer_rotation(W):  # (A, G, G) -> (A, G, G)
    """W (3 I - W^T W) / 2, a Newton-Schulz step towards the nearest rotation: singular values s become s (3 - s^2) / 2.

    Where every singular value of W is 1, no part of g grows or fades as steps are taken, and all of g can be used.
    """
    return W @ (3 * np.eye(W.shape[1], dtype=W.dtype) - W.swapaxes(1, 2) @ W) / 2


def train(rng, worlds, params, updates=1000, batch=32, steps=128, growth=0.3, rate=3e-3, landmarks=False, quiet=False):
    """Learn from fresh walks in each of `worlds` (one, or several in turn).  -> params, history

    Walks grow from 12 steps to `steps` over the first `growth` of the updates (positions are learned near home before
    far away), the rate decays to 0 as half a cosine (so that errors too small to see at first are averaged away), and
    the W of linear units stay rotations. With landmarks, the last tenth of the updates is taken step by step: it is
    slower, and a gate has nothing to learn from places that are not yet known. history: lists of loss, accuracy on
    revisits, and steps. Interrupted, it returns what it has learned so far.
    """
    worlds = worlds if isinstance(worlds, (list, tuple)) else [worlds]
    check_worlds(params, worlds)
    for name, value, least in (("updates", updates, 0), ("batch", batch, 1), ("steps", steps, 1)):
        envs.check_size(name, value, least)
    for name, value in (("growth", growth), ("rate", rate)):
        envs.check_number(name, value, 0)
    envs.check_type("landmarks", landmarks, bool)
    envs.check_type("quiet", quiet, bool)
    np.empty(31 << 20, np.uint8)  # freed at once: glibc then keeps freed memory for the next update
    state, history = {}, {"loss": [], "accuracy": [], "steps": []}
    bar = tqdm(range(updates), desc=NAME, disable=quiet, mininterval=0.5)
    try:
        for update in bar:
            T = min(steps, round(12 + (steps - 12) * update / max(1, growth * updates)))
            walk = envs.walk(rng, worlds[update % len(worlds)], batch, T, len(params["b"]))
            by_steps = landmarks and update >= 0.9 * updates
            loss, grads, right = gradients(params, walk.actions, walk.observations, walk.revisit, landmarks=by_steps)
            rate_now = rate * (1 + np.cos(np.pi * update / updates)) / 2
            params, state = adam(params, grads, state, rate_now)
            if params["leak"] == 1:
                params["W"] = nearer_rotation(params["W"])
            for name, value in (("loss", loss), ("accuracy", envs.accuracy(right, walk)[0]), ("steps", T)):
                history[name].append(float(value))
            bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{history['accuracy'][-1]:.3f}", steps=T, refresh=False)
    except KeyboardInterrupt:
        bar.close()
        print(f"interrupted after {len(history['loss'])} updates")
    return params, history


def check_worlds(params, worlds):
    """Raise ValueError where there is no world, or one whose moves are not as many as params has W_a."""
    check_params(params)
    A, got = len(params["W"]), [world.n_actions if isinstance(world, envs.World) else None for world in worlds]
    if not got or any(n != A for n in got):
        raise ValueError(f"worlds must each have the {A} actions of params, got {got}")


def evaluate(params, walk, block=32, landmarks=False, noise=None):  # -> right (B, T)
    """Where the likeliest observation is the true one; asks the memory in blocks, so that walks may be long."""
    envs.check_walk(walk)
    envs.check_size("block", block, 1)
    check(params, walk.actions, walk.observations, walk.revisit, landmarks, noise)
    if landmarks:
        return walk_by_steps(params, walk.actions, walk.observations, noise)[0].argmax(axis=-1) == walk.observations
    g, _ = path_integrate(params, walk.actions)
    memory, _ = remember(params, g, sense(params, walk.observations))
    likeliest = np.empty_like(walk.observations)
    for start in range(0, g.shape[1], block):
        now = slice(start, start + block)
        r, _ = recall(params, g[:, now], *known(memory, start, min(start + block, g.shape[1])))
        likeliest[:, now] = decode(params, r).argmax(axis=-1)
    return likeliest == walk.observations


# ------------------------------------------------------------------------------------------------ the main job


def play(params, world):
    """Walk once round the world's loop, past animals, and say what will be seen on coming home."""
    names, walk = envs.animals(world)
    p = forward(params, walk.actions, walk.observations)["probabilities"][0, -1]
    for name, action in zip(names, world.loop):
        print(f"see {name}, go {action}")
    kinds = dict(enumerate(dict.fromkeys(names)))
    print(f"what now? {kinds.get(p.argmax(), 'none of these')} (probability {p.max():.3f}); it is the {names[-1]}\n")


def main(argv=None):
    """Train, or load, and show what was learned on worlds never seen."""
    parser = argparse.ArgumentParser(
        description=f"Train {NAME} on fresh random worlds and show what it has learned.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.error = lambda message: parser.exit(2, f"{parser.prog}: error: {message}\n")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--world", choices=envs.WORLDS, default="grid")
    parser.add_argument("--size", type=int, help="of the world (None: what suits it)")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=128, help="length of the walks")
    parser.add_argument("--activation", choices=("linear", "relu"), default="linear")
    parser.add_argument("--landmarks", action="store_true", help="correct position by what is seen (slower)")
    parser.add_argument("--save", metavar="FILE", help="write the parameters to FILE (.npz)")
    parser.add_argument("--load", metavar="FILE", help="read the parameters from FILE instead of training")
    parser.add_argument("--plot", metavar="FILE", help="draw what was learned to FILE (.png, .pdf or .svg)")
    args = parser.parse_args(argv)
    try:
        run(args)
    except (ValueError, OSError, MemoryError) as error:
        parser.error(str(error) or "out of memory")
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted\n")


def run(args):
    """What the command line asks for, from training to the cat."""
    began = time.perf_counter()
    rng, world = np.random.default_rng(args.seed), envs.make(args.world, args.size)
    envs.check_size("--steps", args.steps, 1, 10_000)
    envs.check_file("--save", args.save)
    envs.check_file("--plot", args.plot, ".png", ".pdf", ".svg")
    if args.load is not None:
        params, history = load(args.load), None
    else:
        distinct = {"same": 0.95} if args.landmarks else {}
        params = init_params(rng, world.n_actions, n_obs=45, activation=args.activation, **distinct)
        params, history = train(rng, world, params, args.updates, steps=args.steps, landmarks=args.landmarks)
        print(f"trained in {time.perf_counter() - began:.1f} s")
    if args.save is not None:
        save(args.save, params)
    check_worlds(params, [world])
    walks = [envs.walk(rng, world, 64, T, len(params["b"])) for T in (args.steps, 2 * args.steps)]
    rights = [evaluate(params, walk, landmarks=args.landmarks) for walk in walks]
    print(envs.table(world, walks, len(params["b"]), NAME, rights))
    play(params, world)
    if args.plot is not None:
        from notebooks import figures  # matplotlib is for those who ask for it

        figure = figures.overview(rng, sys.modules[__name__], params, history, world)
        envs.write(args.plot, lambda file: figure.savefig(file, dpi=150, format=args.plot[-3:].lower()))
    print(f"{time.perf_counter() - began:.1f} s in all")


if __name__ == "__main__":
    main()
