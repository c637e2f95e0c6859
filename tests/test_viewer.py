"""The viewer: what it says is true, what it draws is what the model did, and its slider turns the page."""

import base64
import json
import warnings
from functools import cache
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
from checks import MODELS, problems
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

import envs
import temt
from notebooks import viewer

each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
WORLD, S = envs.grid(3), 6
WALK = envs.walk(np.random.default_rng(1), WORLD, 2, 30, S)


@cache
def learned(model, updates):
    """Parameters after so many updates."""
    rng = np.random.default_rng(0)
    return model.train(rng, WORLD, model.init_params(rng, 4, S, 16, S), updates, batch=8, steps=20, quiet=True)[0]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@each_model
@pytest.mark.parametrize("updates", [0, 30])
def test_frames_draw_without_warnings(model, updates):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fig = viewer.frames(model, learned(model, updates), WORLD, WALK, b=1, steps=[0, 1, 29])
        fig.canvas.draw()
    story = viewer.tell(model, learned(model, updates), WORLD, WALK, b=1)
    assert [part.get_suptitle() for part in fig.subfigs] == [viewer.caption(story, t) for t in (0, 1, 29)]
    assert len(fig.axes) == 3 * 4


@pytest.mark.parametrize("name", envs.WORLDS)
def test_every_world_and_a_walk_of_one_step_can_be_drawn(name):
    world, rng = envs.make(name, 3), np.random.default_rng(0)
    params = temt.init_params(rng, world.n_actions, 3, 5)
    for T in (1, 9):
        viewer.frames(temt, params, world, envs.walk(rng, world, 1, T, 3), steps=[T - 1]).canvas.draw()


@pytest.mark.parametrize("name", envs.WORLDS)
def test_places_do_not_touch(name):
    world = envs.make(name)
    fig = viewer.frames(temt, temt.init_params(np.random.default_rng(0), world.n_actions, S), world, steps=[0])
    fig.canvas.draw()
    for ax in fig.axes[:2]:
        at = 72 / fig.dpi * ax.transData.transform(world.xy)
        apart = np.linalg.norm(at[:, None] - at, axis=-1) + 1e9 * np.eye(len(at))
        places = next(c for c in ax.collections if isinstance(c, PathCollection))
        assert places.get_sizes().max() ** 0.5 < apart.min()


@pytest.mark.parametrize(("n", "said"), [(8, "a number, a colour"), (24, "(a colour")])
def test_numbers_are_left_out_where_they_would_be_too_small_to_read(n, said):
    world = envs.grid(n)
    fig = viewer.frames(temt, temt.init_params(np.random.default_rng(0), 4, S), world, steps=[9])
    assert said in fig.axes[0].get_title()
    assert bool(fig.axes[0].texts) == (n < 24)


def home(params, walk):
    """The first of the worlds of checks.problems that walk can be a walk in."""
    here, moves, there = walk.states[:, :-1], walk.actions[:, 1:], walk.states[:, 1:]
    worlds = [envs.grid(2, 3), envs.grid(2, 2, torus=True), envs.ring(4), envs.hexagon(2)]
    fitting = [w for w in worlds if w.n_actions == len(params["W"]) and walk.states.max() < w.n_states]
    return next(w for w in fitting if (w.next_state[here, moves] == there).all())


@each_model
@given(data=st.data())
def test_caption_says_what_happened(model, data):
    """Retold from the states and moves alone, not from the masks."""
    params, walk, _ = data.draw(problems(model))
    world = home(params, walk)
    story, p = viewer.tell(model, params, world, walk), model.forward(params, *walk[1:3])["probabilities"][0]
    places, edges = [], []
    for t, (s, a, o) in enumerate(zip(*(field[0].tolist() for field in walk[:3]))):
        said, edge = viewer.caption(story, t), (places[-1:], a)
        assert (f"went {world.actions[a]} to a place" in said) == (t > 0)
        assert ("a place never seen" in said) == (t > 0 and s not in places)
        assert ("a place seen before, by an edge never taken" in said) == (s in places and edge not in edges)
        assert ("a place seen before, by an edge taken before" in said) == (s in places and edge in edges)
        assert said.endswith(f": expects {p[t].argmax()} ({p[t].max():.2f}), sees {o}")
        assert said.startswith(f"step {t}: ")
        places, edges = [*places, s], [*edges, edge]


