"""The exercises: student files in step, checks that say what to write and what is wrong, solutions that pass.

Cells run in this process, one namespace a notebook, in the folder of the solutions.
"""

import linecache
import sys
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

import tem
import temt
from notebooks import classroom

FOLDER = Path(classroom.__file__).parent
NAMES = sorted(path.stem for path in (FOLDER / "solutions").glob("*.ipynb"))
each_exercise = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def in_the_folder(monkeypatch):
    monkeypatch.chdir(FOLDER / "solutions")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))


def read(folder, name):
    return nbformat.read(FOLDER / folder / f"{name}.ipynb", as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def mark(cell):
    """What nbgrader knows of a cell."""
    return cell.metadata.get("nbgrader", {"grade": False, "solution": False, "grade_id": None})


def run(source, namespace, file):
    """As a kernel does: inspect.getsource finds what was run."""
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    exec(compile(source, file, "exec"), namespace)


# ------------------------------------------------------------------------------------------------------- the files


def test_the_student_files_are_in_step_with_the_solved_ones():
    """Else: python notebooks/classroom.py."""
    assert sorted(path.stem for path in (FOLDER / "exercises").glob("*.ipynb")) == NAMES
    for name in NAMES:
        assert read("exercises", name) == classroom.for_students(read("solutions", name))


@each_exercise
def test_student_files_hold_no_solution_and_no_output(name):
    for cell in code(read("exercises", name)):
        assert "SOLUTION" not in cell.source
        assert not cell.outputs
        if mark(cell)["solution"]:
            assert cell.source.count("# YOUR CODE HERE\n") == 1
            last = cell.source.splitlines()[-1]
            assert last.startswith(f'    raise NotImplementedError("write {mark(cell)["grade_id"]}')


@each_exercise
def test_solved_files_are_stored_as_run(name):
    cells = code(read("solutions", name))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [out for cell in cells for out in cell.outputs if out.output_type == "error"]


@each_exercise
def test_cells_are_marked_as_nbgrader_wants_them(name):
    """Its schema 3: answers and tests apart, tests locked and with points, every grade_id once and of plain letters."""
    cells = [cell for cell in read("solutions", name).cells if "nbgrader" in cell.metadata]
    marks = [mark(cell) for cell in cells]
    assert len({m["grade_id"] for m in marks}) == len(marks)
    for cell, m in zip(cells, marks):
        assert m["schema_version"] == 3
        assert m["grade"] == m["locked"] == (not m["solution"]) == ("points" in m)
        assert not m["task"]
        assert m["grade_id"].replace("_", "").isalpha()
        assert cell.source.count("### BEGIN SOLUTION\n") == cell.source.count("### END SOLUTION\n") == m["solution"]
    assert "SOLUTION" not in "".join(c.source for c in read("solutions", name).cells if c not in cells)


@each_exercise
def test_each_has_a_goal_a_time_and_hints_and_checks_its_equations(name):
    cells = read("solutions", name).cells
    assert "**Goal.**" in cells[0].source
    assert "**Time.**" in cells[0].source
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert sum(text.count("<details><summary>Hint") for text in prose) >= 5
    assert all(text.count("<details>") == text.count("</details>") for text in prose)
    for i, cell in enumerate(cells):
        if cell.cell_type == "markdown" and "$$" in cell.source:
            rest = cells[i + 1 :]
            until = next((k for k, later in enumerate(rest) if later.cell_type == "markdown"), len(rest))
            assert any("assert" in later.source or "compare(" in later.source for later in rest[:until]), cell.source


# ------------------------------------------------------------------------------------------------------ the checks


@each_exercise
def test_every_check_fails_on_the_unsolved_notebook_and_says_what_to_write(name):
    cells, namespace = code(read("exercises", name)), {"__name__": "student"}
    answers = [mark(cell)["grade_id"] for cell in cells if mark(cell)["solution"]]
    for i, cell in enumerate(cells):
        with pytest.raises(NotImplementedError) if mark(cell)["grade"] else suppress(NotImplementedError) as asked:
            run(cell.source, namespace, f"<{name} {i}>")
        if mark(cell)["grade"]:
            assert str(asked.value).split(":")[0] in {f"write {answer}" for answer in answers}


@each_exercise
def test_every_solution_passes(name):
    before, namespace = {model: dict(vars(model)) for model in (tem, temt)}, {"__name__": "student"}
    for i, cell in enumerate(code(read("solutions", name))):
        run(cell.source, namespace, f"<{name} {i}>")
    assert all(vars(model) == names for model, names in before.items())  # nothing was left in tem or temt


WRONG = [  # exercise, answer, what is right in it, what a student may write instead, what the check then says
    ("1", "cylinder", "(x + 1) % around", "x + 1", "next row"),
    ("1", "cylinder", "np.where(y < height - 1, around * (y + 1) + x, -1)", "(around * (y + 1) + x) % len(y)", "torus"),
    ("1", "closes", "np.where(here >= 0, next_state[here, a], -1)", "next_state[here, a]", "blocked walks"),
    ("1", "closes", "walked.any() and ", "", "by never being walked"),
    ("1", "round_trip", '["East"] * around', '["East", "West"]', "on a grid too"),
    ("1", "place", "np.c_[c[:, 0] % around, c[:, 1]]", "c", "modulo"),
    ("2", "bind", "g[:, :, None] * x[:, None]", "x[:, :, None] * g[:, None]", "position units first"),
    ("2", "store", "np.outer(p, p)", "p @ p", "one number"),
    ("2", "synapses", "return M", "return [store(m, x, eta, lam) for m, x in zip(M, p)]", "holds step t itself"),
    ("2", "recall", "u / np.where(size > 0, size, 1)", "u / size", "NaN"),
    ("2", "coming_home", "16 / 8, 4 / 8, 0, 4 / 8", "4 / 8, 2 / 8, 0, 2 / 8", "squares|again"),
    ("2", "least_lam", "(4 / 16) ** (1 / 3)", "4 / 16", "the pig is recalled, not the cat"),
    ("3", "weights", "age > 0", "age >= 0", "recalls itself"),
    ("3", "weights", "age - 1, 0.0", "age, 0.0", "one too great"),
    ("3", "linear_attention", "(weights(len(p), eta, lam) * (q @ p.T)) @ p", "q @ p.T @ p", "weights are missing"),
    ("3", "agrees", "rng.uniform(0.2, 0.95)", "1.0", "ignores lam"),
    ("3", "agrees", "<= 1e-10 *", "<= 1e-5 *", "one part in a million"),
    ("3", "factorised", "x.sum(axis=1) * g.sum(axis=1)", "x.sum(axis=1)", "1 . g_tau is missing"),
    ("4", "jacobian", "np.diag(w) - ", "-", "diagonal"),
    ("4", "softmax_backward", "(dw - (w * dw).sum(axis=-1, keepdims=True))", "dw", "sum over memories is missing"),
    ("4", "softmax_backward", "dw - (w", "-dw + (w", "wrong sign"),
    ("4", "loss_backward", "weight[..., None] * (temt", "(temt", "no revisits"),
    ("4", "attention_backward", "w.T @ dr", "w @ dr", "w must be transposed"),
    ("5", "norm_backward", "dg - g * (g * dg).mean(axis=-1, keepdims=True)", "dg", "size depends on z"),
    ("5", "position_backward", "bj,bij->bi", "bi,bij->bj", "not transposed"),
    ("5", "weights_backward", "g[a == move].T @ dz[a == move]", "dz[a == move].T @ g[a == move]", "transposed"),
    (
        "5",
        "weights_backward",
        "np.stack([g[a == move].T @ dz[a == move] for move in range(A)])",
        "g[:, :, None] * dz[:, None]",
        "sum over the walks",
    ),
    ("5", "walk_backward", "dg[:, t - 1] += ", "dg[:, t - 1] = ", "add to it"),
    ("5", "walk_backward", "dg[:, t - 1] += position_backward(W, dz, actions[:, t])", "pass", "stops after one step"),
    ("5", "walk_backward", "dg.copy()", "dg", "work on a copy"),
    ("6", "remember", '"key": key', '"key": g', "not z-scored"),
    ("6", "recall", "age > 0, scaled", "age >= 0, scaled", "age 0 is not the past"),
    ("6", "recall", " * np.log1p(m)", " * np.ones_like(m)", "log"),
    ("6", "recall_backward", 'cache["scale"] * dscaled', "dscaled", "scale is missing"),
    ("6", "recall_backward", "dh.swapaxes(1, 2) @", "dh @", "transposed"),
    ("6", "recall", 'weights @ memory["value"], c', '(weights @ memory["value"]).astype(float), c', "hint on float32"),
    ("6", "recall_backward", "* dscaled", "* dscaled.astype(float)", "a gradient is float64"),
    ("7", "in_time", "np.sin(phase), np.cos(phase)", "np.cos(phase), np.sin(phase)", "swapped"),
    ("7", "remember_backward", 'dg + dmemory["value"][..., -dg.shape[-1] :]', "dg", "gradient of the values is lost"),
    ("7", "recall_backward", 'cache["weights"].swapaxes(1, 2)', 'cache["weights"]', "must be transposed"),
    ("7", "verdict", '"causality": False', '"causality": True', "nobody can be"),
]


def first_check(name, answer, change):
    """Run the notebook with one answer changed, up to the first check of it; the checks before it are not needed."""
    namespace, asked = {"__name__": "student"}, False
    for i, cell in enumerate(code(read("solutions", name))):
        asked = asked or mark(cell)["grade_id"] == answer
        if asked or not mark(cell)["grade"]:
            run(change(cell.source) if mark(cell)["grade_id"] == answer else cell.source, namespace, f"<{name} {i}>")
        if asked and mark(cell)["grade"]:
            return


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize(("number", "answer", "right", "wrong", "message"), WRONG)
def test_a_typical_mistake_is_named(number, answer, right, wrong, message):
    (name,) = [name for name in NAMES if name.startswith(number)]

    def mistake(source):
        assert source.count(right) == 1
        return source.replace(right, wrong)

    with pytest.raises(AssertionError, match=message):
        first_check(name, answer, mistake)


ANSWERS = [
    (name, mark(cell)["grade_id"]) for name in NAMES for cell in code(read("solutions", name)) if mark(cell)["solution"]
]


@pytest.mark.parametrize(("name", "answer"), ANSWERS)
def test_a_function_that_returns_nothing_is_told_so(name, answer):
    with pytest.raises(AssertionError, match=r".{20}"):
        first_check(name, answer, lambda source: classroom.SOLUTION.sub(r"\1return None", source))


# ------------------------------------------------------------------------------------------------- what they share


@pytest.mark.parametrize(
    ("got", "message"),
    [
        (None, "None: does the function return it"),
        ((np.ones((2, 3)), 1), "is a tuple"),
        (np.ones((3, 2)), "is a transpose missing"),
        (np.ones((4, 2, 3)), "is a sum missing"),
        (np.ones(3), "one sum too many"),
        (np.ones((2, 4)), r"has shape \(2, 4\), it should be \(2, 3\)$"),
        (np.full((2, 3), np.nan), "NaN"),
        (np.zeros((2, 3)), "all zeros"),
        (-np.arange(6.0).reshape(2, 3), "wrong sign"),
        (np.arange(6.0).reshape(2, 3) / 2, "0.5 times"),
        (np.arange(6.0).reshape(2, 3) ** 2, "forgot the root"),
        (np.arange(6.0).reshape(2, 3) + 1, r"dz\[0, 0\] is 1, it should be 0"),
    ],
)
def test_compare_says_what_is_wrong(got, message):
    want = np.arange(6.0).reshape(2, 3)
    classroom.compare("dz", want.copy(), want)
    classroom.compare("dz", np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(AssertionError, match=message):
        classroom.compare("dz", got, want, {"you forgot the root": want**2})


def test_gradient_is_exact_and_compare_sees_one_part_in_a_million():
    rng = np.random.default_rng(0)
    x, dout = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    got = classroom.gradient(lambda x: np.sin(x) @ np.eye(3), x, dout)
    classroom.compare("dx", got, dout * np.cos(x), tolerance=1e-14)
    with pytest.raises(AssertionError):
        classroom.compare("dx", got * (1 + 1e-6 * np.arange(3)), dout * np.cos(x))


def test_copy_of_leaves_the_model_as_it_is():
    before = dict(vars(tem))
    mine = classroom.copy_of(tem, recall=len)
    assert mine.recall is len
    assert mine.gradients is not tem.gradients
    assert mine.gradients.__globals__["recall"] is len
    assert vars(tem) == before
