"""One update of TEM with its memory written as synapses M and as attention: seconds and peak bytes against T.

    python tests/benchmarks/hebb_or_attention.py

One walk at a time (B = 1) on an 8x8 grid, C = 10 two-hot senses, G = 64 or 4 and so P = 640 or 40 hippocampal units;
float32. The same loss and gradients come out of both; the last column says how far they differ.
"""

import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import envs
import tem


def update(params, walk, block):
    return tem.gradients(params, walk.actions, walk.observations, walk.revisit, block)


def measure(params, walk, block, repeats):
    """Median seconds (without tracing), peak bytes (with), and the gradients."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        grads = update(params, walk, block)[1]
        seconds.append(time.perf_counter() - began)
    tracemalloc.start()
    update(params, walk, block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return np.median(seconds), peak, grads


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    names = ("T", "M, ms", "attention, ms", "ratio", "M, MB", "attention, MB", "differ by")
    print(f"{'P':>4}" + "".join(f"{name:>{w}}" for name, w in zip(names, (6, 9, 15, 7, 9, 15, 11))))
    for G, T in ((64, 32), (64, 128), (64, 512), (4, 32), (4, 128), (4, 512), (4, 2048), (4, 8192)):
        params, walk = tem.init_params(rng, 4, 45, G, same=1.0), envs.walk(rng, envs.grid(8), 1, T, 45)
        synapses = measure({**params, "hebbian": np.float32(1)}, walk, T, 3)
        attention = measure(params, walk, 32, 3)
        size = np.sqrt(sum(np.sum(d**2) for d in attention[2].values()))
        gap = max(np.abs(synapses[2][k] - d).max() for k, d in attention[2].items()) / size
        times, peaks = (1e3 * synapses[0], 1e3 * attention[0]), (synapses[1] / 1e6, attention[1] / 1e6)
        row = f"{10 * G:4}{T:6}{times[0]:9.1f}{times[1]:15.1f}{times[0] / times[1]:7.2f}{peaks[0]:9.1f}{peaks[1]:15.1f}"
        print(row + f"{gap:11.1e}")
