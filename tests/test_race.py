"""The race is fair and its counts are true: same start, same walks, model.train to the last bit, products counted."""

import ast
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from checks import agree, generic
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
import tem
import temt

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmarks"))
import race

each_racer = pytest.mark.parametrize("name", race.MODELS)
seeds = st.integers(0, 2**32 - 1)


class Products(ast.NodeTransformer):
    """Source in which every a @ b is written multiply(a, b)."""

    def visit_BinOp(self, node):
        self.generic_visit(node)
        if not isinstance(node.op, ast.MatMult):
            return node
        return ast.Call(ast.Name("multiply", ast.Load()), [node.left, node.right], [])


def counting(model, costs):  # -> the module's functions by name, which add to costs what each product takes
    def multiply(a, b):
        costs.append(2 * (a @ b).size * a.shape[-1])
        return a @ b

    functions = {"__name__": model.__name__, "__file__": model.__file__, "multiply": multiply}
    tree = ast.fix_missing_locations(Products().visit(ast.parse(Path(model.__file__).read_text())))
    exec(compile(tree, model.__file__, "exec"), functions)
    return functions


def counting_racer(name, costs):
    """As counting; TEM factored takes its memory from race.py."""
    functions = counting(race.MODELS[name], costs)
    if name == "TEM factored":
        here = counting(race, costs)
        here["tem"] = SimpleNamespace(**functions)
        functions |= here["FACTORS"]
    return functions


COSTS = []
COUNTING = {name: counting_racer(name, COSTS) for name in race.MODELS}

# ------------------------------------------------------------------------------------------------------ counting


@each_racer
@settings(max_examples=10)
@given(seed=seeds, B=st.integers(1, 3), T=st.integers(1, 70), K=st.integers(1, 3), same=st.sampled_from([0.9, 1.0]))
def test_flops_are_those_of_the_products_that_an_update_makes(name, seed, B, T, K, same):
    rng, model, functions = np.random.default_rng(seed), race.MODELS[name], COUNTING[name]
    options = {"same": same, **({"K": K} if name == "TEM" else {})}
    params = model.init_params(rng, 4, 6, 5, 6 if K == 2 else 4, **options)
    walk = envs.walk(rng, envs.grid(3), B, T, 6)
    COSTS.clear()
    functions["gradients"](params, walk.actions, walk.observations, walk.revisit)
    functions["nearer_rotation"](params["W"])
    assert race.flops(model, params, B, T) == sum(COSTS)


def test_flops_are_those_counted_by_hand():
    rng = np.random.default_rng(0)
    params = temt.init_params(rng, 1, 3, 2, activation="relu")
    moves, decoder = 3 * 8, 3 * 2 * (2 * 3 * 3)  # there, back, dW; logits, dr, dD at two steps
    attention = 3 * 2 * 4 * 2 + 2 * 2 * 4 * 3  # scores, dq, dK over 2 units; reading and dweights over 3 senses
    assert race.flops(temt, params, B=1, T=2) == moves + decoder + attention
    params = tem.init_params(rng, 1, 3, 2, C=3, activation="relu", same=1.0)
    recall, unbinding = 6 * (2 * 4 * 6), 3 * (2 * 2 * 6)  # P = 6: scores, reading, dweights, dh, and dp twice
    assert race.flops(tem, params, B=1, T=2) == moves + decoder + recall + unbinding


# ------------------------------------------------------------------------------------------------------- fairness


@each_racer
def test_its_training_is_that_of_the_model_to_the_last_bit(name):
    model, world = race.MODELS[name], envs.grid(3)
    ours, theirs = np.random.default_rng(5), np.random.default_rng(5)
    params = model.init_params(ours, 4, 6, G=8, C=6)
    *_, (trained, _, _) = race.train(model, ours, world, params, updates=7, steps=20)
    params = model.init_params(theirs, 4, 6, G=8, C=6)
    wanted, _ = model.train(theirs, world, params, updates=7, steps=20, rate=race.RATE, quiet=True)
    assert all((trained[name] == wanted[name]).all() for name in wanted)
    assert ours.bit_generator.state == theirs.bit_generator.state


