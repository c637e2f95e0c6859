"""TEM against TEM-t: the same worlds, walks, starting values and updates, and an equal search for each.

    OPENBLAS_NUM_THREADS=1 python tests/benchmarks/race.py [search] [race] [places] [capacity] [cost]

Each part writes one table beside this file, row by row; without a name, all run in this order (about half an hour).
search: each model's own hyperparameters, 13 configurations of each, on seeds that the race does not use.
race: the best of each, and the best TEM with an attractor, evaluated along training on walks never trained on. The
    best TEM runs twice: as tem.py has it, and factored, the same numbers with C times fewer products.
places: accuracy after a short training against the size of the world, everything else fixed.
capacity: recall by each kernel against the number of random positions stored; no training.
cost: seconds and bytes of one update, and of one step with many memories.

Seconds are those of the processor at one thread. Glossary: as in tem.py, and P = G C; a curve is one run's rows.
"""

import csv
import sys
import time
import tracemalloc
from importlib.util import module_from_spec, spec_from_file_location
from itertools import chain, product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import envs
import tem
import temt

FOLDER = Path(__file__).resolve().parent
N_OBS, BATCH = 45, 32
ATTRACTOR = {"K": 3, "kappa": 0.8, "squash": True}
RATE, OTHER_RATES = 3e-3, (1.5e-3, 6e-3, 1e-2)  # the memory is searched at the first, its best then at the others
CONFIGURATIONS = {
    "TEM": {
        "plain read": {},
        "every pair stored": {"same": 1.0},
        "same 0.6": {"same": 0.6},
        "one-hot": {"C": N_OBS},
        "one-hot and same 0.6": {"C": N_OBS, "same": 0.6},
        "lam 0.98": {"lam": 0.98},
        "f_p and eta 1/256": {"squash": True, "eta": 1 / 256},
        "attractor": ATTRACTOR,
        "attractor and eta 1/256": {**ATTRACTOR, "eta": 1 / 256},
        "attractor and eta 1/256 and one-hot and same 0.6": {**ATTRACTOR, "eta": 1 / 256, "C": N_OBS, "same": 0.6},
    },
    "TEM-t": {
        "plain": {},
        "beta 1/4": {"beta": 0.25},
        "beta 1": {"beta": 1.0},
        "beta 2": {"beta": 2.0},
        "new pairs alone": {"same": 0.9},
        "beta 1/4 and new pairs alone": {"beta": 0.25, "same": 0.9},
        "beta 1 and new pairs alone": {"beta": 1.0, "same": 0.9},
        "beta 2 and new pairs alone": {"beta": 2.0, "same": 0.9},
        "two-hot": {"C": 10},
        "two-hot and new pairs alone": {"C": 10, "same": 0.9},
    },
}

# ------------------------------------------------------------------------------------ TEM with the fewest products


def remember_factors(params, g, x):  # (B, n, G), (B, n, C) -> what is stored, each (B, n, ...)
    """p = flatten(g (x) x), kept as its factors: g, and (1 . x) x where new."""
    new = tem.is_new(params, g, x)
    return {"key": g, "value": x.sum(axis=-1, keepdims=True) * new[..., None] * x, "new": new}, None


def remember_factors_backward(params, dmemory, cache):  # -> dg (B, n, G), dparams
    """Senses are given."""
    return dmemory["key"], {}


def recall_factors(params, g, memory, age):  # (B, Q, G), n memories, (Q, n) or (B, Q, n) -> (B, Q, C)
    """u = sum of w (g . g_tau)^2 (1 . x_tau) x_tau, w = eta lam^(age - 1);  r = u / |u|: TEM if K = 1, no f_p."""
    c = g @ memory["key"].swapaxes(1, 2)
    w = np.where(age > 0, np.exp(params["log_eta"]) * params["lam"] ** np.maximum(age - 1, 0).astype(g.dtype), 0)
    u = (w * c**2) @ memory["value"]
    size = np.sqrt(np.einsum("bqc,bqc->bq", u, u) + tem.EPS)[..., None]
    return u / size, {"g": g, "c": c, "w": w, "r": u / size, "size": size}


