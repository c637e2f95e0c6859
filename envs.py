"""Worlds to walk in: graphs whose moves share one structure and whose observations share nothing.

A world is a graph of N states and A moves. An agent walks on it and sees one of S kinds of observation in each
state; which kind stands where is drawn anew for every walk, so that only the structure (North + East + South + West
leads back) can be learned across walks. [W20] Whittington et al., Cell 2020; [W22] Whittington et al., ICLR 2022.

Glossary: N states, A moves, B walks, T steps, S kinds of observation, U units whose activity is mapped.
Everything about a walk is batch first, (B, T). Step 0 is where the walk begins: no move led there (action -1).
"""

import os
from collections.abc import Hashable
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import numpy as np

# ---------------------------------------------------------------------------------------------------- worlds


@dataclass(frozen=True, eq=False)
class World:
    """A graph to walk on; its arrays are read-only.

    name: what it is called.  actions: the A names of the moves.
    next_state: (N, A) integers, the state that a move leads to, -1 where it is blocked.
    xy: (N, 2), where to draw each state (x to the East, y to the North).
    loop: names of moves that together lead back to where they began.
    look: (N,) or None; states with the same number always show the same thing. None: each state has its own.
    Raises ValueError where these do not fit together.
    """

    name: str
    actions: tuple
    next_state: np.ndarray
    xy: np.ndarray
    loop: tuple
    look: np.ndarray = None

    def __post_init__(self):
        next_state, xy = as_array("next_state", self.next_state), as_array("xy", self.xy, float)
        if next_state.ndim != 2 or next_state.size == 0 or not np.issubdtype(next_state.dtype, np.integer):
            raise ValueError(f"next_state must be integers of shape (N, A), got {next_state.dtype} {next_state.shape}")
        N, A = next_state.shape
        if not isinstance(self.actions, (tuple, list)) or not all(isinstance(name, str) for name in self.actions):
            raise ValueError(f"actions must be a tuple of names, got {brief(self.actions)}")
        check_moves("loop", self.loop, self)
        if next_state.min() < -1 or next_state.max() >= N:
            raise ValueError(f"next_state must lie in -1..{N - 1}, got {next_state.min()}..{next_state.max()}")
        if (next_state < 0).all(axis=1).any():
            raise ValueError(f"next_state leaves no move at state {(next_state < 0).all(axis=1).argmax()}")
        if len(set(self.actions)) != A or len(self.actions) != A or xy.shape != (N, 2) or not np.isfinite(xy).all():
            raise ValueError(f"next_state {N, A} needs {A} names and finite xy {N, 2}, got {self.actions}, {xy.shape}")
        look = np.arange(N) if self.look is None else as_array("look", self.look)
        if look.shape != (N,) or look.dtype.kind not in "iu" or not 0 <= look.min() <= look.max() < N:
            raise ValueError(f"look must be {N} integers in 0..{N - 1}, got {brief(self.look)}")
        for field, array in (("next_state", next_state), ("xy", xy), ("look", look)):
            array.setflags(write=False)
            object.__setattr__(self, field, array)

    @property
    def n_states(self):
        """N, the number of states."""
        return len(self.next_state)

    @property
    def n_actions(self):
        """A, the number of moves."""
        return len(self.actions)

    def follow(self, state, moves):
        """The states passed on a walk from `state` by named moves, `state` first; stops before a blocked move."""
        check_size("state", state, 0, self.n_states - 1)
        check_moves("moves", moves, self)
        states = [state]
        for move in moves:
            state = self.next_state[state, self.actions.index(move)]
            if state < 0:
                break
            states.append(int(state))
        return states


def grid(height, width=None, torus=False):
    """A height x width grid with moves North, East, South, West; a torus wraps round. Row 0 is the southernmost."""
    width = height if width is None else width
    check_type("torus", torus, bool)
    check_size("height", height, 2)
    check_size("width", width, 2)
    check_size("height * width", height * width, 4)
    y, x = np.divmod(np.arange(height * width), width)
    moves = {"North": (0, 1), "East": (1, 0), "South": (0, -1), "West": (-1, 0)}
    if torus:
        return _lattice("torus", x, y, moves, loop=tuple(moves), wrap=(width, height))
    return _lattice("grid", x, y, moves, loop=tuple(moves))


