"""Every variant of notebooks/encodings.py, same worlds, walks, starting values and budget: writes encodings.csv.

    python tests/benchmarks/encodings.py [SEEDS, default 3]

An 8x8 grid, S = 45, G = 64, batch 32, 800 updates of 12 to 64 steps. Accuracies are those on 64 fresh walks of 64 steps
and of 128 (twice), for a seed the same for every variant. updates_to_90: the first update at which the mean accuracy of
the last 20 was above 0.9; empty, never. About 6 minutes of one core for three seeds.
"""

import csv
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import envs
from notebooks import encodings

SIZE, STEPS, UPDATES, S = 8, 64, 800, 45
HEADER = f"# python tests/benchmarks/encodings.py: grid of {SIZE} x {SIZE}, S = {S}, {STEPS} steps, {UPDATES} updates"


def measure(variant, seed):  # -> dict, one row
    """Train on walks of the seed's own, score on others of its own."""
    world, began = envs.grid(SIZE), time.process_time()
    params = encodings.init_params(np.random.default_rng(seed), variant, world, S, longest=2 * STEPS)
    params, history = encodings.train(np.random.default_rng([seed, 1]), variant, world, params, UPDATES, steps=STEPS)
    row, rng = {"variant": variant, "seed": seed}, np.random.default_rng([seed, 2])
    for suffix, T in (("", STEPS), ("_twice", 2 * STEPS)):
        walk = envs.walk(rng, world, 64, T, S)
        right = encodings.evaluate(params, variant, walk)
        scores = (*envs.accuracy(right, walk), right[~walk.revisit].mean())
        row |= {name + suffix: f"{score:.4f}" for name, score in zip(("revisits", "zero_shot", "first_visits"), scores)}
    smooth = np.convolve(history, np.ones(20) / 20, "valid")
    row["updates_to_90"] = 20 + int((smooth > 0.9).argmax()) if (smooth > 0.9).any() else ""
    return row | {"cpu_seconds": f"{time.process_time() - began:.1f}"}


if __name__ == "__main__":
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    rows = []
    for variant in encodings.VARIANTS:
        for seed in range(seeds):
            rows.append(measure(variant, seed))
            print(*rows[-1].values(), sep="  ", flush=True)
    with open(Path(__file__).with_suffix(".csv"), "w", newline="") as file:
        print(HEADER, file=file)
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
