"""Other position encodings for TEM-t, and each of its three changes to the transformer taken back alone.

A variant is two pairs of functions in one model: `encode` says where positions g come from, and `project` says what of
g and x is query, key and value. The memory, the decoder, the loss, Adam and the schedule are those of temt.py.

[V17] Vaswani et al., Attention is all you need, 2017.  [S21] Su et al., RoFormer (rotary encodings), 2021.
[W22] Whittington, Warren & Behrens, Relating transformers to models of the hippocampal formation, ICLR 2022.

Glossary, as in temt.py: B walks, T steps, A moves, G position units, C sense units, S kinds of observation; g position,
x sense, q query, k key, v value, r recalled; `dz` is always dLoss/dz. A sense is one-hot here: C = S.
encode(params, actions) -> g, cache.            encode_backward(params, dg, actions, cache) -> {name: gradient}.
project(params, g, x) -> (q, k, v), cache.      project_backward(params, dq, dk, dv, cache) -> dg, {name: gradient}.
"""

import numpy as np

import envs
import temt

# ------------------------------------------------------------------------------------------------- where g comes from


def waves(phase):  # (B, T, G/2) -> (B, T, G)
    """(cos phase, sin phase): two codes match as the cosine of the difference of their phases, summed over waves."""
    return np.concatenate([np.cos(phase), np.sin(phase)], axis=-1)


def in_time(params, actions):  # (B, T) -> (B, T, G)
    """Sinusoids of the step t, phase t / 10000^(2 i / G) [V17, sec. 3.5]: the moves are not heard of."""
    (B, T), n = actions.shape, len(params["g0"]) // 2
    phase = np.arange(T)[:, None] / 10_000 ** (np.arange(n) / n)
    return np.repeat(waves(phase).astype(params["g0"].dtype)[None], B, axis=0), None


def in_place(params, actions):  # (B, T) -> (B, T, G)
    """Plane waves of the true displacement: phase = sum of turn[a] over the moves so far, turn[a] = (dx, dy) . k."""
    turn = params["turn"][actions]
    turn[:, 0] = 0  # no move led there
    return waves(turn.cumsum(axis=1)), None


def nowhere(params, actions):  # (B, T) -> (B, T, G)
    """g = g0 at every step: every memory matches alike, and attention is uniform over the past."""
    return np.broadcast_to(params["g0"], (*actions.shape, len(params["g0"]))), None


def fixed_backward(params, dg, actions, cache):  # (B, T, G) -> {}
    """Nothing is learned (and dLoss/dg0 = 0 of `nowhere`: equal matches stay equal)."""
    return {}


def by_step(params, actions):  # (B, T) -> (B, T, G)
    """g_t = table[t]. Rows that no walk of the training was long enough for are as they were drawn."""
    (B, T), longest = actions.shape, len(params["table"])
    if longest < T:
        raise ValueError(f"actions must have at most {longest} steps, the rows of table, got {T}")
    return np.repeat(params["table"][None, :T], B, axis=0), None


def by_step_backward(params, dg, actions, cache):  # (B, T, G) -> {table}
    """dtable[t] = sum of dg_t over walks."""
    dtable = np.zeros_like(params["table"])
    dtable[: dg.shape[1]] = dg.sum(axis=0)
    return {"table": dtable}


def in_time_with_move(params, actions):  # (B, T) -> (B, T, G)
    """Sinusoids of t plus a learned vector for the move just taken, token[a_t]; the last row stands for no move."""
    return in_time(params, actions)[0] + params["token"][actions], None


def in_time_with_move_backward(params, dg, actions, cache):  # (B, T, G) -> {token}
    """dtoken[a] = sum of dg over the steps that took move a."""
    dtoken = np.zeros_like(params["token"])
    np.add.at(dtoken, actions, dg)
    return {"token": dtoken}


# ------------------------------------------------------------------------------------- what is query, key and value


def shared(params, g, x):  # (B, T, G), (B, T, C) -> three of (B, T, ...)
    """q = k = g, v = x [W22, sec. 4]."""
    return (g, g, x), None


def shared_backward(params, dq, dk, dv, cache):  # -> (B, T, G), {}
    """dg = dq + dk."""
    return dq + dk, {}


def separate(params, g, x):  # (B, T, G), (B, T, C) -> three of (B, T, ...)
    """q = g Wq, k = g Wk, v = x [V17, sec. 3.2]."""
    return (g @ params["Wq"], g @ params["Wk"], x), g


def separate_backward(params, dq, dk, dv, g):  # -> (B, T, G), {Wq, Wk}
    """dg = dq Wq^T + dk Wk^T;  dWq = g^T dq;  dWk = g^T dk."""
    rows, G = g.reshape(-1, g.shape[-1]), g.shape[-1]
    dparams = {"Wq": rows.T @ dq.reshape(-1, G), "Wk": rows.T @ dk.reshape(-1, G)}
    return dq @ params["Wq"].T + dk @ params["Wk"].T, dparams


