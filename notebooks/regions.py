"""More than two regions: a memory that binds position, sense and any number of contexts, for TEM and for TEM-t.

[W22, sec. 7]: a conjunction of three or more cortical regions costs TEM a product of their sizes, and TEM-t a sum. Here
are a task that needs a third region, both memories for R regions, each with its backward, and their training. They
stand beside the notebook, built on the functions of tem.py and temt.py, because a loop over regions in every function
of the memory would hide what a reader of `diff tem.py temt.py` comes to compare. With no context they compute the same.

Glossary: as in temt.py: B walks, T steps, Q of them asked at once, n memories, `dz` is always dLoss/dz, and a function
that has a backward returns (result, cache). R regions: "position", "context 1", ..., "sense", always in this order, of
N_r units each; V = R - 2 contexts; P = the product of all N_r. z_r: the code of region r. codes: every region's z_r, a
dict of (B, n, N_r). cues: those of the regions that are known, (B, Q, N_r); asked: the region to recall from them.

[W20] Whittington et al., The Tolman-Eichenbaum Machine, Cell 2020.
[W22] Whittington, Warren & Behrens, Relating transformers to models of the hippocampal formation, ICLR 2022.
"""

from math import prod
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import envs
import tem
import temt

# --------------------------------------------------------------------------------------------------------- the task


class Walk(NamedTuple):
    """envs.Walk where what is seen also depends on contexts (B, T, V), of `kinds` (V,) kinds each.

    revisit: of the same state in the same contexts; zero_shot: a revisit along an edge never taken in any context.
    """

    states: np.ndarray
    actions: np.ndarray
    observations: np.ndarray
    revisit: np.ndarray
    zero_shot: np.ndarray
    contexts: np.ndarray
    kinds: tuple


def context_walk(rng, world, batch, steps, n_obs, kinds=(3,), switch=0.1):
    """envs.walk in worlds that show something else in every context.  -> Walk

    A context begins as any of its kinds, and at each step becomes another one with probability `switch`. It is shown
    before the prediction. Observations are drawn anew for every walk, look and combination of contexts.
    Raises ValueError as envs.walk does, and for kinds below 2 or switch outside 0..1.
    """
    for K in kinds:
        envs.check_size("kinds", K, 2)
    if not 0 <= switch <= 1:
        raise ValueError(f"switch must be a probability in 0..1, got {switch!r}")
    walk, K = envs.walk(rng, world, batch, steps, n_obs), np.array(kinds, int)
    shape = (batch, steps, len(K))
    shift = np.where(rng.random(shape) < switch, rng.integers(1, K, size=shape), 0)
    shift[:, 0] = rng.integers(K, size=(batch, len(K)))
    contexts = shift.cumsum(axis=1) % K
    combined = contexts @ np.cumprod([1, *K])[:-1]
    shown = rng.integers(n_obs, size=(batch, world.n_states, K.prod()))
    observations = shown[np.arange(batch)[:, None], world.look[walk.states], combined]
    revisit = earlier(walk.states, combined).any(axis=-1)
    return Walk(walk.states, walk.actions, observations, revisit, revisit & walk.zero_shot, contexts, tuple(kinds))


def earlier(*keys):  # (B, T), ... -> (B, T, T)
    """True at t, tau where tau < t and every key is the same at both."""
    return np.tril(np.all([key[:, :, None] == key[:, None] for key in keys], axis=0), -1)


def last_seen(walk, n_obs, *keys):  # (B, T), ... -> (B, T)
    """Probability that an agent is right that expects what it saw when every key was last as it is now.

    Where they never were, it guesses. Keys: what it knows, such as walk.states. The agents of envs take a Walk, too.
    """
    same = earlier(*keys)
    last = same.shape[1] - 1 - same[:, :, ::-1].argmax(axis=-1)
    right = np.take_along_axis(walk.observations, last, axis=1) == walk.observations
    return np.where(same.any(axis=-1), right, 1 / n_obs)


# --------------------------------------------------------------------------------------------------- what is stored


