"""Step through one walk of a model, trained or fresh: where it is, what it attends to, what it expects and sees.

`step_through` opens a slider and a play button in Jupyter; `frames` draws some of the steps as one plain figure.
[W22] Whittington, Warren & Behrens, ICLR 2022.

Glossary: T steps, N places (states of the world), G position units, S kinds of observation; t the step shown, g the
position code, w the weights that recall gives to earlier steps, p the probability of each kind of observation.
"""

import base64
import io
from functools import cache
from typing import NamedTuple

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

import envs

SIZE, DPI = (10, 4.2), 88  # of one step's picture


class Story(NamedTuple):
    """One walk (each field (T,)) and what a model made of it: g (T, G), w (T, T), w by place (T, N), p (T, S)."""

    world: envs.World
    walk: envs.Walk
    g: np.ndarray
    w: np.ndarray
    places: np.ndarray
    p: np.ndarray


def tell(model, params, world, walk=None, b=0):  # -> Story
    """Walk b of `walk` (by default, 60 steps of seed 0) as `model`, tem or temt, goes through it.

    w: TEM-t's softmax, which sums to 1; TEM's signed eta lam^(age - 1) (h . p), last step of recall [W22, sec. 4].
    g: units in an order by_similarity. Raises ValueError where params, world and walk do not fit, or there is no b.
    """
    model.check_worlds(params, [world])
    walk = envs.walk(np.random.default_rng(0), world, 1, 60, len(params["b"])) if walk is None else walk
    envs.check_walk(walk)
    model.check(params, walk.actions, walk.observations, walk.revisit)
    envs.check_size("b", b, 0, len(walk.actions) - 1)
    one, N = envs.Walk(*(field[b] for field in walk)), world.n_states
    s = one.states
    if not 0 <= s.min() <= s.max() < N or (world.next_state[s[:-1], one.actions[1:]] != s[1:]).any():
        raise ValueError(f"walk must follow the moves of world, a {world.name} of {N} states, got another world's")
    # Hebbian synapses have no weights to show; the attention form has, and recalls the same
    told = model.forward({**params, "hebbian": 0}, walk.actions[b : b + 1], walk.observations[b : b + 1])
    g, w = told["g"][0], (told if "weights" in told else told["steps"][-1][0])["weights"][0]
    return Story(world, one, g[:, by_similarity(g)], w, w @ np.eye(N)[s], told["probabilities"][0])


def by_similarity(g):  # (T, G) -> (G,)
    """An order of the units: after each, the one of those left whose activity has the greatest cosine with its own."""
    unit = g / np.maximum(np.linalg.norm(g, axis=0), 1e-30)
    cosine, order = unit.T @ unit, [0]
    while len(order) < len(cosine):
        cosine[:, order[-1]] = -np.inf
        order.append(int(cosine[order[-1]].argmax()))
    return order


def caption(story, t):  # -> str
    """Step t in words: how the agent came there, what it expects and how surely, what it sees."""
    world, walk, p = story.world, story.walk, story.p[t]
    edge = "never taken" if walk.zero_shot[t] else "taken before"
    place = f"seen before, by an edge {edge}" if walk.revisit[t] else "never seen"
    came = f"went {world.actions[walk.actions[t]]} to a place {place}" if t else "begins, with nothing to remember"
    return f"step {t}: {came}: expects {p.argmax()} ({p.max():.2f}), sees {walk.observations[t]}"


def short(lines):  # (L, 2, 2) -> (L', 2, 2)
    """The lines between neighbours: not those that would cross the world to come round the back of a torus."""
    return lines[np.linalg.norm(lines[:, 1] - lines[:, 0], axis=1) < 1.5]