def rotary(params, g, x):  # (B, T, G), (B, T, C) -> three of (B, T, ...)
    """q_t = R_t query, k_t = R_t key, v = x: learned vectors, whose i-th pair R_t turns by the i-th phase of g [S21].

    So q_t . k_s depends on t - s alone. There is no content to turn: the vectors are the same at every step.
    """
    return (turned(g, params["query"]), turned(g, params["key"]), x), g


def rotary_backward(params, dq, dk, dv, g):  # -> (B, T, G), {query, key}
    """dquery = sum of R_t^T dq_t over walks and steps; dkey alike. The product is symmetric in g and the vector."""
    dg = turned(params["query"], dq, back=-1) + turned(params["key"], dk, back=-1)
    return dg, {name: turned(g, d, back=-1).sum(axis=(0, 1)) for name, d in (("query", dq), ("key", dk))}


def turned(g, u, back=1):  # (..., G), (..., G) -> (..., G)
    """g u, units i and i + G/2 being one complex number: u turned by the phases of g; conj(g) u with back = -1."""
    (cos, sin), (first, second) = np.split(g, 2, axis=-1), np.split(u, 2, axis=-1)
    sin = back * sin
    return np.concatenate([cos * first - sin * second, sin * first + cos * second], axis=-1)


def mixed(params, g, x):  # (B, T, G), (B, T, C) -> three of (B, T, ...)
    """q_t = k_t = [g_t; gain sqrt(C) x_{t-1}], v_t = x_t: position and the last thing seen, none at step 0.

    That is all there is to see when x_t is to be predicted: x_t itself would give the answer away, so it is in the
    value alone. A memory matches if it was made in the same place, after the same sight.
    """
    last = np.sqrt(x.dtype.type(x.shape[-1])) * np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
    h = np.concatenate([g, params["gain"] * last], axis=-1)
    return (h, h, x), last


def mixed_backward(params, dq, dk, dv, last):  # -> (B, T, G), {gain}
    """dg and dgain are the two parts of dq + dk."""
    dg, dsense = np.split(dq + dk, [-last.shape[-1]], axis=-1)
    return dg, {"gain": np.sum(dsense * last)}


def both_in_value(params, g, x):  # (B, T, G), (B, T, C) -> three of (B, T, ...)
    """q = k = g, v = [x; g]: the decoder, (C + G, S), is also told where the memory was made."""
    return (g, g, np.concatenate([x, g], axis=-1)), None


def both_in_value_backward(params, dq, dk, dv, cache):  # -> (B, T, G), {}
    """dg = dq + dk + the position's part of dv."""
    return dq + dk + dv[..., -dq.shape[-1] :], {}


# --------------------------------------------------------------------------------------------------- the one model

RECURRENT, BY_STEP = (temt.path_integrate, temt.path_integrate_backward), (by_step, by_step_backward)
IN_TIME, IN_PLACE, NOWHERE = (in_time, fixed_backward), (in_place, fixed_backward), (nowhere, fixed_backward)
IN_TIME_WITH_MOVE, MIXED = (in_time_with_move, in_time_with_move_backward), (mixed, mixed_backward)
SHARED, SEPARATE = (shared, shared_backward), (separate, separate_backward)
ROTARY, BOTH_IN_VALUE = (rotary, rotary_backward), (both_in_value, both_in_value_backward)

VARIANTS = {  # encode, project, and whether a step may recall earlier steps alone
    "recurrent (TEM-t)": (RECURRENT, SHARED, True),
    "true coordinates": (IN_PLACE, SHARED, True),
    "none": (NOWHERE, SHARED, True),
    "sinusoidal in time": (IN_TIME, SHARED, True),
    "learned per step": (BY_STEP, SHARED, True),
    "rotary in time": (IN_TIME, ROTARY, True),
    "time, senses, moves": (IN_TIME_WITH_MOVE, MIXED, True),
    "separate q and k": (RECURRENT, SEPARATE, True),
    "senses in q and k": (RECURRENT, MIXED, True),
    "position in values": (RECURRENT, BOTH_IN_VALUE, True),
    "non-causal": (RECURRENT, SHARED, False),
    "non-causal, in time": (IN_TIME, SHARED, False),
}