def init_params(rng, model, n_actions, n_obs, gamma=1.0, product=False, **options):
    """Fresh parameters of `model`, tem or temt, for any number of regions.  -> dict

    Those of model.init_params, to which TEM-t adds log_gamma, the weight of a match of one-hot codes, and product, 0
    or 1, see weigh. Whatever holds log_eta is TEM's.
    """
    params = model.init_params(rng, n_actions, n_obs, **options)
    if model is temt:
        params |= {"log_gamma": np.log(gamma), "product": product}
    return {name: np.asarray(value, params["W"].dtype) for name, value in params.items()}


def is_tem(params):
    """Whether params are TEM's."""
    return "log_eta" in params


def has_attractor(params):
    """Whether TEM recalls by more than one linear step: then no form without conjunctions is the same."""
    return is_tem(params) and bool(params["K"] != 1 or params["kappa"] or params["squash"])


def remember(params, g, walk):  # (B, T, G) -> codes, each (B, T, N_r), and new (B, T)
    """Position: g in TEM, its z-score in TEM-t. Contexts: one-hot. Sense: its code. new: as is_new of temt.py."""
    position, cache = (g, None) if is_tem(params) else temt.cue(params, g)
    given = {f"context {v + 1}": np.eye(K, dtype=g.dtype)[walk.contexts[..., v]] for v, K in enumerate(walk.kinds)}
    given["sense"] = temt.sense(params, walk.observations)
    return {"position": position, **given, "new": temt.is_new(params, g, bind(given))}, cache


def remember_backward(params, dposition, cache):  # (B, T, G) -> dg (B, T, G)
    """Contexts and senses are given, so only positions lead back to g."""
    return dposition if is_tem(params) else temt.cue_backward(params, dposition, cache)


# ---------------------------------------------------------------------------------- recall by matches [W22, sec. 7]


def fill(cues, sizes):  # {region: (B, Q, N_r)}, {region: N_r} -> {every region: (B, Q, N_r)}
    """1 for what is unknown: TEM's cue drives its conjunctions with everything there alike."""
    some = next(iter(cues.values()))
    return {name: cues.get(name, np.ones((*some.shape[:2], N), some.dtype)) for name, N in sizes.items()}


def weigh_tem(params, m, asked, age):  # {region: (B, Q, n)}, (Q, n) or (B, Q, n) -> (B, Q, n)
    """eta lam^(age - 1) m_asked times the product of all other m_r^2: the cue matches once, unbinding once more."""
    w = np.where(age > 0, np.exp(params["log_eta"]) * params["lam"] ** np.maximum(age - 1, 0).astype(m[asked].dtype), 0)
    factors = {name: z if name == asked else z * z for name, z in m.items()}
    weights = w * prod(factors.values())
    return weights, (w, factors, weights)


def weigh_tem_backward(params, dweights, m, asked, cache):  # (B, Q, n) -> {region: dm (B, Q, n)}, dparams
    """df_r = dweights w times the product of all other f;  dm_r = 2 m_r df_r, but df_r where f_r = m_r."""
    w, factors, weights = cache
    df = {name: dweights * w * prod(f for other, f in factors.items() if other != name) for name in m}
    dm = {name: d if name == asked else 2 * m[name] * d for name, d in df.items()}
    return dm, {"log_eta": np.sum(dweights * weights)}


def weigh_temt(params, m, asked, age):  # {region: (B, Q, n)}, (Q, n) or (B, Q, n) -> (B, Q, n)
    """softmax(log(1 + memories) sum of a_r), a_r = beta / sqrt(G) m_r for position, gamma m_r for one-hot codes.

    With params["product"] the product of a_r: [W22] offers both. What is asked has no cue, and so no part in it.
    """
    weight = {name: np.exp(params["log_gamma"]) for name in m}
    weight["position"] = np.exp(params["log_beta"]) / len(params["g0"]) ** 0.5
    a = {name: weight[name] * z for name, z in m.items()}
    count = (age > 0).sum(axis=-1, keepdims=True)
    scale = np.log1p(count).astype(params["D"].dtype)
    h = scale * (prod(a.values()) if params["product"] else sum(a.values()))
    np.copyto(h, -np.inf, where=age <= 0)
    weights, _ = temt.f_p(params, h)
    return weights, (weight, a, scale, weights)