def draw_places(ax, story, t):  # -> area of a place, in square points
    """The world, as figures.draw_graph shows it but in one artist, which is fast; and the agent."""
    xy, next_state = story.world.xy, story.world.next_state
    state, move = np.nonzero(next_state >= 0)
    moves = xy[np.stack([state, next_state[state, move]], axis=1)]
    length = np.linalg.norm(moves[:, 1] - moves[:, 0], axis=1)
    room = 72 / DPI * np.array([ax.bbox.width, ax.bbox.height]) / (1.2 * np.maximum(np.ptp(xy, axis=0), 1))
    area = min(20, 0.85 * length[length > 0].min() * room.min()) ** 2  # neighbours do not touch
    ax.add_collection(LineCollection(short(moves), color="0.8", lw=0.8, zorder=0))
    ax.scatter(*xy.T, s=area, color="white", ec="0.85", zorder=2)
    ax.scatter(
        *xy[story.walk.states[t]], s=1.6 * area, marker="s", fc="none", ec="black", lw=2, zorder=4, clip_on=False
    )
    ax.margins(0.1)
    ax.set_aspect("equal", "datalim")
    ax.axis("off")
    return area


def draw_world(ax, story, t):
    """The path so far, dark where it is recent, on what was seen: a number and a colour for each kind."""
    area, S, states = draw_places(ax, story, t), story.p.shape[1], story.walk.states[: t + 1]
    path = story.world.xy[np.stack([states[:-1], states[1:]], axis=1)]
    if story.world.name == "torus":
        path = short(path)
    greys = [str(0.7 - 0.7 * 0.8**age) for age in range(len(path) - 1, -1, -1)]
    ax.add_collection(LineCollection(path, color=greys, lw=2.5, zorder=1))
    here, first = np.unique(states, return_index=True)
    kinds = story.walk.observations[first]
    ax.scatter(*story.world.xy[here].T, s=area, c=kinds, vmin=0, vmax=S - 1, zorder=3)
    for (x, y), kind in zip(story.world.xy[here], kinds if area > 80 else ()):
        colour = "white" if kind < 0.45 * S else "black"
        ax.text(x, y, kind, color=colour, ha="center", va="center", fontsize=area**0.5 / 2, zorder=5)
    name = "a number, a colour" if area > 80 else "a colour"
    ax.set_title(f"the walk, and what was seen where\n({name}: a kind of observation)", y=1)


def draw_memory(ax, story, t):
    """The weight of the memories made in each place, summed: its share of all |weight| as area and colour.

    A line leads to each place that has more than a tenth of it.
    """
    area, places, xy = draw_places(ax, story, t), story.places[t], story.world.xy
    share = abs(places) / max(abs(places).sum(), 1e-30)
    lines = np.stack([np.broadcast_to(xy[story.walk.states[t]], xy.shape), xy], axis=1)
    ax.add_collection(LineCollection(lines, color="0.5", lw=5 * share * (share > 0.1), zorder=1))
    for sign, marker in ((places > 0, "o"), (places < 0, "X")):
        ax.scatter(
            *xy[sign].T, s=area * share[sign], c=share[sign], cmap="Blues", vmin=-1, vmax=1, marker=marker, zorder=3
        )
    told = f"heaviest place: {share.max():.2f} of it" if share.any() else "there is none yet"
    crosses = "; crosses: negative" if (places < 0).any() else ""
    ax.set_title(f"the weight of memories, where they were made\n({told}{crosses})", y=1)


def draw_code(ax, story, t):
    """g at t, and g when the memory of the greatest weight was made."""
    g, heaviest = story.g, abs(story.w[t]).argmax()
    ax.stairs(g[t], fill=True, color="0.75")
    if t:
        ax.stairs(g[heaviest], color="black", lw=1.2)
    ax.set_title("position code, now" + (f" (grey) and at step {heaviest} (line)" if t else ""), y=1)
    ax.set(xlim=(0, g.shape[1]), xticks=[], xlabel="position units, like beside like")
    ax.set(ylim=1.05 * abs(g).max() * np.array([-1, 1]), ylabel="activity")


def draw_expected(ax, story, t):
    """The five likeliest kinds of observation, or four and the one that is seen."""
    p, seen = story.p[t], story.walk.observations[t]
    kinds = np.argsort(-p, kind="stable")[:5]
    kinds[-1] = kinds[-1] if seen in kinds else seen
    bars = ax.barh(range(len(kinds)), p[kinds], color="0.75", ec="black")
    for bar in np.array(bars)[kinds == seen]:
        bar.set(fc="tab:orange", hatch="///")
    ax.set_yticks(range(len(kinds)), [f"{kind} (seen)" if kind == seen else kind for kind in kinds])
    ax.set(xlim=(0, 1), xticks=[0, 0.5, 1], xlabel="probability")
    ax.set_title("what is expected, and what is seen (hatched)", y=1)
    ax.yaxis.set_inverted(True)