def hexagon(side):
    """A hexagon of triangular lattice, `side` states along each edge: N = 3 side (side - 1) + 1 states, six moves."""
    check_size("side", side, 2, 500)
    v, u = np.divmod(np.arange((2 * side - 1) ** 2), 2 * side - 1)
    u, v = u - side + 1, v - side + 1
    inside = abs(u + v) < side
    moves = {"East": (1, 0), "North-East": (0, 1), "North-West": (-1, 1)}
    moves |= {"West": (-1, 0), "South-West": (0, -1), "South-East": (1, -1)}
    world = _lattice("hexagon", u[inside], v[inside], moves, loop=("East", "North-East", "West", "South-West"))
    slant = np.array([[1, 0], [1 / 2, np.sqrt(3) / 2]])
    return World(world.name, world.actions, world.next_state, world.xy @ slant, world.loop)


def ring(n):
    """n states in a circle, moves clockwise and anticlockwise."""
    check_size("n", n, 3)
    s = np.arange(n)
    xy = n / (2 * np.pi) * np.c_[np.sin(2 * np.pi * s / n), np.cos(2 * np.pi * s / n)]
    loop = ("clockwise", "clockwise", "anticlockwise", "anticlockwise")
    return World("ring", ("clockwise", "anticlockwise"), np.c_[(s + 1) % n, (s - 1) % n], xy, loop)


def line(n, jump=4):
    """n states in order, moves of 1 to `jump` up or down it: transitive inference."""
    check_size("n", n, 3)
    check_size("jump", jump, 1)
    check_size("n * jump", n * jump, 3)
    shifts = [sign * step for sign in (1, -1) for step in range(1, jump + 1)]
    target = np.arange(n)[:, None] + shifts
    loop = ("+2", "-1", "-1") if jump > 1 else ("+1", "+1", "-1", "-1")
    xy = np.c_[np.arange(n), np.zeros(n)]
    return World("line", tuple(f"{d:+d}" for d in shifts), np.where((target >= 0) & (target < n), target, -1), xy, loop)