def weigh_temt_backward(params, dweights, m, asked, cache):  # (B, Q, n) -> {region: dm (B, Q, n)}, dparams
    """dtotal = scale dh;  da_r = dtotal, times the product of all other a where they were multiplied."""
    weight, a, scale, weights = cache
    dtotal, dm, dparams = scale * temt.f_p_backward(params, dweights, weights), {}, {}
    for name in m:
        others = [z for other, z in a.items() if other != name] if params["product"] else []
        da = dtotal * prod(others)
        dm[name] = weight[name] * da
        dparams = temt.added(dparams, {"log_beta" if name == "position" else "log_gamma": np.sum(a[name] * da)})
    return dm, dparams


def recall(params, cues, asked, memory, age):  # {region: (B, Q, N_r)}, ..., (Q, n) or (B, Q, n) -> (B, Q, N_asked)
    """m_r = z_r Z_r^T for every cue;  u = weigh(m) Z_asked, the Z stored;  r = u, in TEM u / |u|.

    A TEM with an attractor recalls by recall_units, from the conjunctions of what is stored.
    age: how many steps ago each memory was stored, as a query sees it; <= 0: not stored. No memory recalls zeros.
    Raises ValueError where there is no cue, one for a region that is not stored, or one for the region that is asked.
    """
    sizes = {name: z.shape[-1] for name, z in memory.items() if name != "new"}
    if asked not in sizes or asked in cues or not cues or not cues.keys() <= sizes.keys():
        raise ValueError(f"asked must be one of {list(sizes)} and cues some of the others, got {asked!r}, {list(cues)}")
    if has_attractor(params):
        p = bind({name: memory[name] for name in sizes})
        return recall_units({**params, "hebbian": 0}, cues, asked, sizes, {"p": p}, age)
    cues = fill(cues, sizes) if is_tem(params) else cues
    m = {name: z @ memory[name].swapaxes(1, 2) for name, z in cues.items()}
    weights, weighed = (weigh_tem if is_tem(params) else weigh_temt)(params, m, asked, age)
    r, normed = weights @ memory[asked], None
    if is_tem(params):
        r, normed = unit(r)
    return r, {"cues": cues, "m": m, "weights": weights, "weighed": weighed, "normed": normed}


def recall_backward(params, dr, asked, memory, age, cache):  # (B, Q, N_asked) -> dcues, dmemory, dparams
    """du as of unit;  dweights = du Z_asked^T;  dz_r = dm_r Z_r;  dZ_r = dm_r^T z_r;  dZ_asked += weights^T du."""
    if has_attractor(params):
        attention, codes = {**params, "hebbian": 0}, {name: z for name, z in memory.items() if name != "new"}
        dcues, dmemory, dparams = recall_units_backward(attention, dr, asked, cache["memory"], age, cache)
        return dcues, {name: unbind(dmemory["p"], codes, name) for name in codes}, dparams
    du = unit_backward(dr, cache["normed"]) if is_tem(params) else dr
    weigh_backward = weigh_tem_backward if is_tem(params) else weigh_temt_backward
    dweights = du @ memory[asked].swapaxes(1, 2)
    dm, dparams = weigh_backward(params, dweights, cache["m"], asked, cache["weighed"])
    dcues = {name: d @ memory[name] for name, d in dm.items()}
    dmemory = {name: d.swapaxes(1, 2) @ cache["cues"][name] for name, d in dm.items()}
    return dcues, temt.added(dmemory, {asked: cache["weights"].swapaxes(1, 2) @ du}), dparams


def unit(u):  # (B, Q, N) -> (B, Q, N)
    """r = u / |u|, 0 where u is 0."""
    size = np.sqrt(np.einsum("bqn,bqn->bq", u, u) + temt.EPS)[..., None]
    return u / size, (u / size, size)


def unit_backward(dr, cache):  # (B, Q, N) -> (B, Q, N)
    """du = (dr - r (r . dr)) / |u|."""
    r, size = cache
    return (dr - r * np.einsum("bqn,bqn->bq", r, dr)[..., None]) / size


# --------------------------------------------------------- TEM, unit by unit: conjunctions and synapses [W20; rung 9]


def bind(codes):  # {region: (B, n, N_r)} -> (B, n, P)
    """p = flatten(z_1 (x) ... (x) z_R): one unit for every combination of one unit of each region."""
    p, *others = codes.values()
    for z in others:
        p = (p[..., None] * z[:, :, None]).reshape(*p.shape[:2], -1)
    return p


