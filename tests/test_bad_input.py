"""Every argument of every public function meets every bad value: it works, or one clear line names what is wrong.

BAD is the list of what was tried. A value that happens to be good for an argument (0 updates, a start of None) is let
pass. What may be raised is a ValueError that names an argument of the function and says what was given, in one line, or
a FileNotFoundError. Nothing may be changed by a call that is refused, and nothing may run on for long.
"""

import inspect
import re
from dataclasses import fields
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from checks import MODELS

import envs
from notebooks import cells, figures, viewer

BAD = {
    "None": None,
    "True": True,
    "text": "moon",
    "no text": "",
    "bytes": b"moon",
    "-1": -1,
    "0": 0,
    "a fraction": 1.5,
    "NaN": np.nan,
    "infinity": np.inf,
    "-infinity": -np.inf,
    "ten million": 10**7,
    "10^30": 10**30,
    "complex": 1j,
    "empty tuple": (),
    "empty list": [],
    "empty dict": {},
    "list of None": [None],
    "ragged list": [[1], [2, 3]],
    "set": {1, 2},
    "function": len,
    "object": object(),
    "folder": Path("folder"),
    "scalar array": np.array(7),
    "empty array": np.empty(0),
    "empty matrix": np.empty((0, 3), int),
    "array of NaN": np.full((1, 5), np.nan),
    "array of infinity": np.full((1, 5), np.inf),
    "array of text": np.array([["moon"]]),
    "array of objects": np.array([[None]]),
    "four axes": np.zeros((1, 2, 3, 4), int),
    "far out of range": np.full((1, 5), 10**6),
    "negative": np.full((1, 5), -7),
    "another walk": envs.walk(np.random.default_rng(0), envs.ring(5), 3, 9, 7),
    "another world": envs.ring(5),
}
RNG, GRID = np.random.default_rng(0), envs.grid(3)
WALK = envs.walk(np.random.default_rng(1), GRID, 1, 5, 6)
MAPS = np.random.default_rng(2).normal(size=(2, 9))


def of_envs():  # -> {name: (function, {argument: a good value})}
    seen = {"walk": WALK, "n_obs": 6}
    calls = [
        (envs.World, {field.name: getattr(GRID, field.name) for field in fields(envs.World)}),
        (envs.grid, {"height": 3, "width": 2, "torus": False}),
        (envs.hexagon, {"side": 2}),
        (envs.ring, {"n": 3}),
        (envs.line, {"n": 3, "jump": 1}),
        (envs.family_tree, {"levels": 2}),
        (envs.laps, {"n": 2, "laps": 2}),
        (envs.make, {"name": "grid", "size": 3}),
        (GRID.follow, {"state": 0, "moves": ["North"]}),
        (envs.walk, {"rng": RNG, "world": GRID, "batch": 1, "steps": 5, "n_obs": 6, "repeat": 0.3, "start": 0}),
        (envs.walk_by_hand, {"world": GRID, "observations": ["a", "b"], "actions": ["North"], "start": 0}),
        (envs.animals, {"world": GRID}),
        (envs.chance, seen),
        (envs.edge_agent, seen),
        (envs.node_agent, seen),
        (envs.accuracy, {"right": WALK.revisit, "walk": WALK}),
        (envs.table, {"world": GRID, "walks": [WALK], "n_obs": 6, "name": "model", "rights": [WALK.revisit]}),
        (envs.rate_maps, {"activity": np.zeros((1, 5, 2)), "states": WALK.states, "n_states": 9}),
    ]
    return {f"envs.{function.__name__}": (function, good) for function, good in calls}


