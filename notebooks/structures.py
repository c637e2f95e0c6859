"""Structures that are not space: the best an agent can do in them, and the starts and training that a tree needs.

Glossary: N states (each may be where the walk began), A moves, B walks, T steps, S kinds of observation, G units.
"""

import numpy as np
from tqdm import tqdm

import envs
import temt


def ideal_agent(walk, world, n_obs, sight=False, repeat=0.3):  # -> (B, T)
    """Probability that an agent is right that knows the world and how walks are drawn, but not where this one began.

    P(start | moves) by Bayes' rule, from how likely each move was; with sight, also from what was seen: in a place
    seen before it must be the same again, elsewhere each kind has 1/S. For each start it knows where it would be now
    and what it last saw there. It says the kind with the greatest sum of P; equals share. repeat: as in envs.walk.
    """
    (B, T), rows, N = walk.states.shape, np.arange(len(walk.states)), world.n_states
    starts = np.arange(N)
    look = np.r_[world.look if sight else starts, -1]
    here, weight = np.tile(starts, (B, 1)), np.full((B, N), 1 / N)
    seen, right = np.full((B, N, N + 1), -1), np.empty((B, T))  # one more column, for those who are nowhere
    for t, (a, o) in enumerate(zip(walk.actions.T, walk.observations.T)):
        if t:
            weight *= move_probability(world, here, walk.actions[:, t - 1], a, repeat if t > 1 else 0)
            here = np.where(here < 0, -1, world.next_state[here, a[:, None]])
        here_looks = rows[:, None], starts, look[here]
        known = seen[here_looks]
        votes = np.zeros((B, n_obs + 1))
        np.add.at(votes, (rows[:, None], known), weight)
        best = votes[:, :n_obs] >= (1 - 1e-9) * votes[:, :n_obs].max(axis=1, keepdims=True)
        right[:, t] = best[rows, o] / best.sum(axis=1)
        if sight:
            weight *= np.where(known < 0, 1 / n_obs, known == o[:, None])
        weight /= weight.sum(axis=1, keepdims=True)
        seen[here_looks] = o[:, None]
    return right


def move_probability(world, state, last, a, repeat):  # (B, N), (B,), (B,) -> (B, N)
    """P(move a | state, last move) of envs.walk; 0 where a is blocked, or there is no state (-1)."""
    is_open = world.next_state >= 0
    again = repeat * is_open[state, last[:, None]]
    any_open = is_open[state, a[:, None]] / is_open[state].sum(axis=-1)
    return (state >= 0) * (again * (a == last)[:, None] + (1 - again) * any_open)


def exact_weights(world):  # -> {W (A, N^2, N^2), g0 (N^2,)}
    """The ideal agent by moves alone as a rectified path integrator: the forward algorithm of hidden Markov models.

    Unit (h, s) holds P(began at h, is at s | moves): g0 is 1 where s = h, and W_a[(h, s), (h, s a)] = P(a | s), that is
    1 over the number of open moves. It does not know that walks repeat themselves.
    """
    N, A = world.next_state.shape
    s, a = np.nonzero(world.next_state >= 0)
    step = np.zeros((A, N, N))
    step[a, s, world.next_state[s, a]] = 1 / np.bincount(s)[s]
    return {"W": np.kron(np.eye(N), step), "g0": np.eye(N).ravel()}


def permutations(rng, n_actions, G):  # -> (A, G, G)
    """A random permutation of the units for each move: a start for W that rectified units neither lose nor blur."""
    return np.eye(G)[np.array([rng.permutation(G) for _ in range(n_actions)])]


def by_moves(rng, world, updates=3000, steps=64, n_obs=45, quiet=True):  # -> params
    """temt.train of rectified units whose W start from permutations."""
    params = temt.init_params(rng, world.n_actions, n_obs, activation="relu")
    params["W"] = permutations(rng, *params["W"].shape[:2]).astype(np.float32)
    return temt.train(rng, world, params, updates, steps=steps, quiet=quiet)[0]


def by_sight(rng, world, params, updates=1000, batch=32, steps=64, rate=2e-3, quiet=True):  # -> params
    """Go on learning with landmarks from the first update, as temt.train does in its last tenth alone.

    The gate starts wider than that of temt.init_params: what moves alone cannot tell, a look must be able to.
    """
    params, state = {**params, "gate": np.array([-4, 4, 0], params["W"].dtype)}, {}
    for update in tqdm(range(updates), desc="by sight", disable=quiet, mininterval=1):
        walk = envs.walk(rng, world, batch, steps, len(params["b"]))
        _, grads, _ = temt.gradients(params, walk.actions, walk.observations, walk.revisit, landmarks=True)
        params, state = temt.adam(params, grads, state, rate * (1 + np.cos(np.pi * update / updates)) / 2)
    return params