@each_model
@given(data=st.data())
def test_weights_on_places_are_the_weights_of_the_memories_made_there(model, data):
    params, walk, _ = data.draw(problems(model))
    world = home(params, walk)
    b, told = len(walk.states) - 1, model.forward(params, *walk[1:3])
    w = (told["weights"] if model is temt else told["steps"][-1][0]["weights"])[b]
    places = viewer.tell(model, params, world, walk, b).places
    tolerance = 1e-12 * abs(w).sum()
    np.testing.assert_allclose(places.sum(axis=1), w.sum(axis=1), rtol=0, atol=tolerance)
    for s in range(world.n_states):
        np.testing.assert_allclose(places[:, s], w[:, walk.states[b] == s].sum(axis=1), rtol=0, atol=tolerance)


@each_model
def test_what_is_drawn_on_places_is_their_share_of_the_weight(model):
    story = viewer.tell(model, learned(model, 0), WORLD, WALK)
    for t in (0, 12):
        ax, share = plt.figure().subplots(), abs(story.places[t]) / max(abs(story.places[t]).sum(), 1e-30)
        viewer.draw_memory(ax, story, t)
        empty, _, discs, crosses = [c for c in ax.collections if isinstance(c, PathCollection)]
        for marks, shown in ((discs, story.places[t] > 0), (crosses, story.places[t] < 0)):
            np.testing.assert_allclose(marks.get_offsets(), WORLD.xy[shown])
            np.testing.assert_allclose(marks.get_array(), share[shown])
            np.testing.assert_allclose(marks.get_sizes(), empty.get_sizes() * share[shown])


@each_model
def test_the_bars_are_the_likeliest_kinds_and_the_one_that_is_seen(model):
    story = viewer.tell(model, learned(model, 30), WORLD, WALK)
    for t in range(30):
        ax, p, o = Figure().subplots(), story.p[t], story.walk.observations[t]
        viewer.draw_expected(ax, story, t)
        kinds = [int(label.get_text().removesuffix(" (seen)")) for label in ax.get_yticklabels()]
        assert [bar.get_width() for bar in ax.patches] == [p[kind] for kind in kinds]
        assert set(np.argsort(-p)[:4]) <= set(kinds)
        hatched = [kind for kind, bar in zip(kinds, ax.patches) if bar.get_hatch()]
        assert (
            hatched == [o] == [kind for kind, label in zip(kinds, ax.get_yticklabels()) if "seen" in label.get_text()]
        )


def test_the_world_shows_what_was_seen_so_far_and_no_more():
    story = viewer.tell(temt, learned(temt, 0), WORLD, WALK)
    for t in (0, 4, 29):
        ax = Figure().subplots()
        viewer.draw_world(ax, story, t)
        seen = {tuple(WORLD.xy[s]): str(o) for s, o in zip(story.walk.states[: t + 1], story.walk.observations)}
        assert {text.get_position(): text.get_text() for text in ax.texts} == seen
        agent = [c for c in ax.collections if isinstance(c, PathCollection)][1]
        assert (agent.get_offsets() == WORLD.xy[story.walk.states[t]]).all()


def test_hebbian_synapses_are_shown_as_the_attention_that_they_are():
    model, params = MODELS[0], learned(MODELS[0], 0)
    one, other = (viewer.tell(model, {**params, "hebbian": np.float32(flag)}, WORLD, WALK) for flag in (0, 1))
    assert (one.w == other.w).all()
    assert (one.w != 0).any()


def test_units_stand_beside_those_most_like_them():
    """Units tuned to the phases of a circle come out in the order of the circle."""
    phases = np.random.default_rng(0).permutation(12)
    g = np.cos(2 * np.pi * (np.arange(24)[:, None] / 24 - phases / 12))
    order = viewer.by_similarity(g)
    assert sorted(order) == list(range(12))
    assert set(np.diff(phases[order]) % 12) in ({1}, {11})