def unbind(p, codes, asked):  # (B, n, P), {region: (B, n, N_r)} -> (B, n, N_asked)
    """p contracted with the codes of all regions but one: the gradient of <p, bind(codes)> with respect to that one.

    So it reads a region out of p, and takes dp back through bind.
    """
    names = list(codes)
    at = names.index(asked)
    for z in (codes[name] for name in names[:at]):
        p = (z[:, :, None] @ p.reshape(*z.shape, -1))[:, :, 0]
    for z in (codes[name] for name in reversed(names[at + 1 :])):
        p = (p.reshape(*z.shape[:2], -1, z.shape[-1]) @ z[..., None])[..., 0]
    return p


def unbind_backward(du, p, codes, asked):  # (B, n, N_asked) -> dp (B, n, P), {region: dz (B, n, N_r)}
    """<du, u> = <p, bind(codes with du for what is asked)>, so: dp = bind of these;  dz_r = unbind(p, these, r)."""
    these = {**codes, asked: du}
    return bind(these), {name: unbind(p, these, name) for name in codes if name != asked}


def remember_units(params, codes):  # {region: (B, n, N_r)} -> as of tem.remember
    """p = bind(codes) where new, else 0; with hebbian, M too: tem.remember with position and contexts bound first."""
    place = {name: z for name, z in codes.items() if name != "sense"}
    memory, cache = tem.remember(params, bind(place), codes["sense"])
    return memory, (place, cache)


def remember_units_backward(params, dmemory, cache):  # -> dposition (B, n, G), dparams
    """Back through tem.remember and bind."""
    place, cache = cache
    dplace, dparams = tem.remember_backward(params, dmemory, cache)
    return unbind(dplace, place, "position"), dparams


def recall_units(params, cues, asked, sizes, memory, age):  # {region: (B, Q, N_r)}, ... -> (B, Q, N_asked)
    """h = f_p(bind(z)), z_r = 1 where unknown; K times h = f_p(kappa h + associate(h)); u = unbind(h, z); r = u / |u|.

    tem.recall from any regions to any other. The same as `recall` where K = 1, kappa = 0 and f_p is off: rung 9.
    """
    z = fill(cues, sizes)
    h, slope = tem.f_p(params, bind(z))
    steps, some = [({}, slope)], (age > 0).any(axis=-1)[..., None].astype(h.dtype)
    for _ in range(int(params["K"])):
        hM, cache = tem.associate(params, h, memory, age)
        h, slope = tem.f_p(params, params["kappa"] * h + hM)
        steps.append((cache, slope))
    r, normed = unit(some * unbind(h, z, asked))
    return r, {"z": z, "h": h, "steps": steps, "some": some, "normed": normed, "memory": memory}


def recall_units_backward(params, dr, asked, memory, age, cache):  # (B, Q, N_asked) -> dcues, dmemory, dparams
    """Back through unit and unbind, the K steps, and bind."""
    z, (_, first) = cache["z"], cache["steps"][0]
    du = cache["some"] * unit_backward(dr, cache["normed"])
    dh, dz = unbind_backward(du, cache["h"], z, asked)
    dmemory, dparams = {}, {}
    for step, slope in reversed(cache["steps"][1:]):
        da = tem.f_p_backward(params, dh, slope)
        dh, dstep, dparams_step = tem.associate_backward(params, da, memory, age, step)
        dh += params["kappa"] * da
        dmemory, dparams = tem.added(dmemory, dstep), tem.added(dparams, dparams_step)
    dq = tem.f_p_backward(params, dh, first)
    return tem.added(dz, {name: unbind(dq, z, name) for name in z}), dmemory, dparams


# ------------------------------------------------------------------------------------------------------- learning