def test_both_models_have_the_same_start_and_the_same_walks(monkeypatch):
    starts, walks = [], []
    for model, configuration in ((tem, race.CONFIGURATIONS["TEM"]["plain read"]), (temt, {})):
        rng, seen = np.random.default_rng(3), []

        def gradients(params, *data, plain=model.gradients, seen=seen):
            seen.append(data)
            return plain(params, *data)

        monkeypatch.setattr(model, "gradients", gradients)
        starts.append(model.init_params(rng, 4, race.N_OBS, **configuration))
        for _ in race.train(model, rng, envs.grid(3), starts[-1], updates=5, steps=16):
            pass
        walks.append(seen)
    assert all((starts[0][name] == starts[1][name]).all() for name in ("W", "g0", "b", "leak", "gate"))
    assert len(walks[0]) == len(walks[1]) == 5
    assert all((a == b).all() for one, other in zip(*walks) for a, b in zip(one, other))


def test_evaluation_leaves_the_training_as_it_is_and_is_not_counted():
    often, seldom = ([*race.curve("TEM-t", {}, 1, 3, 16, 6, every=every)] for every in (1, 6))
    assert [row["update"] for row in often] == [*range(7)]
    for score in ("update", "flops", "revisits", "zero_shot"):
        assert [row[score] for row in (often[0], often[-1])] == [row[score] for row in seldom]
    assert often[0]["seconds"] == 0
    assert often[0]["flops"] == 0


@given(seed=seeds, same=st.sampled_from([1.0, 0.9, 0.3]), lam=st.floats(0.3, 1), T=st.integers(1, 40))
def test_tem_factored_is_tem_gradients_and_all(seed, same, lam, T):
    rng, world = np.random.default_rng(seed), envs.grid(3)
    params = generic(tem.init_params(rng, 4, 6, 7, C=4, dtype=float, same=same, lam=lam, eta=0.3), rng)
    walk = envs.walk(rng, world, 3, T, 6)
    data = walk.actions, walk.observations, walk.revisit
    loss, grads, right = race.MODELS["TEM factored"].gradients(params, *data)
    wanted_loss, wanted, wanted_right = tem.gradients(params, *data)
    scale = np.sqrt(sum(np.sum(d**2) for d in wanted.values()))
    agree(loss, wanted_loss, 1e-12)
    assert grads.keys() == wanted.keys()
    for name in wanted:
        agree(grads[name], wanted[name], 1e-10, scale)
    assert (right == wanted_right).all()


# -------------------------------------------------------------------------------------------------------- scaling


@settings(max_examples=15)
@given(seed=seeds, n=st.integers(1, 12), G=st.integers(3, 9))
def test_each_kernel_is_what_the_model_recalls(seed, n, G):
    rng = np.random.default_rng(seed)
    key, x, age = race.random_positions(rng, n, G), np.eye(4)[rng.integers(4, size=n)], np.ones((3, n))
    q = rng.normal(size=(3, G))
    params = tem.init_params(rng, 1, 4, G, C=4, same=1.0, eta=1.0, dtype=float)
    memory, _ = tem.remember(params, key[None], x[None])
    h, _ = tem.associate(params, tem.cue(params, q[None])[0], memory, age)
    agree(G * race.recalled("summed over G", q, key, x), h[0].reshape(3, G, 4).sum(axis=1), 1e-9)
    u = race.recalled("quadratic", q, key, x)
    agree(u / np.linalg.norm(u, axis=1, keepdims=True), tem.recall(params, q[None], memory, age)[0][0], 1e-9)
    params = temt.init_params(rng, 1, 4, G, beta=race.BETA, dtype=float)
    q, key = (temt.cue(params, z[None])[0][0] for z in (q, key))
    u = race.recalled("exponential", q, key, x)
    memory, _ = temt.remember(params, key[None], x[None])
    agree(u / u.sum(axis=1, keepdims=True), temt.recall(params, q[None], memory, age)[0][0], 1e-9)
    key += 1 / G  # now every sum over units is 1
    agree(race.recalled("summed over G", q, key, x), race.recalled("linear", q, key, x), 1e-9)


