"""The ideal agent against Bayes' rule by enumeration, the exact weights against both, and training by steps."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
import temt
from notebooks import structures

WORLDS = [envs.family_tree(2), envs.laps(2, 2), envs.line(3, 2), envs.ring(3), envs.grid(2)]
S = 2  # kinds of observation where all worlds that there can be are enumerated

seeds = st.integers(0, 2**32 - 1)


def maze(seed):
    """Four places and three moves, the last two of them often blocked; few of them can be undone."""
    next_state = np.random.default_rng(seed).integers(-1, 4, size=(4, 3))
    next_state[:, 0] = abs(next_state[:, 0])
    return envs.World("maze", ("a", "b", "c"), next_state, np.eye(4, 2), ())


worlds = st.one_of(st.sampled_from(WORLDS), st.builds(maze, seeds))


def likelihood(world, actions, repeat):  # -> {start: P(actions | start)}, {start: states}
    """How envs.walk draws moves, for one walk and each start: plain Python."""
    chances, paths = {}, {}
    for start in range(world.n_states):
        chance, path = 1.0, [start]
        for t, a in enumerate(actions[1:], 1):
            is_open = [s >= 0 for s in world.next_state[path[-1]]]
            if not is_open[a]:
                break
            again = t > 1 and is_open[actions[t - 1]]
            chance *= (1 - repeat * again) / sum(is_open) + repeat * (again and a == actions[t - 1])
            path.append(int(world.next_state[path[-1], a]))
        else:
            chances[start], paths[start] = chance, path
    return chances, paths


def shared(votes, o):
    """1 over how many kinds have the most votes, if o is one of them."""
    best = [kind for kind in range(S) if votes[kind] > max(votes) - 1e-12]
    return (o in best) / len(best)


def votes_by_moves(world, actions, seen, repeat):
    """What each start last saw in the state it would be in now, weighed by its posterior."""
    chances, paths = likelihood(world, actions, repeat)
    votes = [0.0] * S
    for start, path in paths.items():
        before = [o for state, o in zip(path[:-1], seen) if state == path[-1]]
        if before:
            votes[before[-1]] += chances[start] / sum(chances.values())
    return votes


def votes_by_sight(world, actions, seen, repeat):
    """P(this kind is here, and a place that looks so was seen before): a sum over starts and whole worlds of kinds."""
    chances, paths = likelihood(world, actions, repeat)
    votes, total = [0.0] * S, 0.0
    for (start, path), kinds in product(paths.items(), product(range(S), repeat=world.n_states)):
        looks = world.look[path]
        if all(kinds[look] == o for look, o in zip(looks[:-1], seen)):
            total += chances[start]
            votes[kinds[looks[-1]]] += chances[start] * (looks[-1] in looks[:-1])
    return [vote / total for vote in votes]


@pytest.mark.parametrize("votes", [votes_by_moves, votes_by_sight])
@pytest.mark.parametrize(
    "world", [None, *WORLDS, envs.family_tree(3)], ids=lambda world: world.name if world else "maze"
)
@settings(max_examples=15)
@given(seeds, st.floats(0.05, 0.9))
def test_ideal_agent_is_bayes_rule_by_enumeration(votes, world, seed, repeat):
    world = world or maze(seed)
    walk = envs.walk(np.random.default_rng(seed), world, 4, 9, S, repeat)
    right = structures.ideal_agent(walk, world, S, sight=votes is votes_by_sight, repeat=repeat)
    for b, t in np.ndindex(right.shape):
        actions, seen = walk.actions[b, : t + 1].tolist(), walk.observations[b, : t + 1].tolist()
        assert right[b, t] == pytest.approx(shared(votes(world, actions, seen[:-1], repeat), seen[-1]))


@pytest.mark.parametrize("sight", [False, True])
@pytest.mark.parametrize("world", [envs.ring(5), envs.line(6), envs.grid(3, 4), envs.hexagon(2)])
def test_where_moves_have_inverses_nobody_need_know_where_the_walk_began(world, sight):
    walk = envs.walk(np.random.default_rng(0), world, 8, 60, 45)
    assert (structures.ideal_agent(walk, world, 45, sight)[walk.revisit] == 1).all()


def test_on_a_tree_sight_is_worth_more_than_moves_and_moves_more_than_edges():
    world = envs.family_tree(4)
    walk = envs.walk(np.random.default_rng(0), world, 64, 64, 45)
    moves, sight = (structures.ideal_agent(walk, world, 45, sight) for sight in (False, True))
    known = [envs.accuracy(right, walk)[0] for right in (envs.edge_agent(walk, 45), moves, sight)]
    assert known[0] + 0.3 < known[1] < known[2] - 0.01 < 0.99


@given(worlds, seeds, st.floats(0, 1))
def test_move_probabilities_of_a_state_sum_to_one(world, seed, repeat):
    rng = np.random.default_rng(seed)
    state, last = rng.integers(-1, world.n_states, size=(3, 4)), rng.integers(world.n_actions, size=3)
    told = [structures.move_probability(world, state, last, np.full(3, a), repeat) for a in range(world.n_actions)]
    np.testing.assert_allclose(sum(told), state >= 0)
    assert all((p[world.next_state[state, a] < 0] == 0).all() for a, p in enumerate(told))


def test_move_probability_is_how_often_walks_take_the_move():
    world = envs.family_tree(3)
    walk = envs.walk(np.random.default_rng(0), world, 3000, 20, 5, repeat=0.3)
    state, last, a = (x.ravel() for x in (walk.states[:, 1:-1], walk.actions[:, 1:-1], walk.actions[:, 2:]))
    for s, before in {*zip(state.tolist(), last.tolist())}:
        at = (state == s) & (last == before)
        for move in range(world.n_actions):
            p = structures.move_probability(world, np.array([[s]]), np.array([before]), np.array([move]), 0.3)[0, 0]
            assert abs((a[at] == move).mean() - p) <= 5 * np.sqrt(p * (1 - p) / at.sum())


@given(worlds, seeds)
def test_exact_weights_carry_the_posterior_of_the_start_and_the_state(world, seed):
    """The rectified path integrator, not told of repeats: unit (h, s) is P(h | moves) where h would be at s, else 0."""
    walk, N = envs.walk(np.random.default_rng(seed), world, 2, 12, S, repeat=0), world.n_states
    params = temt.init_params(np.random.default_rng(0), world.n_actions, S, N * N, activation="relu", dtype=float)
    g, _ = temt.path_integrate({**params, **structures.exact_weights(world)}, walk.actions)
    g = (g / g.sum(axis=-1, keepdims=True)).reshape(2, 12, N, N)
    for b, t in np.ndindex(2, 12):
        chances, paths = likelihood(world, walk.actions[b, : t + 1].tolist(), 0)
        expected = np.zeros((N, N))
        for start, path in paths.items():
            expected[start, path[-1]] = chances[start] / sum(chances.values())
        np.testing.assert_allclose(g[b, t], expected, atol=1e-12)


def test_exact_weights_predict_as_the_ideal_agent_does():
    """Nearly: attention is a softmax, the ideal agent's sum is not."""
    world, rng = envs.family_tree(3), np.random.default_rng(0)
    params = temt.init_params(rng, 10, 45, 49, activation="relu", beta=5.0) | structures.exact_weights(world)
    walk = envs.walk(rng, world, 128, 64, 45, repeat=0)
    ours = temt.evaluate({name: np.float32(value) for name, value in params.items()}, walk)
    best = structures.ideal_agent(walk, world, 45, repeat=0)
    for model, ideal in zip(envs.accuracy(ours, walk), envs.accuracy(best, walk)):
        assert abs(model - ideal) < 0.005


