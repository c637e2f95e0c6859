"""Every notebook runs from top to bottom on a fresh kernel, is committed as run, and proves each displayed equation."""

import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
each_notebook = pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@each_notebook
def test_it_runs_from_top_to_bottom_within_its_minutes(path):
    notebook, began = nbformat.read(path, as_version=4), time.perf_counter()
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": FOLDER}}).execute()
    assert time.perf_counter() - began < 150


@each_notebook
def test_it_is_committed_as_run(path):
    cells = code(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [out for cell in cells for out in cell.outputs if out.output_type == "error"]
    assert not [cell for cell in cells if cell.source.lstrip().startswith(("%", "!"))]


@each_notebook
def test_every_displayed_equation_is_followed_by_its_assert(path):
    cells = nbformat.read(path, as_version=4).cells
    for i, cell in enumerate(cells):
        if cell.cell_type == "markdown" and "$$" in cell.source:
            rest = cells[i + 1 :]
            until = next((k for k, later in enumerate(rest) if later.cell_type == "markdown"), len(rest))
            assert any("assert" in later.source or "check(" in later.source for later in rest[:until]), cell.source
