"""Worlds, walks, reference agents and rate maps, against plain-Python oracles and the claims of their docstrings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import envs

WORLDS = {
    "grid": lambda n: envs.grid(n, n + 1),
    "torus": lambda n: envs.grid(n + 1, n, torus=True),
    "hexagon": envs.hexagon,
    "ring": lambda n: envs.ring(n + 1),
}
INVERSE = {"North": "South", "East": "West", "North-East": "South-West", "North-West": "South-East"}
INVERSE |= {"clockwise": "anticlockwise"}
INVERSE |= {back: move for move, back in INVERSE.items()}

worlds = st.builds(lambda name, n: WORLDS[name](n), st.sampled_from(sorted(WORLDS)), st.integers(2, 6))
seeds = st.integers(0, 2**32 - 1)


@given(worlds)
def test_every_move_has_its_inverse(world):
    for a, move in enumerate(world.actions):
        b = world.actions.index(INVERSE[move])
        for s, target in enumerate(world.next_state[:, a]):
            assert target < 0 or world.next_state[target, b] == s


@given(worlds)
def test_moves_commute_and_loops_close(world):
    """Move a then b leads where b then a does, wherever both ways are open; the world's own loop leads home."""
    for s in range(world.n_states):
        for a in world.actions:
            for b in world.actions:
                ab, ba = world.follow(s, [a, b]), world.follow(s, [b, a])
                assert len(ab) < 3 or len(ba) < 3 or ab[-1] == ba[-1]
        path = world.follow(s, world.loop)
        assert len(path) <= len(world.loop) or path[-1] == s
    assert any(len(world.follow(s, world.loop)) > len(world.loop) for s in range(world.n_states))


@given(st.integers(2, 6), st.integers(2, 6), st.booleans())
def test_north_east_south_west_is_staying_where_you_are(height, width, torus):
    world = envs.grid(height, width, torus)
    closed = [path[-1] == path[0] for s in range(world.n_states) if len(path := world.follow(s, world.actions)) == 5]
    assert all(closed)
    assert len(closed) == (height * width if torus else (height - 1) * (width - 1))


@pytest.mark.parametrize("side", [2, 3, 5])
def test_hexagon_has_its_size_and_equal_steps(side):
    world = envs.hexagon(side)
    assert world.n_states == 3 * side * (side - 1) + 1
    s, a = np.nonzero(world.next_state >= 0)
    lengths = np.linalg.norm(world.xy[world.next_state[s, a]] - world.xy[s], axis=1)
    np.testing.assert_allclose(lengths, 1)


@pytest.mark.parametrize(("n", "jump"), [(8, 4), (3, 1), (5, 9)])
def test_line_is_adding_numbers(n, jump):
    world = envs.line(n, jump)
    for s in range(n):
        for a, name in enumerate(world.actions):
            target = s + int(name)
            assert world.next_state[s, a] == (target if 0 <= target < n else -1)
    assert sorted(map(int, world.actions)) == [d for d in range(-jump, jump + 1) if d]


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
def test_family_tree_is_what_its_words_mean(levels):
    """Against an oracle that knows parents and children alone."""
    world, people = envs.family_tree(levels), range(2**levels - 1)
    children = {p: [c for c in (2 * p + 1, 2 * p + 2) if c in people] for p in people}
    parent = {c: p for p in people for c in children[p]}

    def oracle(person):
        siblings = [c for c in children.get(parent.get(person), []) if c != person]
        aunts = [c for c in children.get(parent.get(parent.get(person)), []) if c != parent[person]]
        nieces, cousins = ([c for r in relatives for c in children[r]] for relatives in (siblings, aunts))
        up = [parent[person]] if person in parent else []
        grandparents = [parent[p] for p in up if p in parent]
        found = {"parent": up, "grandparent": grandparents, "sibling": siblings, "aunt": aunts}
        for word, relatives in (("child", children[person]), ("niece", nieces), ("cousin", cousins)):
            found |= {f"first {word}": relatives[:1], f"second {word}": relatives[1:]}
        return found

    assert len(world.actions) == 10
    for person in people:
        found = oracle(person)
        for a, word in enumerate(world.actions):
            assert [s for s in [world.next_state[person, a]] if s >= 0] == found[word]


@given(st.integers(2, 6), st.integers(2, 5), seeds)
def test_laps_look_alike_but_for_the_first_place(n, laps, seed):
    world = envs.laps(n, laps)
    walk = envs.walk(np.random.default_rng(seed), world, 3, 3 * n * laps, 1000, start=0)
    seen = walk.observations.reshape(3, 3, laps, n)
    assert (walk.states == np.arange(3 * n * laps) % (n * laps)).all()
    assert (seen == seen[:, :1]).all()  # round after round of laps the same
    assert (seen[..., 1:] == seen[:, :1, :1, 1:]).all()  # on every lap the same, but for the first place
    assert all(len(set(starts)) > 1 or laps == 2 for starts in seen[:, 0, :, 0].tolist())