def recall_factors_backward(params, dr, memory, age, cache):  # (B, Q, C) -> dg (B, Q, G), dmemory, dparams
    """du = (dr - r (r . dr)) / |u|;  dc = 2 w c (du X^T);  dg = dc K;  dK = dc^T g."""
    r, c, w = cache["r"], cache["c"], cache["w"]
    du = (dr - r * np.einsum("bqc,bqc->bq", r, dr)[..., None]) / cache["size"]
    dc = 2 * w * c * (du @ memory["value"].swapaxes(1, 2))
    return dc @ memory["key"], {"key": dc.swapaxes(1, 2) @ cache["g"]}, {"log_eta": np.sum(dc * c) / 2}


FACTORS = {"remember": remember_factors, "remember_backward": remember_factors_backward}
FACTORS |= {"recall": recall_factors, "recall_backward": recall_factors_backward}


def factored():  # -> module
    """A second tem.py, with the four functions of its plain read in the factors of rungs 4 and 5 of notebook 3."""
    spec = spec_from_file_location("tem_factored", tem.__file__)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module).update(FACTORS)
    return module


MODELS = {"TEM": tem, "TEM factored": factored(), "TEM-t": temt}

# ---------------------------------------------------------------------------------------------------- training


def flops(model, params, B, T, block=32):
    """Floating-point operations in the matrix products of one update, two for each multiplication with its addition.

    With n(t) = the memories stored before the end of t's block, N = sum of n(t) over the T steps, P = G C:
    moves (T - 1) (2 A + 1) B G^2 (there, back, dW);  decoder 3 B T C S;  rotations 2 A G^3;  is_new, where it looks,
    B T^2 (G + C);  tem.py, as attention, 6 K B N P for K steps of recall there and back, and 3 B T P to unbind;  the
    others B N (3 G + 2 C). What is done element by element is left out.
    """
    (A, G, _), (C, S) = params["W"].shape, params["D"].shape
    N = sum(min(block, T - start) * min(start + block, T) for start in range(0, T, block))
    products = (T - 1) * (2 * A + 1) * B * G**2 + 3 * B * T * C * S
    products += 2 * A * G**3 if params["leak"] == 1 else 0
    products += B * T**2 * (G + C) if params["same"] < 1 else 0
    if model is tem:
        return 2 * (products + 6 * int(params["K"]) * B * N * G * C + 3 * B * T * G * C)
    return 2 * (products + B * N * (3 * G + 2 * C))


def train(model, rng, world, params, updates, steps, rate=RATE, growth=0.3):
    """model.train, update by update: the same parameters to the last bit.  -> yields params, seconds, flops so far"""
    state, seconds, work = {}, 0.0, 0
    np.empty(31 << 20, np.uint8)  # as in model.train
    for update in range(updates):
        began = time.process_time()
        T = min(steps, round(12 + (steps - 12) * update / max(1, growth * updates)))
        walk = envs.walk(rng, world, BATCH, T, len(params["b"]))
        _, grads, _ = model.gradients(params, walk.actions, walk.observations, walk.revisit)
        params, state = model.adam(params, grads, state, rate * (1 + np.cos(np.pi * update / updates)) / 2)
        if params["leak"] == 1:
            params["W"] = model.nearer_rotation(params["W"])
        seconds, work = seconds + time.process_time() - began, work + flops(model, params, BATCH, T)
        yield params, seconds, work


def curve(name, configuration, seed, size, steps, updates, rate=RATE, every=50):
    """One run on a size x size grid, evaluated at the start and after every `every` updates.  -> yields rows

    The held-out walks are drawn from [seed, 1]: the training stream, from seed, does not depend on them.
    """
    model, world, rng = MODELS[name], envs.grid(size), np.random.default_rng(seed)
    held_out = envs.walk(np.random.default_rng([seed, 1]), world, 128, steps, N_OBS)
    params = model.init_params(rng, world.n_actions, N_OBS, **configuration)
    stages = chain([(params, 0.0, 0)], train(model, rng, world, params, updates, steps, rate))
    for update, (params, seconds, work) in enumerate(stages):
        if update % every == 0:
            revisits, zero_shot = envs.accuracy(model.evaluate(params, held_out), held_out)
            told = {"update": update, "seconds": seconds, "flops": work}
            yield {**told, "revisits": revisits, "zero_shot": zero_shot}