def family_tree(levels):
    """A binary tree of people, 2^levels - 1 of them, and ten relations, most of which have no inverse."""
    check_size("levels", levels, 2, 19)
    N = 2**levels - 1
    person, nobody = np.arange(N), np.full(N, -1)
    children = [np.where(2 * person + k < N, 2 * person + k, -1) for k in (1, 2)]
    parent = np.r_[-1, (person[1:] - 1) // 2]
    sibling = np.r_[-1, person[1:] - 1 + 2 * (person[1:] % 2)]

    def of(relation, other):
        """The relation of somebody's other, where there is one."""
        return np.where(other >= 0, relation[other], nobody)

    aunt = of(sibling, parent)
    relations = {"parent": parent, "first child": children[0], "second child": children[1], "sibling": sibling}
    relations |= {"grandparent": of(parent, parent), "aunt": aunt}
    relations |= {"first niece": of(children[0], sibling), "second niece": of(children[1], sibling)}
    relations |= {"first cousin": of(children[0], aunt), "second cousin": of(children[1], aunt)}
    level = np.log2(person + 1).astype(int)
    xy = np.c_[(person + 1 - 2**level + 0.5) * 2.0 ** (levels - 1 - level), levels - 1 - level]
    loop = ("first child", "sibling", "parent")
    return World("family tree", tuple(relations), np.stack([*relations.values()], axis=1), xy, loop)


def laps(n, laps=4):
    """A circle of n places, walked one way; what the first one shows depends on the lap, and comes again after `laps`.

    The state is the place and the lap, n x laps of them: all but the first place look the same on every lap.
    """
    check_size("n", n, 2)
    check_size("laps", laps, 2)
    check_size("n * laps", n * laps, 4)
    s = np.arange(n * laps)
    place, lap = s % n, s // n
    turn, radius = 2 * np.pi * place / n, n / (2 * np.pi) + lap
    xy = radius[:, None] * np.c_[np.sin(turn), np.cos(turn)]
    return World("laps", ("on",), np.c_[(s + 1) % len(s)], xy, ("on",) * len(s), np.where(place == 0, s, place))


WORLDS = {
    "grid": (grid, 8),
    "torus": (lambda n: grid(n, torus=True), 8),
    "hex": (hexagon, 5),
    "ring": (ring, 8),
    "line": (line, 8),
    "tree": (family_tree, 4),
    "laps": (laps, 4),
}


def make(name, size=None):
    """The world of that name in WORLDS; size is its first argument, by default the one given there."""
    check_choice("name", name, *WORLDS)
    build, usual_size = WORLDS[name]
    return build(usual_size if size is None else size)


def _lattice(name, x, y, moves, loop, wrap=None):
    """The world of the points (x, y), joined where a move's (dx, dy) leads from one to another."""
    place = {point: state for state, point in enumerate(zip(x.tolist(), y.tolist()))}
    next_state = np.full((len(place), len(moves)), -1)
    for (px, py), state in place.items():
        for a, (dx, dy) in enumerate(moves.values()):
            target = (px + dx, py + dy) if wrap is None else ((px + dx) % wrap[0], (py + dy) % wrap[1])
            next_state[state, a] = place.get(target, -1)
    return World(name, tuple(moves), next_state, np.c_[x, y], loop)


# ----------------------------------------------------------------------------------------------------- walks


class Walk(NamedTuple):
    """B walks of T steps, each (B, T).

    states: where the agent is.  actions: the move that led there, -1 at step 0.  observations: what it sees there.
    revisit: it has been here before on this walk, so that what it will see can be known.
    zero_shot: a revisit along an edge (state, move) never taken before: only the structure can tell.
    """

    states: np.ndarray
    actions: np.ndarray
    observations: np.ndarray
    revisit: np.ndarray
    zero_shot: np.ndarray


def walk(rng, world, batch, steps, n_obs, repeat=0.3, start=None):
    """Draw B = batch random walks of T = steps steps, each in a world of its own making.  -> Walk

    Observations, one per look, are drawn with replacement from n_obs kinds, anew for every walk. A blocked move is
    never chosen; the last move is repeated with probability `repeat` where it can be, otherwise any open move is
    equally likely. Walks begin at a random state, or all at `start`.
    """
    check_type("rng", rng, np.random.Generator)
    check_type("world", world, World)
    for name, value, least in (("batch", batch, 1), ("steps", steps, 1), ("n_obs", n_obs, 1)):
        check_size(name, value, least)
    check_number("repeat", repeat, 0, 1)
    if start is not None:
        check_size("start", start, 0, world.n_states - 1)
    N, next_state = world.n_states, world.next_state
    is_open = next_state >= 0
    open_moves, n_open = np.argsort(~is_open, axis=1, kind="stable"), is_open.sum(axis=1)  # open ones first

    states, actions = np.empty((steps, batch), int), np.full((steps, batch), -1)
    states[0] = rng.integers(N, size=batch) if start is None else start
    choice, again = rng.random((steps, batch)), rng.random((steps, batch)) < repeat
    again[:2] = False  # there is no last move yet
    for t in range(1, steps):
        s, last = states[t - 1], actions[t - 1]
        any_open = open_moves[s, (choice[t] * n_open[s]).astype(int)]
        actions[t] = np.where(again[t] & is_open[s, last], last, any_open)
        states[t] = next_state[s, actions[t]]
    kinds = rng.integers(n_obs, size=(batch, N))
    return _seen(world, states.T, actions.T, np.take_along_axis(kinds, world.look[states.T], axis=1))


def walk_by_hand(world, observations, actions, start=None):
    """The one walk in which the named things are seen in turn and the named moves lead from each to the next.  -> Walk

    observations: T names, numbered in the order in which they first appear; actions: T - 1 of world.actions.
    start: a state; by default the first from which no move is blocked.
    Raises ValueError for an unknown or blocked move, or where one state would show two different things.
    """
    check_type("world", world, World)
    for name, value in (("observations", observations), ("actions", actions)):
        if not isinstance(value, (tuple, list)) or not all(isinstance(item, Hashable) for item in value):
            raise ValueError(f"{name} must be a list of names, got {brief(value)}")
    if len(actions) != len(observations) - 1:
        raise ValueError(f"actions must be one fewer than the {len(observations)} observations, got {len(actions)}")
    check_moves("actions", actions, world)
    if start is not None:
        check_size("start", start, 0, world.n_states - 1)
    paths = [world.follow(s, actions) for s in (range(world.n_states) if start is None else [start])]
    states = next((path for path in paths if len(path) == len(observations)), None)
    if states is None:
        raise ValueError(f"actions {tuple(actions)} are blocked on this {world.name} from start {start}")
    names = list(dict.fromkeys(observations))
    kinds = dict(zip(world.look[states], observations))
    if [kinds[look] for look in world.look[states]] != list(observations):
        raise ValueError(f"observations must show one thing in one place, got {tuple(observations)} at {tuple(states)}")
    taken = [-1] + [world.actions.index(move) for move in actions]
    return _seen(world, np.array([states]), np.array([taken]), np.array([[names.index(o) for o in observations]]))


ANIMALS = ("cat", "dog", "frog", "pig", "hen", "cow", "bee", "owl", "ant", "bat", "fox", "yak")
ANIMALS += tuple(f"sheep {i}" for i in range(1, 100))


def animals(world):  # -> names seen, Walk
    """Once round the world's loop, with an animal in each place: see cat, go North; see dog, go East; ... what now?"""
    check_type("world", world, World)
    paths = (world.follow(s, world.loop) for s in range(world.n_states))
    path = next((p for p in paths if len(p) > len(world.loop) and p[0] == p[-1]), [])
    looks = list(dict.fromkeys(world.look[path]))
    if not 0 < len(looks) <= len(ANIMALS):
        raise ValueError(f"world must have a loop past 1..{len(ANIMALS)} things, got {len(looks)} on {world.name}")
    names = [ANIMALS[looks.index(look)] for look in world.look[path]]
    return names, walk_by_hand(world, names, world.loop, start=path[0])


def _seen(world, states, actions, observations):
    """Complete a Walk with its two masks."""
    revisit = _earlier(states, world.n_states)
    known_edge = np.zeros_like(revisit)  # step 0 comes by no edge
    known_edge[:, 1:] = _earlier(states[:, :-1] * world.n_actions + actions[:, 1:], world.n_states * world.n_actions)
    return Walk(*map(np.ascontiguousarray, (states, actions, observations, revisit, revisit & ~known_edge)))


def _earlier(keys, n_keys):  # (B, T) in 0..n_keys-1 -> (B, T) bool
    """True where the same key stands earlier in the same row."""
    rows, time = np.arange(len(keys))[:, None], np.arange(keys.shape[1])
    first = np.full((len(keys), n_keys), keys.shape[1])
    np.minimum.at(first, (rows, keys), time)
    return first[rows, keys] < time


# ------------------------------------------------------------------------------------------- reference agents


def chance(walk, n_obs):  # -> (B, T)
    """Probability that a guess among n_obs kinds is right: 1/S."""
    guess = _guess(walk, n_obs)
    return np.full(walk.states.shape, guess)


def edge_agent(walk, n_obs):  # -> (B, T)
    """Probability that an agent is right that knows the (state, move) edges it has taken, and else guesses."""
    guess = _guess(walk, n_obs)
    return np.where(walk.revisit & ~walk.zero_shot, 1, guess)


def node_agent(walk, n_obs):  # -> (B, T)
    """Probability that an agent is right that knows every state it has seen, and else guesses: the ceiling."""
    guess = _guess(walk, n_obs)
    return np.where(walk.revisit, 1, guess)


def _guess(walk, n_obs):
    """1/S; ValueError where there is no walk or no S."""
    check_walk(walk)
    check_size("n_obs", n_obs, 1)
    return 1 / n_obs


def accuracy(right, walk):  # (B, T) -> revisits, zero-shot
    """Mean of `right` (a probability, or true and false) over the revisits and over the zero-shot steps of a walk.

    NaN where there is no such step. Raises ValueError unless right has the walk's shape and lies in 0..1.
    """
    check_walk(walk)
    right = as_array("right", right)
    if right.shape != walk.revisit.shape:
        raise ValueError(f"right must have the walk's shape {walk.revisit.shape}, got {right.shape}")
    if not ((right >= 0) & (right <= 1)).all():
        raise ValueError(f"right must lie in 0..1, got {right.min()}..{right.max()}")
    return tuple(float(right[mask].mean()) if mask.any() else np.nan for mask in (walk.revisit, walk.zero_shot))


def table(world, walks, n_obs, name, rights):  # -> str
    """Accuracy of a model beside the reference agents: rights[i] (B, T) says where it was right on walks[i]."""
    check_type("world", world, World)
    check_type("name", name, str)
    check_type("walks", walks, list)
    check_type("rights", rights, list)
    if not 0 < len(walks) == len(rights):
        raise ValueError(f"rights must be one a walk, and at least one, got {len(rights)} for {len(walks)} walks")
    for walk in walks:
        check_walk(walk)
    agents = {"chance": chance, "edge agent": edge_agent, "node agent": node_agent}
    rows = {agent: [right(walk, n_obs) for walk in walks] for agent, right in agents.items()} | {name: rights}
    title = f"{world.name}, {world.n_states} states"
    lines = [f"{title:20}" + "".join(f"{walk.states.shape[1]:16} steps" for walk in walks)]
    lines += [" " * 20 + f"{'revisits':>12}{'zero-shot':>10}" * len(walks)]
    for row, scores in rows.items():
        cells = [accuracy(right, walk) for right, walk in zip(scores, walks)]
        lines += [f"{row:20}" + "".join(f"{revisits:12.3f}{zero_shot:10.3f}" for revisits, zero_shot in cells)]
    return "\n".join(["", *lines, ""])


# -------------------------------------------------------------------------------------------------- rate maps


def rate_maps(activity, states, n_states):  # (B, T, U), (B, T) -> (U, N)
    """Each unit's mean activity in each state; NaN in a state never visited.

    Raises ValueError where activity and states do not fit, or a state is not in 0..n_states-1.
    """
    activity, states = as_array("activity", activity), as_array("states", states)
    check_size("n_states", n_states, 1)
    if activity.ndim != 3 or activity.shape[:2] != states.shape:
        raise ValueError(f"activity must be (B, T, U) for states (B, T) = {states.shape}, got {activity.shape}")
    if states.dtype.kind not in "iu" or not np.isfinite(activity).all():
        raise ValueError(f"states must be integers, and activity finite, got {states.dtype} and {activity.dtype}")
    if states.size and not 0 <= states.min() <= states.max() < n_states:
        raise ValueError(f"states must lie in 0..{n_states - 1}, got {states.min()}..{states.max()}")
    total = np.zeros((n_states, activity.shape[2]))
    np.add.at(total, states, activity)
    visits = np.bincount(states.ravel(), minlength=n_states)
    return np.where(visits > 0, total.T / np.maximum(visits, 1), np.nan)


# -------------------------------------------------------------------------------------------------- what may be given


def check_size(name, value, least, most=10**6):
    """Raise ValueError, naming the argument, unless value is an integer in least..most: more would never end."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {brief(value)}")
    if value > most:
        raise ValueError(f"{name} must be an integer of at most {most}, got {brief(value)}")


def check_number(name, value, least, most=np.inf):
    """Raise ValueError, naming the argument, unless value is a finite number in least..most."""
    if not isinstance(value, Real) or not least <= value <= most or value == np.inf:
        raise ValueError(f"{name} must be a finite number in {least}..{most}, got {brief(value)}")


def check_type(name, value, kind):
    """Raise ValueError, naming the argument, unless value is a `kind`."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be a {kind.__name__}, got {brief(value)}")