def test_a_world_is_immutable():
    world = envs.grid(3)
    with pytest.raises(ValueError, match="read-only"):
        world.next_state[0, 0] = 5
    with pytest.raises(AttributeError):
        world.name = "other"


@given(worlds, seeds, st.integers(1, 4), st.integers(1, 30), st.floats(0, 1), st.integers(1, 9))
def test_walks_stay_on_edges_and_masks_match_a_slow_oracle(world, seed, batch, steps, repeat, n_obs):
    walk = envs.walk(np.random.default_rng(seed), world, batch, steps, n_obs, repeat)
    assert {array.shape for array in walk} == {(batch, steps)}
    for b in range(batch):
        visited, taken, kinds = set(), set(), {}
        for t in range(steps):
            s, a, o = (int(array[b, t]) for array in walk[:3])
            edge = (int(walk.states[b, t - 1]), a) if t else None
            assert a == -1 if t == 0 else world.next_state[edge] == s
            assert walk.revisit[b, t] == (s in visited)
            assert walk.zero_shot[b, t] == (s in visited and edge not in taken)
            assert 0 <= o < n_obs
            assert kinds.setdefault(s, o) == o
            visited.add(s)
            taken.add(edge)


def test_moves_are_repeated_and_otherwise_uniform():
    """On a torus every move is open: the last is repeated with probability r + (1 - r) / 4, every first is 1 / 4."""
    walk = envs.walk(np.random.default_rng(0), envs.grid(4, torus=True), 400, 51, 5, repeat=0.4)
    again = walk.actions[:, 2:] == walk.actions[:, 1:-1]
    assert abs(again.mean() - 0.55) < 0.015  # 4 standard errors
    assert np.ptp(np.bincount(walk.actions[:, 1:].ravel())) < 0.1 * walk.actions.size / 4


@given(worlds, seeds)
def test_a_walk_can_begin_at_a_given_state(world, seed):
    start = seed % world.n_states
    assert (envs.walk(np.random.default_rng(seed), world, 5, 3, 4, start=start).states[:, 0] == start).all()


def test_same_seed_same_walk_and_other_seed_another():
    walks = [envs.walk(np.random.default_rng(seed), envs.grid(5), 4, 20, 9) for seed in (1, 1, 2)]
    assert all((a == b).all() for a, b in zip(walks[0], walks[1]))
    assert not (walks[0].states == walks[2].states).all()


def test_the_four_animals():
    """See cat, go North; dog, East; frog, South; pig, West: cat again, and by an edge never taken."""
    names, walk = envs.animals(envs.grid(4))
    assert names == ["cat", "dog", "frog", "pig", "cat"]
    assert walk.observations.tolist() == [[0, 1, 2, 3, 0]]
    assert walk.actions.tolist() == [[-1, 0, 1, 2, 3]]
    assert walk.revisit.tolist() == walk.zero_shot.tolist() == [[False] * 4 + [True]]


@given(worlds)
def test_every_lattice_has_its_animals(world):
    names, walk = envs.animals(world)
    assert names[0] == names[-1] == "cat"
    assert walk.zero_shot[0, -1]


@pytest.mark.parametrize("name", envs.WORLDS)
def test_every_named_world_has_its_animals(name):
    """The loop leads home, and in the end to the cat by an edge never taken."""
    names, walk = envs.animals(envs.make(name))
    assert names[0] == names[-1] == "cat"
    assert walk.states[0, 0] == walk.states[0, -1]
    assert walk.zero_shot[0, -1]


@given(worlds, seeds)
def test_a_drawn_walk_can_be_built_by_hand(world, seed):
    walk = envs.walk(np.random.default_rng(seed), world, 1, 12, 50)
    seen = [f"thing {o}" for o in walk.observations[0]]
    moves = [world.actions[a] for a in walk.actions[0, 1:]]
    same = envs.walk_by_hand(world, seen, moves, start=int(walk.states[0, 0]))
    for ours, drawn in ((same.states, walk.states), (same.revisit, walk.revisit), (same.zero_shot, walk.zero_shot)):
        assert (ours == drawn).all()
    assert [seen[i] for i in np.unique(same.observations[0], return_index=True)[1]] == list(dict.fromkeys(seen))


@given(worlds, seeds, st.integers(2, 50))
def test_agents_know_what_they_can_know(world, seed, n_obs):
    walk = envs.walk(np.random.default_rng(seed), world, 3, 40, n_obs)
    for agent, on_old_edge, on_zero_shot in (
        (envs.chance, 1 / n_obs, 1 / n_obs),
        (envs.edge_agent, 1, 1 / n_obs),
        (envs.node_agent, 1, 1),
    ):
        right = agent(walk, n_obs)
        assert (right[walk.revisit & ~walk.zero_shot] == on_old_edge).all()
        assert (right[walk.zero_shot] == on_zero_shot).all()
        assert (right[~walk.revisit] == 1 / n_obs).all()