def parts(variant):  # -> (encode, encode_backward), (project, project_backward), causal
    """What the variant is made of; ValueError for one that is not in VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {tuple(VARIANTS)}, got {variant!r}")
    return VARIANTS[variant]


def init_params(rng, variant, world, n_obs, G=64, longest=128, dtype=np.float32):  # -> dict
    """What temt.init_params draws from the same rng, and after it what some variants need besides.

    table (longest, G); token (A + 1, G), the last row where no move was taken; query, key (G,), those with which rotary
    is sinusoidal; Wq, Wk (G, G), I; gain, 1; turn (A, G/2), what each move adds to the phases of random plane waves;
    and D (C + G, S) for position in values, 0 for position. What a variant does not use has no gradient and stays.
    Raises ValueError for an unknown variant, an odd G, and a world whose moves are not shifts.
    """
    (A, n), with_place = (world.n_actions, G // 2), parts(variant)[1] is BOTH_IN_VALUE
    if G % 2:
        raise ValueError(f"G must be even, for pairs of units, got {G}")
    params = temt.init_params(rng, A, n_obs, G, dtype=dtype)
    extra = {"table": rng.normal(size=(longest, G)), "token": rng.normal(size=(A + 1, G)), "gain": 1.0}
    extra |= {"Wq": np.eye(G), "Wk": np.eye(G), "query": np.repeat([1, 0], n), "key": np.repeat([1, 0], n)}
    extra["turn"] = shifts(world) @ rng.uniform(-np.pi, np.pi, size=(2, n))
    extra["D"] = np.concatenate([params["D"], np.zeros((G * with_place, n_obs))])
    return params | {name: np.asarray(value, dtype) for name, value in extra.items()}


def shifts(world):  # -> (A, 2)
    """What each move adds to xy; ValueError where that depends on the place."""
    s, a = np.nonzero(world.next_state >= 0)
    moved = world.xy[world.next_state[s, a]] - world.xy[s]
    shift = np.array([moved[a == move].mean(axis=0) for move in range(world.n_actions)])
    if not np.allclose(moved, shift[a]):
        raise ValueError(f"world must have moves that are the same shift everywhere, got {world.name}")
    return shift


def forward(params, variant, actions, observations):  # (B, T), (B, T) -> logits (B, T, S), what gradients goes back by
    """encode, project, remember, recall, decode; all T steps ask at once."""
    (encode, _), (project, _), causal = parts(variant)
    x = np.eye(len(params["b"]), dtype=params["D"].dtype)[observations]
    g, encoded = encode(params, actions)
    (q, k, v), projected = project(params, g, x)
    memory, remembered = temt.remember(params, k, v)
    memory, age = temt.known(memory, 0, g.shape[1])
    age = age if causal else np.ones_like(age)
    r, recalled = temt.recall(params, q, memory, age)
    return temt.decode(params, r), (encoded, projected, remembered, memory, age, recalled, r)


def gradients(params, variant, actions, observations, revisit):
    """As temt.gradients: mean cross-entropy over the revisits; {name: gradient}; right (B, T)."""
    temt.check(params, actions, observations, revisit)
    (_, encode_backward), (_, project_backward), _ = parts(variant)
    logits, (encoded, projected, remembered, memory, age, recalled, r) = forward(params, variant, actions, observations)
    weight = (revisit / max(1, revisit.sum())).astype(params["D"].dtype)
    loss, dlogits = temt.cross_entropy(logits, observations, weight)
    dr, ddecode = temt.decode_backward(params, dlogits, r)
    dq, dmemory, drecall = temt.recall_backward(params, dr, memory, age, recalled)
    dk, dremember = temt.remember_backward(params, dmemory, remembered)
    dv = recalled["weights"].swapaxes(1, 2) @ dr
    dg, dproject = project_backward(params, dq, dk, dv, projected)
    dencode = encode_backward(params, dg, actions, encoded)
    return loss, temt.added(ddecode, drecall, dremember, dproject, dencode), logits.argmax(axis=-1) == observations


def train(rng, variant, world, params, updates=800, batch=32, steps=64, growth=0.3, rate=3e-3):  # -> params, history
    """As temt.train: the same walks from the same rng, growing alike, and the same Adam, decay and rotations.

    history: the accuracy on revisits at each update.
    """
    state, history = {}, []
    for update in range(updates):
        T = min(steps, round(12 + (steps - 12) * update / max(1, growth * updates)))
        walk = envs.walk(rng, world, batch, T, len(params["b"]))
        _, grads, right = gradients(params, variant, walk.actions, walk.observations, walk.revisit)
        params, state = temt.adam(params, grads, state, rate * (1 + np.cos(np.pi * update / updates)) / 2)
        params["W"] = temt.nearer_rotation(params["W"])
        history.append(envs.accuracy(right, walk)[0])
    return params, history


def evaluate(params, variant, walk):  # -> right (B, T)
    """Where the likeliest observation is the true one."""
    temt.check(params, walk.actions, walk.observations)
    return forward(params, variant, walk.actions, walk.observations)[0].argmax(axis=-1) == walk.observations
