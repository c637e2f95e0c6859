"""Every structure beside space, and the larger grid, beside what there is to know: writes structures.csv.

    python tests/benchmarks/structures.py [SEEDS, default 3]

TEM-t, S = 45, batch 32, on fresh worlds. A row is a recipe (see RECIPES), a seed and a length of walk; its pairs are
accuracies on revisits and zero-shot: of the model, of the edge agent, of the ideal agent by moves alone, and of the
ideal agent with sight (notebooks/structures.py). Chance is 1/45; the node agent, who is told where it is, has 1.
cpu_seconds: training; "then by sight" and "sharper" go on from the recipe before them and count what they add. Some
20 minutes of one core for three seeds.
"""

import csv
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import envs
import temt
from notebooks import cells, structures

S, TREE, SMALL, LARGE = 45, envs.family_tree(4), [envs.grid(n) for n in (6, 7, 8)], envs.grid(16)
RING, LINE, LAPS = envs.ring(8), envs.line(8), envs.laps(4)


def learn(seed, worlds, updates=600, steps=64, **start):  # -> params
    """temt.init_params, then temt.train."""
    rng, worlds = np.random.default_rng(seed), worlds if isinstance(worlds, list) else [worlds]
    params = temt.init_params(rng, worlds[0].n_actions, S, **start)
    return temt.train(rng, worlds, params, updates, steps=steps, quiet=True)[0]


@cache
def by_moves(seed):
    """On the tree, from permutations."""
    return structures.by_moves(np.random.default_rng(seed), TREE)


def by_sight(seed):
    """From what by_moves of the same seed has learned."""
    return structures.by_sight(np.random.default_rng([seed, 2]), TREE, by_moves(seed))


@cache
def grids(seed):
    """On grids of 6 x 6 to 8 x 8 in turn."""
    return learn(seed, SMALL, 1000, 128)


@cache
def blunt(seed):
    """The same, but attention is held as blunt as it begins."""
    rng = np.random.default_rng(seed)
    params = temt.init_params(rng, 4, S, beta=0.2)
    return cells.grow(rng, temt, params, SMALL, 1000, 128, growth=0.3, fixed=("log_beta",), quiet=True)


def sharper(params, times):
    """The same parameters, with attention so many times as sharp."""
    return {**params, "log_beta": params["log_beta"] + np.log(params["W"].dtype.type(times))}


# name: (tested on, steps of the tests, walks, landmarks, learn(seed) -> params)
RECIPES = {
    "ring": (RING, (64, 128), 128, False, lambda seed: learn(seed, RING)),
    "line": (LINE, (64, 128), 128, False, lambda seed: learn(seed, LINE)),
    "laps": (LAPS, (64, 128), 128, False, lambda seed: learn(seed, LAPS)),
    "tree, rotations": (TREE, (64, 128), 128, False, lambda seed: learn(seed, TREE)),
    "tree, I + noise": (TREE, (64, 128), 128, False, lambda seed: learn(seed, TREE, activation="relu")),
    "tree, by moves": (TREE, (64, 128), 128, False, by_moves),
    "tree, then by sight": (TREE, (64, 128), 128, True, by_sight),
    "larger grid": (LARGE, (1024,), 16, False, grids),
    "larger grid, sharper": (LARGE, (1024,), 16, False, lambda seed: sharper(grids(seed), 8)),
    "larger grid, blunt": (LARGE, (1024,), 16, False, blunt),
    "larger grid, blunt, then sharper": (LARGE, (1024,), 16, False, lambda seed: sharper(blunt(seed), 64)),
}


def measure(name, seed):  # -> rows
    """Learn from the seed's own walks, score on others of its own."""
    world, lengths, batch, landmarks, learn = RECIPES[name]
    began, rows = time.process_time(), []
    params = learn(seed)
    seconds, rng = time.process_time() - began, np.random.default_rng([seed, 1])
    for T in lengths:
        walk = envs.walk(rng, world, batch, T, S)
        agents = {"model": temt.evaluate(params, walk, landmarks=landmarks), "edge": envs.edge_agent(walk, S)}
        agents |= {n: structures.ideal_agent(walk, world, S, n == "sight") for n in ("moves", "sight")}
        row = {"recipe": name, "seed": seed, "steps": T}
        for agent, right in agents.items():
            scores = zip(("revisits", "zero_shot"), envs.accuracy(right, walk))
            row |= {f"{agent}_{mask}": f"{score:.4f}" for mask, score in scores}
        rows.append(row | {"cpu_seconds": f"{seconds:.0f}"})
        print(*rows[-1].values(), sep="  ", flush=True)
    return rows


def write(rows):
    """To structures.csv, beside this file."""
    with open(Path(__file__).with_suffix(".csv"), "w", newline="") as file:
        print("# python tests/benchmarks/structures.py", file=file)
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    write([row for name in RECIPES for seed in range(seeds) for row in measure(name, seed)])