def test_accuracy_is_the_mean_over_each_mask_and_nan_over_none():
    assert envs.accuracy(np.array([[0, 0, 0, 0, 0.25]]), four) == (0.25, 0.25)
    assert all(np.isnan(envs.accuracy(np.zeros((1, 1)), envs.Walk(*(array[:, :1] for array in four)))))


@given(worlds, seeds, st.integers(1, 3), st.integers(1, 20))
def test_rate_maps_match_a_slow_oracle(world, seed, batch, steps):
    rng = np.random.default_rng(seed)
    walk = envs.walk(rng, world, batch, steps, 5)
    activity = rng.normal(size=(batch, steps, 3))
    maps = envs.rate_maps(activity, walk.states, world.n_states)
    assert maps.shape == (3, world.n_states)
    for s in range(world.n_states):
        here = [activity[b, t] for b in range(batch) for t in range(steps) if walk.states[b, t] == s]
        np.testing.assert_allclose(maps[:, s], np.mean(here, axis=0) if here else np.full(3, np.nan))


def test_the_table_shows_every_agent_and_three_decimals():
    walk = envs.walk(np.random.default_rng(0), envs.grid(3), 4, 30, 5)
    lines = envs.table(envs.grid(3), [walk, walk], 5, "model", [walk.revisit] * 2).splitlines()
    assert [line[:10].strip() for line in lines[3:]] == ["chance", "edge agent", "node agent", "model"]
    assert lines[3].split()[1:] == ["0.200"] * 4
    assert lines[-1].split()[1:] == ["1.000"] * 4


four = envs.animals(envs.grid(4))[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: envs.grid(1, 4), "height must be an integer of at least 2, got 1"),
        (lambda: envs.grid(4, 2.5), "width must be an integer of at least 2, got 2.5"),
        (lambda: envs.grid(True), "height"),
        (lambda: envs.hexagon("five"), "side must be an integer of at least 2, got 'five'"),
        (lambda: envs.ring(2), "n must be an integer of at least 3, got 2"),
        (lambda: envs.line(2), "n must be an integer of at least 3, got 2"),
        (lambda: envs.line(5, 0), "jump must be an integer of at least 1, got 0"),
        (lambda: envs.family_tree(1), "levels must be an integer of at least 2, got 1"),
        (lambda: envs.laps(5, 1), "laps must be an integer of at least 2, got 1"),
        (lambda: envs.World("w", ("a",), [[0]], [[0, 0]], (), [3]), r"look must be 1 integers in 0..0"),
        (lambda: envs.make("moon"), "name must be one of"),
        (lambda: envs.World("w", ("a",), [[1.5]], [[0, 0]], ()), "next_state must be integers"),
        (lambda: envs.World("w", ("a",), np.zeros((0, 1), int), np.zeros((0, 2)), ()), "next_state"),
        (lambda: envs.World("w", ("a",), [[1], [2]], [[0, 0], [0, 1]], ()), "next_state must lie in -1..1, got 1..2"),
        (lambda: envs.World("w", ("a",), [[-1]], [[0, 0]], ()), "next_state leaves no move at state 0"),
        (lambda: envs.World("w", ("a", "b"), [[0]], [[0, 0]], ()), "needs 1 names"),
        (lambda: envs.walk(np.random.default_rng(0), envs.ring(4), 0, 5, 5), "batch must be an integer of at least 1"),
        (lambda: envs.walk(np.random.default_rng(0), envs.ring(4), 1, 0, 5), "steps must be an integer of at least 1"),
        (lambda: envs.walk(np.random.default_rng(0), envs.ring(4), 1, 5, 0), "n_obs must be an integer of at least 1"),
        (
            lambda: envs.walk(np.random.default_rng(0), envs.ring(4), 1, 5, 5, repeat=1.5),
            "repeat must be a finite number in 0..1, got 1.5",
        ),
        (lambda: envs.walk(np.random.default_rng(0), envs.ring(4), 1, 5, 5, repeat=np.nan), "repeat"),
        (
            lambda: envs.walk(np.random.default_rng(0), envs.ring(4), 1, 5, 5, start=4),
            "start must be .* 3, got 4",
        ),
        (lambda: envs.walk_by_hand(envs.grid(3), ["a"], ["North"]), "actions must be one fewer"),
        (lambda: envs.walk_by_hand(envs.grid(3), ["a", "b"], ["Up"]), "actions must be among .*'Up'"),
        (lambda: envs.walk_by_hand(envs.grid(3), ["a", "b"], ["South"], start=0), "blocked"),
        (lambda: envs.walk_by_hand(envs.grid(2), list("abcd"), ["North"] * 3), "blocked"),
        (lambda: envs.walk_by_hand(envs.grid(3), list("abc"), ["North", "South"]), "observations must show one thing"),
        (lambda: envs.accuracy(np.zeros((2, 5)), four), r"right must have the walk's shape \(1, 5\)"),
        (lambda: envs.rate_maps(np.zeros((1, 5)), four.states, 16), r"activity must be \(B, T, U\)"),
        (lambda: envs.rate_maps(np.zeros((1, 5, 2)), four.states, 3), "states must lie in 0..2"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