@given(seeds, st.integers(1, 5), st.integers(2, 9))
def test_permutations_move_every_unit_to_one_place(seed, n_actions, G):
    W = structures.permutations(np.random.default_rng(seed), n_actions, G)
    assert W.shape == (n_actions, G, G)
    assert ((W == 0) | (W == 1)).all()
    np.testing.assert_array_equal(W @ W.swapaxes(1, 2), np.broadcast_to(np.eye(G), W.shape))


def test_permutations_of_the_moves_differ():
    W = structures.permutations(np.random.default_rng(0), 3, 32)
    assert not any((W[a] == W[b]).all() for a, b in ((0, 1), (0, 2), (1, 2)))


def test_learning_by_sight_learns_and_keeps_what_came_in():
    world = envs.family_tree(3)
    params = structures.by_moves(np.random.default_rng(0), world, updates=20, steps=24, n_obs=9)
    kept = {name: value.copy() for name, value in params.items()}
    learned = structures.by_sight(np.random.default_rng(1), world, params, updates=30, batch=16, steps=24)
    assert all((params[name] == kept[name]).all() for name in kept)
    assert {name: value.shape for name, value in learned.items()} == {name: value.shape for name, value in kept.items()}
    walk = envs.walk(np.random.default_rng(2), world, 64, 24, 9)
    loss = [
        temt.gradients(p, walk.actions, walk.observations, walk.revisit, landmarks=sight)[0]
        for p, sight in ((params, False), (learned, True))
    ]
    assert loss[1] < 0.8 * loss[0]
    assert not np.array_equal(learned["gate"], [-4, 4, 0])