def gradients(params, walk, block=32):
    """As temt.gradients: mean cross-entropy over the revisits; {name: gradient}; right (B, T)."""
    (tem if is_tem(params) else temt).check(params, walk.actions, walk.observations, walk.revisit)
    weight = (walk.revisit / max(1, walk.revisit.sum())).astype(params["D"].dtype)
    g, path_cache = temt.path_integrate(params, walk.actions)
    memory, memory_cache = remember(params, g, walk)
    loss, grads, dposition, right = 0, {}, np.zeros_like(g), np.empty(walk.revisit.shape, bool)
    for start in range(0, g.shape[1], block):
        now, (cues, stored, age) = slice(start, start + block), ask(memory, start, block)
        r, recalled = recall(params, cues, "sense", stored, age)
        logits, o = temt.decode(params, r), walk.observations[:, now]
        loss_now, dlogits = temt.cross_entropy(logits, o, weight[:, now])
        dr, ddecoder = temt.decode_backward(params, dlogits, r)
        dcues, dstored, drecall = recall_backward(params, dr, "sense", stored, age, recalled)
        loss, right[:, now] = loss + loss_now, logits.argmax(axis=-1) == o
        dposition[:, now] += dcues["position"]
        dposition[:, : start + block] += dstored["position"]
        grads = temt.added(grads, ddecoder, drecall)
    dg = remember_backward(params, dposition, memory_cache)
    return loss, {**grads, **temt.path_integrate_backward(params, dg, walk.actions, path_cache)}, right


def ask(memory, start, block):  # -> cues, memory of the steps up to start + block, age (block, n) or (B, block, n)
    """The cues of a block of steps, all regions but the sense, and what these steps may recall (temt.known)."""
    cues = {name: z[:, start : start + block] for name, z in memory.items() if name not in ("sense", "new")}
    return cues, *temt.known(memory, start, start + cues["position"].shape[1])


def evaluate(params, walk, block=32):  # -> right (B, T)
    """As temt.evaluate: where the likeliest observation is the true one."""
    (tem if is_tem(params) else temt).check(params, walk.actions, walk.observations, walk.revisit)
    memory, _ = remember(params, temt.path_integrate(params, walk.actions)[0], walk)
    likeliest = np.empty_like(walk.observations)
    for start in range(0, likeliest.shape[1], block):
        cues, stored, age = ask(memory, start, block)
        r, _ = recall(params, cues, "sense", stored, age)
        likeliest[:, start : start + block] = temt.decode(params, r).argmax(axis=-1)
    return likeliest == walk.observations


def train(rng, params, draw, gradients=gradients, updates=1000, steps=128, growth=0.3, rate=3e-3, quiet=False):
    """temt.train on walks from draw(rng, T), by any gradients(params, walk).  -> params, accuracies on revisits"""
    state, accuracies = {}, []
    bar = tqdm(range(updates), disable=quiet, mininterval=0.5)
    for update in bar:
        walk = draw(rng, min(steps, round(12 + (steps - 12) * update / max(1, growth * updates))))
        loss, grads, right = gradients(params, walk)
        params, state = temt.adam(params, grads, state, rate * (1 + np.cos(np.pi * update / updates)) / 2)
        if params["leak"] == 1:
            params["W"] = temt.nearer_rotation(params["W"])
        accuracies.append(envs.accuracy(right, walk)[0])
        bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{accuracies[-1]:.3f}", refresh=False)
    return params, accuracies


def reinstate(params, walk, asked, block=32):  # -> right (B, T), determined (B, T)
    """After the walk: from all other regions of a step, is the one that is asked recalled?

    right: the stored code nearest to what is recalled stands for the same thing; nearest by the size of the cosine, as
    synapses keep no sign. determined: nothing else was stored with the same others, so that it could be known.
    """
    memory, _ = remember(params, temt.path_integrate(params, walk.actions)[0], walk)
    age, r = np.repeat(memory["new"][:, None], walk.states.shape[1], axis=1).astype(int), np.empty_like(memory[asked])
    for start in range(0, r.shape[1], block):
        now = slice(start, start + block)
        cues = {name: z[:, now] for name, z in memory.items() if name not in (asked, "new")}
        r[:, now], _ = recall(params, cues, asked, memory, age[:, now])
    cosine = r @ unit(memory[asked])[0].swapaxes(1, 2)
    nearest = np.where(age > 0, abs(cosine), -1).argmax(axis=-1)
    things = {"position": walk.states, "sense": walk.observations}
    things |= {f"context {v + 1}": walk.contexts[..., v] for v in range(len(walk.kinds))}
    same = {name: thing[:, :, None] == thing[:, None] for name, thing in things.items()}
    others = np.all([same[name] for name in same if name != asked], axis=0)
    right = np.take_along_axis(things[asked], nearest, axis=1) == things[asked]
    return right, ~(others & ~same[asked]).any(axis=-1)