def test_a_step_with_synapses_and_a_step_with_rows_keep_what_the_models_store():
    rng, n = np.random.default_rng(0), 5
    g, x = rng.normal(size=(1, n + 2, 6)), np.eye(4)[rng.integers(4, size=(1, n + 2))]
    before = g[:, :n], x[:, :n], g[:, n : n + 1], x[:, n : n + 1]
    params = tem.init_params(rng, 1, 4, 6, C=4, same=1.0, hebbian=True, dtype=float)
    step, [M] = race.synapses(params, *before)
    for t in (n, n + 1):
        agree(M, tem.remember(params, g, x)[0]["M"][0, t], 1e-12)
        step()
    params = temt.init_params(rng, 1, 4, 6, dtype=float)
    step, [key, value] = race.rows(params, *before)
    step()
    stored, _ = temt.remember(params, g, x)
    agree(key[0, -1], stored["key"][0, n], 1e-12)
    assert (value[0, -1] == x[0, n]).all()


# --------------------------------------------------------------------------------------------------------- tables


def test_the_search_on_disk_tried_as_much_for_each_model_on_seeds_the_race_does_not_use():
    tried = {name: [row for row in race.read("search") if row["model"] == name] for name in race.CONFIGURATIONS}
    for name, rows in tried.items():
        plans = [(row["configuration"], row["rate"], row["seed"]) for row in rows]
        assert len(plans) == len(set(plans)) == 26
        assert {plan[0] for plan in plans} == set(race.CONFIGURATIONS[name])
        assert {plan[1] for plan in plans} == {race.RATE, *race.OTHER_RATES}
    assert {row["seed"] for rows in tried.values() for row in rows}.isdisjoint(row["seed"] for row in race.read("race"))


def test_the_race_on_disk_has_the_seeds_and_the_updates_that_it_says():
    rows = race.read("race")
    for size, steps, n_seeds, names in race.RACES:
        here = [row for row in rows if row["size"] == size and row["racer"] in names]
        runs = {(row["racer"], row["seed"]) for row in here}
        assert {row["steps"] for row in here} == {steps}
        assert runs == {(name, seed) for name in names for seed in range(n_seeds)}
        assert len(here) == 21 * len(runs)
        for run in runs:
            assert [row["update"] for row in here if (row["racer"], row["seed"]) == run] == [*range(0, 1001, 50)]


def test_the_race_on_disk_counted_the_flops_of_whom_the_search_chose():
    for name, (model, options, _) in race.racers().items():
        params = race.MODELS[model].init_params(np.random.default_rng(0), 4, race.N_OBS, **options)
        lengths = [min(64, round(12 + 52 * update / 300)) for update in range(50)]
        wanted = sum(race.flops(race.MODELS[model], params, race.BATCH, T) for T in lengths)
        got = {row["flops"] for row in race.read("race") if (row["racer"], row["size"], row["update"]) == (name, 6, 50)}
        assert got == {wanted}


def test_an_interrupted_part_keeps_the_rows_it_has(monkeypatch, tmp_path):
    def rows():
        yield {"name": "first", "value": 1 / 3}
        raise KeyboardInterrupt

    monkeypatch.setitem(race.TABLES, "search", tmp_path / "search.csv")
    with pytest.raises(KeyboardInterrupt):
        race.write("search", rows())
    assert race.read("search") == [{"name": "first", "value": 0.33333}]