@plt.rc_context({"axes.titlesize": 9, "axes.labelsize": 9, "xtick.labelsize": 8, "ytick.labelsize": 8})
def draw(fig, story, t):
    """Step t on a figure, empty or with another step on it: to make axes, ticks and room for titles takes longest."""
    place = {"left": 0.015, "right": 0.975, "top": 0.81, "bottom": 0.12, "wspace": 0.25, "hspace": 0.6}
    panels = {"world": draw_world, "memory": draw_memory, "code": draw_code, "expected": draw_expected}
    mosaic = [["world", "memory", "code"], ["world", "memory", "expected"]]
    axes = {ax.get_label(): ax for ax in fig.axes} or fig.subplot_mosaic(mosaic, gridspec_kw=place)
    for name, panel in panels.items():
        for bars in list(axes[name].containers):
            bars.remove()
        for artist in (*axes[name].collections, *axes[name].patches, *axes[name].texts):
            artist.remove()
        panel(axes[name], story, t)
    fig.suptitle(caption(story, t))


def frames(model, params, world, walk=None, b=0, steps=None):  # -> Figure
    """A picture of each of `steps`, one below the other; the rest as for step_through, errors too.

    By default, the last step to a place never seen, and the last one by an edge never taken to a place seen before.
    """
    story = tell(model, params, world, walk, b)
    sorts = (~story.walk.revisit, story.walk.zero_shot)
    steps = [np.flatnonzero(sort)[-1] for sort in sorts if sort.any()] if steps is None else steps
    steps = envs.as_array("steps", steps).ravel()
    if not len(steps):
        raise ValueError("steps must name at least one step, got none")
    for t in steps:
        envs.check_size("steps", t, 0, len(story.g) - 1)
    fig = plt.figure(figsize=(SIZE[0], SIZE[1] * len(steps)), dpi=DPI)
    for part, t in zip(fig.subfigures(len(steps), 1, squeeze=False).flat, steps):
        draw(part, story, t)
    return fig


def png(fig):  # Figure -> bytes
    """The picture as a file, drawn once (savefig draws twice)."""
    file = io.BytesIO()
    FigureCanvasAgg(fig).print_png(file, pil_kwargs={"compress_level": 1})
    return file.getvalue()


class Viewer(ipywidgets.VBox):
    """A column of widgets that is the picture `still` where there are none: on the web, in a stored notebook."""

    still = b""

    def _repr_mimebundle_(self, **kwargs):
        return {**super()._repr_mimebundle_(**kwargs), "image/png": base64.b64encode(self.still).decode()}


def step_through(model, params, world, walk=None, b=0):  # -> Viewer
    """A viewer of walk b, for the last line of a Jupyter cell: a play button, a slider, a box that takes arrow keys.

    model: tem or temt; params: trained or fresh; walk: an envs.Walk in `world`, by default 60 steps of seed 0. Where
    there are no widgets, `frames` stands in its place. Raises ValueError where params, world, walk and b do not fit.
    """
    story, image, fig = tell(model, params, world, walk, b), ipywidgets.Image(), Figure(figsize=SIZE, dpi=DPI)

    @cache
    def page(t):
        draw(fig, story, t)
        return png(fig)

    def turn(change):
        image.value = page(change["new"])

    turn({"new": 0})
    last = len(story.g) - 1
    play, box = ipywidgets.Play(max=last, interval=700), ipywidgets.BoundedIntText(max=last, layout={"width": "70px"})
    slider = ipywidgets.IntSlider(max=last, readout=False, description="step")
    slider.observe(turn, "value")
    for other in (play, box):
        ipywidgets.jslink((other, "value"), (slider, "value"))
    viewer = Viewer([ipywidgets.HBox([play, slider, box]), image], layout={"align_items": "flex-start"})
    still = frames(model, params, world, walk, b)
    viewer.still = png(still)
    plt.close(still)
    return viewer
