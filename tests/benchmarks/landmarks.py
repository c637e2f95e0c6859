"""What landmarks are worth: larger worlds, longer walks and noise, against the same model with its gate shut.

    python tests/benchmarks/landmarks.py [SEEDS, default 3]

TEM-t, trained on grids of 6 x 6 to 8 x 8 at 128 steps, 1,000 updates; evaluated on fresh worlds, without retraining.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import envs
import temt

if __name__ == "__main__":
    for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        rng, began = np.random.default_rng(seed), time.perf_counter()
        params = temt.init_params(rng, 4, 45, same=0.95)
        params, _ = temt.train(rng, [envs.grid(n) for n in (6, 7, 8)], params, quiet=True)
        print(f"seed {seed}, trained in {time.perf_counter() - began:.0f} s; revisits, zero-shot, last 128 steps")
        for n, T, batch in ((8, 256, 64), (16, 1024, 32), (24, 1024, 32)):
            walk, cells = envs.walk(rng, envs.grid(n), batch, T, 45), []
            for landmarks in (False, True):
                right = temt.evaluate(params, walk, landmarks=landmarks)
                cells += [*envs.accuracy(right, walk), right[:, -128:][walk.revisit[:, -128:]].mean()]
            print(f"  {n:2} x {n:2}, {T:4} steps: without {cells[0]:.3f} {cells[1]:.3f} {cells[2]:.3f}", end="")
            print(f", with {cells[3]:.3f} {cells[4]:.3f} {cells[5]:.3f}")
        walk, shut = envs.walk(rng, envs.grid(8), 64, 256, 45), {**params, "gate": np.array([-1e3, 0, 0], np.float32)}
        for level in (0.05, 0.08, 0.09, 0.1, 0.11):
            noise = np.float32(level) * rng.normal(size=(64, 256, 64)).astype(np.float32)
            scores = [
                envs.accuracy(temt.evaluate(p, walk, landmarks=True, noise=noise), walk)[0] for p in (shut, params)
            ]
            print(f"  noise {level:.2f} on 8 x 8, 256 steps: without {scores[0]:.3f}, with {scores[1]:.3f}")