def search(seeds=(100, 101)):
    """Ten memories of each model at one rate, then the best of them at three more.  -> yields rows, one a run"""
    rows = []
    for model in CONFIGURATIONS:
        for name, seed in product(CONFIGURATIONS[model], seeds):
            rows.append(tried(model, name, RATE, seed))
            yield rows[-1]
        name, _ = best(rows, model)
        for rate, seed in product(OTHER_RATES, seeds):
            yield tried(model, name, rate, seed)


def tried(model, name, rate, seed, updates=400):
    """One run of the search. curve: mean accuracy on revisits along it, high where it learns fast and ends well."""
    options = CONFIGURATIONS[model][name]
    form = "TEM factored" if model == "TEM" and "squash" not in options else model
    rows = [*curve(form, options, seed, 6, 64, updates, rate)]
    last, along = rows[-1], np.mean([row["revisits"] for row in rows[1:]])
    told = {"model": model, "configuration": name, "rate": rate, "seed": seed}
    return {**told, **{score: last[score] for score in ("seconds", "revisits", "zero_shot")}, "curve": along}


def best(rows, model, attractor=False):  # -> configuration, rate
    """The one with the highest mean `curve` over its seeds, of those with an attractor alone where asked for."""
    scores = {}
    for row in rows:
        name = row["configuration"]
        if row["model"] == model and (not attractor or "K" in CONFIGURATIONS[model][name]):
            scores.setdefault((name, row["rate"]), []).append(row["curve"])
    return max(scores, key=lambda key: np.mean(scores[key]))


def racers():  # -> {name: (model, options, rate)}
    """Whom the search has chosen."""
    rows, chosen = read("search"), {}
    for name, form, attractor in (("TEM", "TEM", False), ("TEM attractor", "TEM", True), ("TEM-t", "TEM-t", False)):
        configuration, rate = best(rows, form, attractor)
        chosen[name] = form, CONFIGURATIONS[form][configuration], rate
    return {**chosen, "TEM factored": ("TEM factored", *chosen["TEM"][1:])}


RACES = (  # size, steps, seeds, racers; those that take minutes a run come last, and with one seed
    (6, 64, 5, ("TEM factored", "TEM-t")),
    (8, 128, 5, ("TEM factored", "TEM-t")),
    (6, 64, 1, ("TEM", "TEM attractor")),
)


def race(updates=1000):
    """The racers in turn, 50 updates each, so that what else keeps the cores busy slows all alike.  -> yields rows"""
    for size, steps, seeds, names in RACES:
        for seed in range(seeds):
            runs = []
            for model, options, rate in (racers()[name] for name in names):
                runs.append(curve(model, options, seed, size, steps, updates, rate))
            for name, row in (pair for rows in zip(*runs) for pair in zip(names, rows)):
                yield {"racer": name, "size": size, "steps": steps, "seed": seed, **row}


# ------------------------------------------------------------------------------------------------------ scaling


def places(sizes=(4, 6, 8, 10, 12), seed=0, updates=400):
    """Accuracy after a short training on walks of 128 steps, against the size of the world.  -> yields rows"""
    for size, name in product(sizes, ("TEM factored", "TEM-t")):
        model, options, rate = racers()[name]
        rows = [*curve(model, options, seed, size, 128, updates, rate, every=updates)]
        yield {"racer": name, "size": size, "seed": seed, **rows[-1]}


KERNELS = {  # the weight of each memory; c: cosine of cue and memory (Q, n), key: the memories' positions (n, G)
    "summed over G": lambda c, key: c * key.sum(axis=1),
    "linear": lambda c, key: c,
    "quadratic": lambda c, key: c**2,
    "exponential": lambda c, key: np.exp(BETA * np.log1p(len(key)) * np.sqrt(key.shape[1]) * (c - 1)),
}
BETA = 0.5  # TEM-t's at the start


