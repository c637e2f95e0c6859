"""Loss and gradients, by hand in NumPy and by autograd in PyTorch and JAX: seconds at 1 and 2 threads, and peak memory.

    python tests/benchmarks/speed.py [--quick]

`pip install torch jax` gets what requirements.txt does not; what is absent, and compiled PyTorch without g++, is left
out. B = 32, T = 128 and 512, G = 64, S = 45, 4 moves, float32; TEM with C = 10, in its attention form. Every contender
is given the same batch and must find the same loss and gradients (see autograd.py). Threads are set before anything is
imported, so each number of them has a process of its own. There, contenders take turns: a pause, until idle threads no
longer spin, a run that does not count, and one that does. Medians of ms, of that over NumPy's, of CPU time over time.

matmul: the matrix products of the NumPy version alone, np.matmul on contiguous arrays of the same shapes. Peak memory
(Linux): what one more run adds to the process, from its resident size before to its high water; T = 2,048: tracemalloc.
"""

import argparse
import ctypes
import gc
import inspect
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import autograd

import envs
import tem
import temt

MODELS = {"TEM-t": temt, "TEM": tem}
B, G, S = 32, 64, 45


def by_hand(model, params, walk):  # -> run() -> loss, {name: gradient}
    return lambda: model.gradients(params, walk.actions, walk.observations, walk.revisit)[:2]


def contenders():  # -> {name: a function of model, params, walk that returns run}
    """Those that can run here."""
    found = {"NumPy": by_hand}
    if autograd.torch:
        found["PyTorch"] = autograd.in_torch
    if autograd.torch and shutil.which("g++"):
        found["PyTorch compiled"] = partial(autograd.in_torch, compiled=True)
    if autograd.jax:
        found["JAX"] = autograd.in_jax
    return found


def problem(model, T):  # -> params, walk
    rng = np.random.default_rng(0)
    return model.init_params(rng, 4, S, G), envs.walk(rng, envs.grid(8), B, T, S)


def disagreement(run, loss_wanted, wanted):
    """The worst difference of loss or gradients, relative to all of it. A first run: what compiles, compiles here."""
    (loss, grads), size = run(), np.sqrt(sum(np.sum(d**2) for d in wanted.values()))
    worst = max(np.abs(np.asarray(grads[name]) - d).max() for name, d in wanted.items())
    return max(abs(float(loss) / loss_wanted - 1), worst / size)


# ------------------------------------------------------------------------------------- what a process of its own does


def race(model, T, turns):  # -> {name: [ms, cores, disagreement]}, and of matmul [ms, GFLOP]
    """Round robin over all contenders."""
    np.empty(31 << 20, np.uint8)  # as in model.train: glibc then keeps freed memory, for all who run here
    params, walk = problem(model, T)
    runs = {name: contender(model, params, walk) for name, contender in contenders().items()}
    reference = runs["NumPy"]()
    worst = {name: disagreement(run, *reference) for name, run in runs.items()}
    assert max(worst.values()) < 1e-5, worst
    wall, cpu = {name: [] for name in runs}, {name: [] for name in runs}
    for name, run in turns * list(runs.items()):
        time.sleep(0.1)
        run()
        began, began_cpu = time.perf_counter(), time.process_time()
        run()
        cpu[name].append(time.process_time() - began_cpu)
        wall[name].append(time.perf_counter() - began)
    ms = {name: 1e3 * np.median(wall[name]) for name in runs}
    cores = {name: np.median(np.divide(cpu[name], wall[name])) for name in runs}
    return {**{name: (ms[name], cores[name], worst[name]) for name in runs}, "matmul": matmul(model, params, T)}


def products(model, params, T):  # -> [(how many, shape, shape)]
    """Every matrix product of model.gradients: of path integration, attention in blocks, and the decoder."""
    (A, G, _), (C, S) = params["W"].shape, params["D"].shape
    found, n = [(2 * (T - 1), (B, G), (A, G, G))], B * (T - 1) // A
    found += [(A, (G, n), (n, G)), (1, (B * T, C), (C, S)), (1, (B * T, S), (S, C)), (1, (C, B * T), (B * T, S))]
    K, V = (G, C) if model is temt else (G * C, G * C)  # widths of what is matched, and of what is recalled
    block = inspect.signature(model.gradients).parameters["block"].default
    for n in range(block, T + 1, block):
        shapes = [(block, K, n), (block, n, V), (block, V, n), (block, n, K), (n, block, K)]
        shapes += [(n, block, V)] * (model is tem)  # what it recalls has a gradient too
        found += [(1, (B, m, k), (B, k, p)) for m, k, p in shapes]
    return found