def check_choice(name, value, *choices):
    """Raise ValueError, naming the argument, unless value is one of the choices."""
    if not isinstance(value, type(choices[0])) or value not in choices:
        raise ValueError(f"{name} must be one of {choices}, got {brief(value)}")


def check_moves(name, moves, world):
    """Raise ValueError, naming the argument, unless moves are names of the world's."""
    if not isinstance(moves, (tuple, list)) or any(not isinstance(m, str) or m not in world.actions for m in moves):
        raise ValueError(f"{name} must be among {world.actions}, got {brief(moves)}")


def check_walk(walk):
    """Raise ValueError unless walk has all that a Walk has."""
    if not all(hasattr(walk, field) for field in Walk._fields):
        raise ValueError(f"walk must be a Walk, got {brief(walk)}")


def as_array(name, value, dtype=None, kinds="biuf"):
    """value as a new array; ValueError, naming the argument, where it is none of numbers."""
    try:
        array = np.array(value, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be an array of numbers, got {brief(value)}: {error}") from error
    if array.dtype.kind not in kinds:
        raise ValueError(f"{name} must be an array of numbers, got {brief(array)}")
    return array


def check_finite(name, value, *shapes):  # -> array
    """value as an array; ValueError, naming the argument, unless it is finite numbers, of one of any shapes given."""
    array = as_array(name, value, kinds="biufc")
    if shapes and array.shape not in shapes:
        raise ValueError(f"{name} must have the shape {' or '.join(map(str, shapes))}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return array


def brief(value):  # -> str
    """What was given, in one short line."""
    is_array = isinstance(value, np.ndarray) and value.ndim
    text = f"{value.dtype} {value.shape}" if is_array else " ".join(repr(value).split())
    return text if len(text) < 100 else f"{text[:96]} ..."


def check_file(name, path, *endings):
    """Raise ValueError, naming the argument, unless path is None, or names a file that can be written.

    It fails before hours of training, not after. endings: those it may have.
    """
    if path is None:
        return
    if endings and not str(path).lower().endswith(endings):
        raise ValueError(f"{name} must end in one of {endings}, got {path!r}")
    try:
        if not path or os.path.isdir(path):
            raise IsADirectoryError(21, "not the name of a file")
        write(f"{path}.try", lambda file: None)
        os.remove(f"{path}.try")
    except OSError as error:
        raise ValueError(f"{name} must be a file that can be written, got {path!r}: {error.strerror}") from error


def write(path, draw):
    """Let draw(file) write a file and then put it at `path`, so that what was there is lost only to what is whole."""
    if not isinstance(path, (str, os.PathLike)) or not str(path) or (os.path.exists(path) and not os.path.isfile(path)):
        raise ValueError(f"path must be the name of a file, got {brief(path)}")
    part = f"{os.fspath(path)}.part"
    try:
        with open(part, "wb") as file:
            draw(file)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)