def recalled(kernel, q, key, x):  # (Q, G), (n, G), (n, C) -> (Q, C)
    """What a kernel recalls of senses x stored at positions `key`, up to a positive factor for each cue.

    summed over G: TEM's h = q M, summed over position units [W22]; linear: the same where every sum of g is 1;
    quadratic: TEM's h unbound with g, as tem.py does; exponential: TEM-t, for positions of mean 0.
    """
    return KERNELS[kernel](q @ key.T / key.shape[1], key) @ x


def capacity(seed=0, repeats=8, asked=256):
    """Share of places recalled right against the number stored, at random positions of rms 1.  -> yields rows

    The cue is the position itself plus noise of the given rms; 45 kinds of sense, one-hot or in 10 units two-hot.
    """
    rng = np.random.default_rng(seed)
    for G, noise, C, n in product((4, 6, 8, 16, 32, 64), (0.0, 0.5), (10, N_OBS), 2 ** np.arange(1, 14)):
        code, right = temt.sense_code(C, N_OBS), {kernel: [] for kernel in KERNELS}
        for _ in range(repeats):
            key, kind = random_positions(rng, n, G), rng.integers(N_OBS, size=n)
            q = key[:asked] + noise * rng.normal(size=key[:asked].shape)
            for kernel in KERNELS:
                r = recalled(kernel, q, key, code[kind])
                right[kernel].append(np.mean((r @ code.T).argmax(axis=1) == kind[:asked]))
        for kernel in KERNELS:
            yield {"G": G, "noise": noise, "C": C, "places": n, "kernel": kernel, "right": np.mean(right[kernel])}


def random_positions(rng, n, G):  # -> (n, G)
    """Independent normals, each row divided by its rms."""
    return temt.norm(rng.normal(size=(n, G)))[0]


def cost(repeats=5):
    """Least seconds of several, and peak bytes, of one update against T, G and places; of one step against memories.

    Bytes of an update are what its gradients allocate at most; of a step, what the memory holds.  -> yields rows
    """
    points = [("T", T, {"steps": T}) for T in (32, 64, 128, 256, 512)]
    points += [("G", G, {"G": G}) for G in (16, 32, 64, 128)] + [("places", n * n, {"size": n}) for n in (4, 8, 16, 32)]
    for (axis, value, setting), name in product(points, MODELS):
        seconds, size = update_cost(name, repeats, **setting)
        yield {"axis": axis, "value": value, "form": name, "seconds": seconds, "bytes": size}
    for n, (form, name, C) in product(4 ** np.arange(2, 9), STEPS):
        seconds, size = step_cost(name, C, n, repeats)
        yield {"axis": "memories", "value": n, "form": form, "seconds": seconds, "bytes": size}


STEPS = ("TEM one-hot", "TEM", N_OBS), ("TEM two-hot", "TEM", 10), ("TEM-t", "TEM-t", N_OBS)


def update_cost(name, repeats, size=8, steps=128, G=64):  # -> seconds, bytes
    """Of one update of the model as it was raced."""
    (form, options, _), rng = racers()[name], np.random.default_rng(0)
    model, walk = MODELS[form], envs.walk(rng, envs.grid(size), BATCH, steps, N_OBS)
    params = model.init_params(rng, 4, N_OBS, G, **options)

    def update():
        _, grads, _ = model.gradients(params, walk.actions, walk.observations, walk.revisit)
        model.adam(params, grads, {}, RATE)

    seconds = least_seconds(update, repeats)
    tracemalloc.start()
    update()
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, size