def matmul(model, params, T):  # -> ms, GFLOP
    """The best of five for each product; 2 m k n operations in each."""
    rng, ms, operations = np.random.default_rng(0), 0, 0
    for count, left, right in products(model, params, T):
        x, y = (rng.normal(size=shape).astype(np.float32) for shape in (left, right))
        repeats, best = min(count, 20), np.inf
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(repeats):
                x @ y
            best = min(best, (time.perf_counter() - began) / repeats)
        ms, operations = ms + 1e3 * count * best, operations + count * 2 * (x @ y).size * left[-1]
    return ms, operations / 1e9


def peak(model, T, name):  # -> MB
    """Of a second run: what compiling took has gone back to the system."""
    run = contenders()[name](model, *problem(model, T))
    run()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the high water mark starts anew
    before = resident("VmRSS")
    run()
    return (resident("VmHWM") - before) / 1e3


def resident(field):  # -> kB
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0])


def long(model, T):  # -> MB: given and returned; what attention reads and writes, and one block of it; at the peak
    """Given: walks and parameters, and gradients back. Attention: g, x, r and logits. Peak: as tracemalloc saw it."""
    params, walk = problem(model, T)
    inputs, (C, S) = [*params.values(), walk.actions, walk.observations, walk.revisit], params["D"].shape
    tracemalloc.start()
    _, grads, right = model.gradients(params, *inputs[-3:])
    above, size = tracemalloc.get_traced_memory()[1], sum(array.nbytes for array in inputs)
    block = inspect.signature(model.gradients).parameters["block"].default
    attention = B * T * (G + 2 * C + S + block) * params["D"].itemsize
    told = size + sum(d.nbytes for d in grads.values()) + right.nbytes
    return told / 1e6, attention / 1e6, (size + above) / 1e6


# ------------------------------------------------------------------------------------------------------- the tables


def ask(threads, *task):  # -> what the task returns
    """Run this file again, with so many threads."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")
    several = {"XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}"}
    environment = os.environ | dict.fromkeys(names, str(threads)) | several
    command = [sys.executable, __file__, "--task", json.dumps(task)]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def heading(*cells):
    print()
    row(*cells)
    row(*["---"] * len(cells))


def versions():
    """The machine, and what is installed of what is compared."""
    cpu = Path("/proc/cpuinfo").read_text().split("model name\t: ")[1].split("\n")[0]
    libraries = {"NumPy": np, "PyTorch": autograd.torch, "JAX": autograd.jax}
    found = [f"{name} {library.__version__ if library else 'absent'}" for name, library in libraries.items()]
    compiler = [] if shutil.which("g++") else ["no g++ and so no compiled PyTorch"]
    return ", ".join([cpu, f"{os.cpu_count()} cores, Python {platform.python_version()}", *found, *compiler])


def tables(sizes, turns, threads):
    names = list(contenders())
    print(f"{versions()}; `python tests/benchmarks/{Path(__file__).name}`")
    heading(
        "threads", "model, T", *(f"{name}: ms, ratio, cores" for name in names), "matmul: ms, share, GFLOP/s", "gap"
    )
    for n in threads:
        for model, T in sizes:
            found = ask(n, "race", model, T, turns)
            (alone, operations), ours = found.pop("matmul"), found["NumPy"][0]
            cells = [f"{ms:.1f}, {ms / ours:.2f}, {cores:.1f}" for ms, cores, _ in found.values()]
            cells.append(f"{alone:.1f}, {alone / ours:.0%}, {1e3 * operations / alone:.0f}")
            row(n, f"{model}, {T}", *cells, f"{max(gap for *_, gap in found.values()):.0e}")
    heading("peak memory", *(f"{name}, MB" for name in names))
    for model, T in sizes:
        row(f"{model}, {T}", *(f"{ask(1, 'peak', model, T, name):.0f}" for name in names))
    told, attention, most = ask(1, "long", "TEM-t", 2048)
    print(
        f"\nTEM-t, T = 2,048: walks, parameters and gradients {told:.1f} MB; what attention reads and writes ", end=""
    )
    print(f"and one block of it {attention:.1f} MB; peak {most:.1f} MB, {most / (told + attention):.1f} times both.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="TEM-t at T = 128 with few turns")
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        task, model, *rest = args.task
        print(json.dumps({"race": race, "peak": peak, "long": long}[task](MODELS[model], *rest), default=float))
    elif args.quick:
        tables([("TEM-t", 128)], 3, (1, 2))
    else:
        tables([(model, T) for T in (128, 512) for model in MODELS], 7, (1, 2))
