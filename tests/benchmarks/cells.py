"""Which settings give which cells: position codes of TEM-t and TEM, trained and scored. Writes cells.csv beside it.

    python tests/benchmarks/cells.py [SEEDS, default 3]

Rows that are there already are kept: delete the file to begin anew. Each row holds a setting and a seed; accuracy on
revisits at T and 2 T steps of fresh walks; units whose map varies; for each periodic score its median, the share of
active units beyond the 95th percentile of their own shuffled maps, and the share above 0.3; quartiles of the wavelength
of each unit's strongest plane wave, in steps; CPU seconds of training. Maps are those of a world two places wider to
each side than the one trained in: walks there still stay within the displacements that training has shown. A torus is
unrolled: its code is mapped on an open grid (20 x 20; TEM, which is trained on smaller worlds, 14 x 14).
"""

import csv
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import envs
import tem
import temt
from notebooks import cells, figures

BLUNT = {"fixed": ("log_beta",)}
WORLDS = {
    "grid": (envs.grid(12), envs.grid(16), {}),
    "torus": (
        envs.grid(8, torus=True),
        envs.grid(20),
        {"growth": 0.3},
    ),  # or the code of a plane comes first, and stays
    "hexagon": (envs.hexagon(7), envs.hexagon(9), {}),
}
SETTINGS = {  # name: model, init_params, grow
    "linear": (temt, {"activation": "linear", "G": 64}, {"updates": 1500}),
    "relu": (temt, {"activation": "relu", "G": 48}, {}),
    "relu, blunt": (temt, {"activation": "relu", "G": 48, "beta": 0.25}, BLUNT),
    "relu, blunt, L2": (temt, {"activation": "relu", "G": 48, "beta": 0.25}, {"decay": 0.03, **BLUNT}),
    "relu, blunt, G = 24": (temt, {"activation": "relu", "G": 24, "beta": 0.35}, BLUNT),
    "relu, blunt, G = 96": (temt, {"activation": "relu", "G": 96, "beta": 0.18}, BLUNT),
}


def row(model, init, how, world, larger, seed):
    """Train, evaluate and score."""
    rng, began = np.random.default_rng(seed), time.process_time()
    params = cells.grow(rng, model, model.init_params(rng, world.n_actions, 45, **init), world, quiet=True, **how)
    told = {"cpu seconds": time.process_time() - began}
    for name, times in (("revisits", 1), ("revisits at 2 T", 2)):
        walk = envs.walk(rng, world, 64, times * how.get("steps", 96), 45)
        told[name] = envs.accuracy(model.evaluate(params, walk), walk)[0]
    maps = figures.position_maps(rng, model, params, larger, batch=200, steps=250)
    maps = maps[np.nanstd(maps, axis=1) > 0.05]
    told["active"] = len(maps)
    beyond = np.zeros(len(maps), bool)
    for name, (scores, null) in cells.population(rng, maps, larger.xy, shuffles=40).items():
        better = scores > np.nanpercentile(null, 95, axis=0)
        beyond |= better
        told |= {f"{name} median": np.nanmedian(scores), f"{name} beyond null": better.mean()}
        told[f"{name} > 0.3"] = np.mean(scores > 0.3)
    k, share = cells.spectrum(maps, larger.xy)
    lengths = 1 / np.linalg.norm(k[share.argmax(axis=1)], axis=1)
    told |= {f"wavelength {q}": np.percentile(lengths, q) for q in (25, 50, 75)}
    return {**told, "beyond any null": beyond.mean()}


if __name__ == "__main__":
    path, small = Path(__file__).with_name("cells.csv"), {"updates": 1500, "steps": 64}
    jobs = [(w, s) for w in WORLDS for s in SETTINGS if w == "hexagon" or s.count(",") < 2]
    plan = {
        job: (*SETTINGS[job[1]][:2], {**SETTINGS[job[1]][2], **WORLDS[job[0]][2]}, *WORLDS[job[0]][:2]) for job in jobs
    }
    for name in ("linear", "relu"):
        init, opened = {"activation": name}, {**small, "growth": 0.3}
        plan["grid 6 x 6", f"TEM, {name}"] = (tem, init, small, envs.grid(6), envs.grid(8))
        plan["hexagon 4", f"TEM, {name}"] = (tem, init, small, envs.hexagon(4), envs.hexagon(5))
        plan["torus 6 x 6", f"TEM, {name}"] = (tem, init, opened, envs.grid(6, torus=True), envs.grid(14))
    rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
    done = {(row["world"], row["setting"], int(row["seed"])) for row in rows}
    for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        for where, name in (job for job in plan if (*job, seed) not in done):
            told = {key: f"{value:.4g}" for key, value in row(*plan[where, name], seed).items()}
            rows.append({"world": where, "setting": name, "seed": seed, **told})
            print(rows[-1], flush=True)
            with open(path, "w", newline="") as file:
                table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                table.writeheader()
                table.writerows(rows)
