"""What the exercises share: checks that say what is wrong, and the command that makes the students' notebooks.

`python notebooks/classroom.py` copies solutions/*.ipynb to exercises/ without outputs, and with YOUR CODE HERE in place
of the lines from BEGIN SOLUTION to END SOLUTION. The line after them, which a solved function never reaches, says what
is to be written. nbgrader makes the same cells of the solved notebooks with

    nbgrader generate_assignment NAME --ClearSolutions.code_stub="# YOUR CODE HERE"

where NAME is the folder of its course that they were copied to. It needs this repository and its tests/ on PYTHONPATH.
"""

import copy
import importlib.util
import re
from pathlib import Path

import nbformat
import numpy as np

FOLDER = Path(__file__).resolve().parent
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION$", re.MULTILINE | re.DOTALL)


def compare(name, got, want, mistakes=None, tolerance=1e-9):
    """AssertionError, saying what is wrong, unless got has the shape of want and its numbers.

    mistakes: {what is wrong: what would then be got}. tolerance: of the greatest number wanted.
    """
    assert got is not None, f"{name} is None: does the function return it?"
    assert not isinstance(got, (tuple, dict)), f"{name} is a {type(got).__name__}, it should be one array"
    got, want = np.asarray(got, float), np.asarray(want, float)
    assert got.shape == want.shape, f"{name} has shape {got.shape}, it should be {want.shape}{advice(got, want)}"
    assert np.isfinite(got).all(), f"{name} holds NaN or infinity: is something divided by 0?"

    def is_alike(other):
        return np.abs(got - other).max(initial=0) <= tolerance * np.abs(want).max(initial=0)

    if is_alike(want):
        return
    for what, wrong in (mistakes or {}).items():
        assert not is_alike(np.asarray(wrong, float)), f"{name}: {what}"
    assert got.any(), f"{name} is all zeros"
    factor = np.vdot(want, got) / (np.vdot(want, want) or 1)
    assert not is_alike(-want), f"{name} has the wrong sign"
    assert not is_alike(factor * want), f"{name} is {factor:.4g} times what it should be"
    worst = np.unravel_index(np.abs(got - want).argmax(), got.shape)
    raise AssertionError(f"{name}[{', '.join(map(str, worst))}] is {got[worst]:.4g}, it should be {want[worst]:.4g}")


def expect_parts(function, got, *names):
    """AssertionError unless got is a tuple of as many things as there are names."""
    is_right = isinstance(got, tuple) and len(got) == len(names)
    assert is_right, f"{function} should return {len(names)} things: {', '.join(names)}"


def advice(got, want):  # -> str
    """What the shape of an answer says about its mistake."""
    if got.ndim == want.ndim > 1 and got.swapaxes(-1, -2).shape == want.shape:
        return ": is a transpose missing?"
    return {1: ": is a sum missing?", -1: ": is one sum too many?"}.get(np.sign(got.ndim - want.ndim), "")


def gradient(f, x, dout=1.0):  # the shape of x, that of f(x) -> the shape of x
    """d sum(dout f(x)) / dx, one number of x after the other by a complex step (notebook 04), exact to rounding."""
    steps = 1e-30j * np.eye(x.size).reshape(-1, *x.shape)
    return np.array([np.sum(dout * f(x + step)).imag for step in steps]).reshape(x.shape) / 1e-30


def copy_of(model, **functions):  # -> module
    """A new module from the model's file, with `functions` in place of its own; the model stays as it is."""
    spec = importlib.util.spec_from_file_location("mine", model.__file__)
    mine = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mine)
    vars(mine).update(functions)
    return mine


def for_students(notebook):  # -> notebook
    """The notebook without its outputs and its solutions."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(source=SOLUTION.sub(r"\1# YOUR CODE HERE", cell.source), outputs=[], execution_count=None)
    return notebook


if __name__ == "__main__":
    (FOLDER / "exercises").mkdir(exist_ok=True)
    for path in sorted((FOLDER / "solutions").glob("*.ipynb")):
        nbformat.write(for_students(nbformat.read(path, as_version=4)), FOLDER / "exercises" / path.name)
        print(f"exercises/{path.name}")