def of_model(model):  # -> {name: (function, {argument: a good value})}
    params = model.init_params(np.random.default_rng(0), 4, 6, 8, 6)
    begun = model.begin(params, 1)
    expected = model.expect(params, begun, np.array([-1]))[1]
    asked = {"params": params, "actions": WALK.actions, "observations": WALK.observations}
    short = {"updates": 1, "batch": 1, "steps": 5, "growth": 0.3, "rate": 1e-3, "landmarks": False}
    memory = {name: option.default for name, option in inspect.signature(model.init_memory).parameters.items()}
    sizes = {"rng": RNG, "n_actions": 2, "n_obs": 3, "G": 4, "C": 3, "activation": "relu", "turn": 0.5}
    calls = [
        (model.init_params, {**sizes, "dtype": np.float64, **memory}),
        (model.save, {"path": "model.npz", "params": params}),
        (model.load, {"path": "model.npz"}),
        (model.forward, {**asked, "landmarks": False, "noise": None}),
        (model.gradients, {**asked, "revisit": WALK.revisit, "block": 32, "landmarks": False, "noise": None}),
        (model.begin, {"params": params, "B": 1, "rows": 4}),
        (model.expect, {"params": params, "state": begun, "a": np.array([-1]), "noise": 0.0}),
        (model.see, {"params": params, "state": expected, "o": np.array([3])}),
        (model.train, {"rng": RNG, "worlds": [GRID], "params": params, **short, "quiet": True}),
        (model.evaluate, {"params": params, "walk": WALK, "block": 32, "landmarks": False, "noise": None}),
        (figures.overview, {"rng": RNG, "model": model, "params": params, "history": None, "world": GRID}),
        (figures.position_maps, {"rng": RNG, "model": model, "params": params, "world": GRID, "batch": 2, "steps": 4}),
        (viewer.frames, {"model": model, "params": params, "world": GRID, "walk": WALK, "b": 0, "steps": [1]}),
        (viewer.step_through, {"model": model, "params": params, "world": GRID, "walk": WALK, "b": 0}),
    ]
    return {f"{model.__name__}: {function.__name__}": (function, good) for function, good in calls}


def of_cells():  # -> {name: (function, {argument: a good value})}
    maps = {"maps": MAPS, "xy": GRID.xy}
    calls = [(score, maps) for score in (cells.autocorrelogram, cells.spectrum)]
    calls += [(score, maps) for score in (cells.grid_score, cells.square_score, cells.band_score)]
    calls += [
        (cells.place_score, {"maps": MAPS, "world": GRID}),
        (cells.remapping, {"rng": RNG, "grids": (MAPS, MAPS), "places": (MAPS, MAPS), "shuffles": 3}),
        (cells.null_scores, {"rng": RNG, "score": cells.band_score, **maps, "shuffles": 3}),
        (cells.population, {"rng": RNG, **maps, "shuffles": 3}),
    ]
    return {f"cells.{function.__name__}": (function, good) for function, good in calls}


CALLS = of_envs() | of_cells() | {name: call for model in MODELS for name, call in of_model(model).items()}
# What is passed on may be named as that names it.
ALSO = "height|width|side|n|levels|laps|jump|right|worlds|params|walk|actions|observations|states|steps|noise|C|hebbian"
ALSO = "|".join([ALSO, *(name for model in MODELS for name in inspect.signature(model.init_memory).parameters)])
CASES = [
    (name, argument) for name, (_, good) in CALLS.items() for argument in good if argument not in ("model", "score")
]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    """In which models can be saved; and without the pictures, which take long."""
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(viewer, "draw", lambda fig, story, t: None)  # test_viewer.py draws; here, what comes before
    yield
    plt.close("all")


@pytest.mark.parametrize("name", CALLS)
def test_good_values_are_accepted(name):
    """Else the test below would prove nothing."""
    function, good = CALLS[name]
    if name.endswith(": load"):
        save, what = CALLS[name.replace("load", "save")]
        save(**what)
    function(**good)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("name", "argument"), CASES)
def test_bad_input_is_named(name, argument):
    function, good = CALLS[name]
    names = "|".join([*inspect.signature(function).parameters, ALSO])
    complaints = []
    for what, value in BAD.items():
        try:
            function(**{**good, argument: value})
        except FileNotFoundError as error:
            complaints += [] if "load" in name else [f"{what}: {error!r}"]
        except ValueError as error:
            if not re.match(rf"(?!.*\n)({names})\b.{{,250}} (must|needs|leaves|are blocked) .{{,250}}$", str(error)):
                complaints.append(f"{what}: {error}")
        except Exception as error:
            complaints.append(f"{what}: {error!r}")
        plt.close("all")
    assert not complaints, "\n".join(complaints)
