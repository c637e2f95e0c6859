"""Figures for the main job and the notebooks. Each takes what it draws and returns a matplotlib figure or axes."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.patches import RegularPolygon

import envs
from notebooks import cells


def draw_graph(ax, world):
    """The moves of a world as grey lines from state to state; those that wrap round a torus are left out."""
    for there in world.next_state.T:
        here = np.flatnonzero(there >= 0)
        here = here[np.linalg.norm(world.xy[there[here]] - world.xy[here], axis=1) < 1.5]
        ax.plot(*np.stack([world.xy[here], world.xy[there[here]]], axis=1).T, color="0.8", lw=0.8, zorder=0)
    ax.set_aspect("equal")
    ax.axis("off")


def draw_map(ax, world, values, cmap="viridis", **colours):
    """One value a state, as tiles that fill the plane (squares, or hexagons on a hexagonal world); NaN is left grey."""
    corners, radius, turn = (6, 1 / np.sqrt(3), 0) if world.name == "hexagon" else (4, 1 / np.sqrt(2), np.pi / 4)
    tiles = [RegularPolygon(xy, corners, radius=radius, orientation=turn) for xy in world.xy]
    colours |= {"cmap": plt.get_cmap(cmap).with_extremes(bad="0.9")}
    tiles = PatchCollection(tiles, array=np.ma.masked_invalid(values), edgecolor="face", lw=0.3, **colours)
    ax.add_collection(tiles)
    ax.autoscale_view()
    ax.set_aspect("equal")
    ax.axis("off")
    return tiles


def draw_walk(ax, world, walk, steps=25, b=0):
    """The first steps of walk b, from circle to square, on what there is to see: one colour, one kind of thing."""
    kinds = np.full(world.n_states, np.nan)
    kinds[walk.states[b]] = walk.observations[b]
    draw_graph(ax, world)
    ax.scatter(*world.xy.T, c=kinds, s=2500 / world.n_states, plotnonfinite=True)
    path = world.xy[walk.states[b, :steps]]
    ax.plot(*path.T, color="black", lw=1.2)
    ax.plot(*path[0], "o", color="white", mec="black", ms=7)
    ax.plot(*path[-1], "s", color="white", mec="black", ms=7)


def centre(world):
    """The state nearest to the middle of the world."""
    return int(np.linalg.norm(world.xy - world.xy.mean(axis=0), axis=1).argmin())


def position_maps(rng, model, params, world, batch=64, steps=64):
    """Rate maps (G, N) of the position units on walks from one start: another start would shift the frame."""
    model.check_worlds(params, [world])
    walk = envs.walk(rng, world, batch, steps, len(params["b"]), start=centre(world))
    return envs.rate_maps(model.path_integrate(params, walk.actions)[0], walk.states, world.n_states)


IDENTITY = {  # notebooks/03_from_hebb_to_attention.ipynb, rungs 1, 4 and 6
    "TEM: Hebbian synapses M": r"$q\,M \;=\; q\,\sum_\tau \eta\,p_\tau^\top p_\tau,\quad p = g \otimes x$",
    "move the bracket: linear attention": r"$=\;\sum_\tau \eta\,(q \cdot p_\tau)\,p_\tau"
    r" \;=\; \sum_\tau \eta\,(g \cdot g_\tau)\,(1 \cdot x_\tau)\,p_\tau$",
    "change the kernel: TEM-t, a transformer": r"$\longrightarrow\quad \mathrm{softmax}(\beta\,g\,G^\top)\,X$",
}


def overview(rng, model, params, history, world):
    """One picture: the learning curve (where there was one), a walk in its world, the units with the clearest maps.

    Below them, in three steps, why TEM and a transformer are the same idea.
    """
    model.check_worlds(params, [world])
    if history is not None and not (isinstance(history, dict) and history.keys() >= {"accuracy", "steps"}):
        raise ValueError(f"history must be what {model.NAME}'s train returned, or None, got {envs.brief(history)}")
    fig = plt.figure(figsize=(12, 4.6), layout="constrained")
    top, bottom = fig.subfigures(2, 1, height_ratios=[3.6, 0.8])
    left, middle, right = top.subfigures(1, 3, width_ratios=[1.1, 0.9, 1.7])
    ax = left.subplots()
    ax.set(xlabel="update", ylabel="share of revisits predicted", ylim=(0, 1.02))
    if history is None:
        ax.text(0.5, 0.5, "loaded: no training to show", ha="center", transform=ax.transAxes)
    else:
        ax.plot(history["accuracy"], color="tab:blue", lw=1)
        grows = ax.twinx()
        grows.plot(history["steps"], color="tab:orange", ls="--", lw=1)
        grows.set_ylabel("steps in a walk", color="tab:orange")
        grows.set_ylim(0, None)
    left.suptitle(f"{model.NAME} learns the structure")
    draw_walk(middle.subplots(), world, envs.walk(rng, world, 1, 200, len(params["b"]), start=centre(world)))
    middle.suptitle("a walk; one colour, one thing to see")
    maps = position_maps(rng, model, params, world)
    best = np.argsort(-cells.spectrum(maps, world.xy)[1].max(axis=1, initial=0))[:8]  # a tiny world has no waves
    for ax, unit in zip(right.subplots(2, 4).flat, best):
        draw_map(ax, world, maps[unit])
        ax.set_title(f"unit {unit}", fontsize=8)
    right.suptitle("position units: mean activity in each place")
    for x, (name, formula) in zip((0.14, 0.5, 0.86), IDENTITY.items()):
        bottom.text(x, 0.75, name, ha="center", va="center", fontsize=11)
        bottom.text(x, 0.32, formula, ha="center", va="center", fontsize=13)
    return fig
