"""More than two regions: TEM and TEM-t trained where what is seen depends on place and context, against two regions.

    python tests/benchmarks/regions.py [SEEDS, default 3; 0: the attractors alone]

5 x 5 grid, 45 kinds of observation, walks of 128 steps, 1,000 updates of 32 walks. Accuracies on 200 fresh walks,
revisits and zero-shot; then what is recalled of each region from all the others, where they determine it. Last, TEM
with an attractor, whose conjunctions do not factorise: 3 x 3, one-hot senses, walks of 48 steps, 300 updates of 16.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import envs
import tem
import temt
from notebooks import regions

MODELS = {
    "TEM-t, sum": (temt, {}),
    "TEM-t, product": (temt, {"product": True}),
    "TEM, two-hot senses": (tem, {}),
    "TEM, one-hot senses": (tem, {"C": 45}),
}
ATTRACTORS = {
    "TEM, plain read": {},
    "TEM, K = 2, kappa .8": {"K": 2, "kappa": 0.8},
    "TEM, K = 3, with f_p": {"K": 3, "kappa": 0.8, "squash": True},
}


def blind(params, walk):
    """temt.py as it is, which never hears of a context."""
    return temt.gradients(params, walk.actions, walk.observations, walk.revisit)


def line(name, right, walk, *more):
    print(f"    {name:22}" + "".join(f"{score:8.3f}" for score in (*envs.accuracy(right, walk), *more)), flush=True)


if __name__ == "__main__":
    for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        for kinds in ((3,), (2, 2)):
            rng = np.random.default_rng(seed)

            def draw(rng, T, batch=32, kinds=kinds):
                return regions.context_walk(rng, envs.grid(5), batch, T, 45, kinds)

            walk, asked = draw(rng, 128, batch=200), ["sense", "context 1", "position"]
            print(
                f"seed {seed}, contexts {kinds}: revisits, zero-shot; {', '.join(asked)} from the others; CPU seconds"
            )
            place, contexts = walk.states, np.moveaxis(walk.contexts, -1, 0)
            for name, keys in (("place alone", [place]), ("contexts alone", contexts), ("both", [place, *contexts])):
                line(name, regions.last_seen(walk, 45, *keys), walk)
            params, _ = regions.train(rng, temt.init_params(rng, 4, 45), draw, blind, quiet=True)
            line("TEM-t, two regions", temt.evaluate(params, walk), walk)
            for name, (model, options) in MODELS.items():
                began = time.process_time()
                params, _ = regions.train(rng, regions.init_params(rng, model, 4, 45, **options), draw, quiet=True)
                seconds = time.process_time() - began
                scores = [
                    right[determined].mean()
                    for right, determined in (regions.reinstate(params, walk, a) for a in asked)
                ]
                line(name, regions.evaluate(params, walk), walk, *scores, seconds)

    def draw_small(rng, T, batch=16):
        return regions.context_walk(rng, envs.grid(3), batch, T, 45)

    walk = draw_small(np.random.default_rng(1), 48, batch=64)
    print("3 x 3, one context of 3: revisits, zero-shot, CPU seconds")
    for name, options in ATTRACTORS.items():
        rng, began = np.random.default_rng(0), time.process_time()
        params = regions.init_params(rng, tem, 4, 45, C=45, **options)
        params, _ = regions.train(rng, params, draw_small, updates=300, steps=48, quiet=True)
        line(name, regions.evaluate(params, walk), walk, time.process_time() - began)