def least_seconds(call, repeats):
    """Processor time of the fastest of several calls: what disturbs only adds."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        seconds.append(time.process_time() - began)
    return min(seconds)


def step_cost(name, C, n, repeats):  # -> seconds, bytes
    """Of recall and storage in one step of one walk, with n memories: TEM as one M (P, P), TEM-t as n rows."""
    rng = np.random.default_rng(0)
    params = MODELS[name].init_params(rng, 4, N_OBS, C=C, same=1.0)
    g = random_positions(rng, n + 1, len(params["g0"])).astype(np.float32)[None]
    x = temt.sense(params, rng.integers(N_OBS, size=(1, n + 1)))
    step, memory = (synapses if name == "TEM" else rows)(params, g[:, :n], x[:, :n], g[:, n:], x[:, n:])
    return least_seconds(step, repeats), sum(array.nbytes for array in memory)


def synapses(params, g, x, g_now, x_now):  # (1, n, G), (1, n, C), (1, 1, G), (1, 1, C) -> step, arrays kept
    """TEM's memory as M: recall at g_now is g M, and storage adds eta p^T p."""
    eta = np.exp(params["log_eta"])
    p = tem.remember({**params, "hebbian": False}, g, x)[0]["p"][0]
    M = eta * (p.T @ p)

    def step():
        tem.recall({**params, "hebbian": True}, g_now, {"M": M[None, None], "p": None}, np.ones((1, 1)))
        p_now = tem.remember({**params, "hebbian": False}, g_now, x_now)[0]["p"][0]
        np.add(M, eta * p_now.T @ p_now, out=M)

    return step, [M]


def rows(params, g, x, g_now, x_now):  # (1, n, G), (1, n, C), (1, 1, G), (1, 1, C) -> step, arrays kept
    """TEM-t's memory as a list: recall attends to all of it, and storage writes one row."""
    memory, age = temt.remember(params, g, x)[0], np.ones((1, g.shape[1]))

    def step():
        temt.recall(params, g_now, memory, age)
        memory["key"][:, -1:] = temt.remember(params, g_now, x_now)[0]["key"]
        memory["value"][:, -1:] = x_now

    return step, [memory["key"], memory["value"]]


# ------------------------------------------------------------------------------------------------------ tables


def write(part, rows):
    """One row after the other to the part's table, so that an interrupted run keeps what it has."""
    with open(TABLES[part], "w", newline="") as file:
        table = None
        for row in rows:
            row = {name: f"{value:.5g}" if isinstance(value, float) else value for name, value in row.items()}
            if table is None:
                table = csv.DictWriter(file, row)
                table.writeheader()
            table.writerow(row)
            file.flush()
            print(*row.values(), flush=True)


def read(part):  # -> list of dicts
    """The rows of the part's table, numbers as floats."""
    with open(TABLES[part], newline="") as file:
        return [{name: number(value) for name, value in row.items()} for row in csv.DictReader(file)]


def number(value):
    """float(value) where it is one, else value."""
    try:
        return float(value)
    except ValueError:
        return value


def columns(rows, **where):  # -> {name: array}
    """The rows for which all of `where` holds."""
    chosen = [row for row in rows if all(row[name] == value for name, value in where.items())]
    return {name: np.array([row[name] for row in chosen]) for name in chosen[0]}


def curves(racer, size):  # -> one dict of columns for each seed
    """A racer's runs in the table of the race."""
    rows = [row for row in read("race") if row["racer"] == racer and row["size"] == size]
    return [columns(rows, seed=seed) for seed in sorted({row["seed"] for row in rows})]


def score_at(runs, axis, value, score="revisits"):  # -> (seeds,)
    """The score after so many updates, seconds or flops: straight between evaluations, and the last one after them."""
    return np.array([np.interp(value, run[axis], run[score]) for run in runs])


def needed(runs, axis, goal, score="revisits"):  # -> (seeds,)
    """Updates, seconds or flops up to the first evaluation with a score of at least `goal`; infinity where none is."""
    return np.array([min(run[axis][run[score] >= goal], default=np.inf) for run in runs])


PARTS = {"search": search, "race": race, "places": places, "capacity": capacity, "cost": cost}
TABLES = {part: FOLDER / ("race.csv" if part == "race" else f"race_{part}.csv") for part in PARTS}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        write(part, PARTS[part]())