@each_model
def test_the_slider_turns_the_page(model):
    """It opens on step 0; each value of the slider shows its step, with nothing left of the one before."""
    story, seen = viewer.tell(model, learned(model, 30), WORLD, WALK), set()
    controls, image = viewer.step_through(model, learned(model, 30), WORLD, WALK).children
    play, slider, box = controls.children
    assert play.max == slider.max == box.max == 29
    for t in (0, 29, 3):
        slider.value, fig = t, Figure(figsize=viewer.SIZE, dpi=viewer.DPI)
        viewer.draw(fig, story, t)
        assert image.value == viewer.png(fig)
        seen.add(image.value)
    assert len(seen) == 3


def test_where_there_are_no_widgets_the_same_call_shows_frames():
    shown = viewer.step_through(temt, learned(temt, 0), WORLD)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown
    frames = viewer.frames(temt, learned(temt, 0), WORLD)
    assert base64.b64decode(shown["image/png"]) == viewer.png(frames)
    story = viewer.tell(temt, learned(temt, 0), WORLD)
    steps = [np.flatnonzero(sort)[-1] for sort in (~story.walk.revisit, story.walk.zero_shot)]
    assert [part.get_suptitle() for part in frames.subfigs] == [viewer.caption(story, t) for t in steps]


def test_no_figure_is_left_open():
    viewer.step_through(temt, learned(temt, 0), WORLD, WALK)
    assert plt.get_fignums() == []


def test_the_notebook_shows_frames_and_holds_no_state_of_widgets():
    text = (Path(viewer.__file__).parent / "12_step_through.ipynb").read_text()
    outputs = [out for cell in json.loads(text)["cells"] for out in cell.get("outputs", [])]
    assert "vnd.jupyter.widget" not in text
    assert sum("image/png" in out.get("data", {}) for out in outputs) == text.count("viewer.step_through(") + 1


def stranger(world):
    return envs.walk(np.random.default_rng(0), world, 1, 30, S)


bad_walks = {
    "a batch of none": (envs.Walk(*(field[:0] for field in WALK)), "actions must be a non-empty"),
    "more moves": (stranger(envs.hexagon(2)), "actions must lie in 0..3"),
    "fewer moves": (stranger(envs.ring(9)), "walk must follow the moves of world"),
    "a torus": (stranger(envs.grid(3, torus=True)), "walk must follow the moves of world"),
    "more places": (stranger(envs.grid(9)), "walk must follow the moves of world"),
    "more kinds": (WALK._replace(observations=WALK.observations + S), "observations must lie in 0..5"),
}


@pytest.mark.parametrize("show", [viewer.step_through, viewer.frames])
@pytest.mark.parametrize(("walk", "message"), bad_walks.values(), ids=bad_walks)
def test_a_walk_that_does_not_fit_is_refused(show, walk, message):
    with pytest.raises(ValueError, match=message):
        show(temt, learned(temt, 0), WORLD, walk)


@pytest.mark.parametrize("steps", [[30], [-1], [3, 1.5], ["1"], []])
def test_steps_that_are_not_there_are_refused(steps):
    with pytest.raises(ValueError, match="steps must"):
        viewer.frames(temt, learned(temt, 0), WORLD, WALK, steps=steps)


@pytest.mark.parametrize("b", [2, -1, 0.5, None])
def test_a_walk_that_is_not_there_is_refused(b):
    with pytest.raises(ValueError, match="b must be an integer of at"):
        viewer.step_through(temt, learned(temt, 0), WORLD, WALK, b)


def test_params_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="worlds must each have the 4 actions"):
        viewer.step_through(temt, learned(temt, 0), envs.ring(5))
    with pytest.raises(ValueError, match=r"params\['b'\] must be finite, got NaN or infinity"):
        viewer.step_through(temt, {**learned(temt, 0), "b": np.full(S, np.nan)}, WORLD, WALK)


@each_model
def test_nothing_passed_in_is_changed(model):
    params = {name: value.copy() for name, value in learned(model, 0).items()}
    walk = envs.Walk(*(field.copy() for field in WALK))
    assert isinstance(viewer.step_through(model, params, WORLD, walk), ipywidgets.VBox)
    assert all((params[name] == value).all() for name, value in learned(model, 0).items())
    assert all((field == was).all() for field, was in zip(walk, WALK))
