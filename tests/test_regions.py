"""More than two regions (notebooks/regions.py): the task, every backward, rung 9's identities, recall in any direction.

Each property holds for 2, 3 and 4 regions: no, one or two contexts. Codes are generic normals where an identity or a
gradient is tested, and what a walk makes of them elsewhere.
"""

import numpy as np
import pytest
from checks import MODELS, agree, check_backward, check_gradients, generic, memory_options
from hypothesis import given
from hypothesis import strategies as st

import envs
import tem
import temt
from notebooks import regions

each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
KINDS = st.sampled_from([(), (2,), (3,), (2, 2), (3, 2)])


@st.composite
def walks(draw, max_B=3, max_T=12, kinds=KINDS):
    """Walks in contexts on a small world of few kinds of observation; and the generator that drew them."""
    world = draw(st.sampled_from([envs.grid(2, 3), envs.ring(4), envs.hexagon(2), envs.laps(2, 2)]))
    B, T, S = draw(st.integers(1, max_B)), draw(st.integers(1, max_T)), draw(st.integers(2, 6))
    rng, switch = np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw(st.floats(0, 1))
    return rng, world, S, regions.context_walk(rng, world, B, T, S, draw(kinds), switch)


@st.composite
def problems(draw, model):
    """Generic parameters of TEM, or of TEM-t with sums or products, and walks that they can read."""
    rng, world, S, walk = draw(walks())
    options = memory_options(model, draw)
    if model is temt:
        options |= {"gamma": draw(st.floats(0.2, 4)), "product": draw(st.booleans())}
    params = regions.init_params(rng, model, world.n_actions, S, G=draw(st.integers(4, 7)), C=S, dtype=float, **options)
    return generic(params, rng), walk, rng


@st.composite
def asked(draw, model, attractor=True, least=1):
    """Generic codes of 2 to 4 regions, cues for some of them, and a region to recall that has no cue."""
    B, n, Q = draw(st.integers(1, 3)), draw(st.integers(least, 7)), draw(st.integers(1, 4))
    names = ["position", *[f"context {v + 1}" for v in range(draw(st.integers(0, 2)))], "sense"]
    sizes = {name: draw(st.integers(2, 4)) for name in names}
    rng, options = np.random.default_rng(draw(st.integers(0, 2**32 - 1))), memory_options(model, draw)
    if model is temt:
        options |= {"gamma": draw(st.floats(0.2, 4)), "product": draw(st.booleans())}
    if not attractor:
        options |= {"K": 1, "kappa": 0.0, "squash": False, "same": 1.0}
    options |= {"G": sizes["position"], "C": sizes["sense"]}
    params = regions.init_params(rng, model, 2, sizes["sense"], dtype=float, **options)
    codes, cues = ({name: rng.normal(size=(B, m, N)) for name, N in sizes.items()} for m in (n, Q))
    target = draw(st.sampled_from(names))
    known = draw(st.lists(st.sampled_from([name for name in names if name != target]), min_size=1, unique=True))
    return params, codes, {name: cues[name] for name in names if name in known}, target, rng


# --------------------------------------------------------------------------------------------------------- the task


@given(walks(max_T=20))
def test_what_is_seen_depends_on_the_state_and_all_contexts(drawn):
    _, world, S, walk = drawn
    for b, states in enumerate(walk.states):
        keys = [(world.look[s], *c) for s, c in zip(states, walk.contexts[b].tolist())]
        assert all(walk.observations[b, t] == walk.observations[b, keys.index(key)] for t, key in enumerate(keys))
    assert 0 <= walk.observations.min() <= walk.observations.max() < S
    assert (walk.states[:, 1:] == world.next_state[walk.states[:, :-1], walk.actions[:, 1:]]).all()


@given(walks(max_T=20))
def test_masks_are_those_of_a_slow_list(drawn):
    """A revisit: of the state in these contexts. Zero-shot: along an edge never taken, in whatever context."""
    *_, walk = drawn
    for b, states in enumerate(walk.states.tolist()):
        keys = [(s, *c) for s, c in zip(states, walk.contexts[b].tolist())]
        edges = [None, *zip(states[:-1], walk.actions[b, 1:].tolist())]
        for t, key in enumerate(keys):
            assert walk.revisit[b, t] == (key in keys[:t])
            assert walk.zero_shot[b, t] == (key in keys[:t] and edges[t] not in edges[:t])


@given(walks(max_T=20))
def test_last_seen_is_that_of_a_slow_dictionary(drawn):
    *_, S, walk = drawn
    keys = [walk.states, *np.moveaxis(walk.contexts, -1, 0)]
    for known in (keys[:1], keys[1:] or keys, keys):
        got = regions.last_seen(walk, S, *known)
        for b, row in enumerate(got):
            note = {}
            for t, p in enumerate(row):
                key, o = tuple(k[b, t] for k in known), walk.observations[b, t]
                assert p == (note[key] == o if key in note else 1 / S)
                note[key] = o
    assert (regions.last_seen(walk, S, *keys)[walk.revisit] == 1).all()


def test_contexts_switch_as_often_as_told_and_to_every_other_kind():
    rng = np.random.default_rng(0)
    for kinds, switch in (((3,), 0.1), ((2, 4), 0.5), ((3,), 0.0), ((3,), 1.0)):
        contexts = regions.context_walk(rng, envs.ring(4), 50, 200, 3, kinds, switch).contexts
        now, before = contexts[:, 1:], contexts[:, :-1]
        assert abs((now != before).mean(axis=(0, 1)) - switch).max() < 0.02
        for v, K in enumerate(kinds):
            assert (np.bincount(contexts[:, 0, v], minlength=K) > 0).all()
            pairs = np.unique(np.stack([before, now])[..., v].reshape(2, -1), axis=1)
            assert pairs.shape[1] == K * (switch < 1) + K * (K - 1) * (switch > 0)


def test_with_no_context_it_is_the_walk_of_envs():
    ours = regions.context_walk(np.random.default_rng(5), envs.grid(4), 8, 60, 9, kinds=())
    theirs = envs.walk(np.random.default_rng(5), envs.grid(4), 8, 60, 9)
    for name in ("states", "actions", "revisit", "zero_shot"):
        assert (getattr(ours, name) == getattr(theirs, name)).all()


def test_neither_place_nor_context_alone_predicts():
    walk = regions.context_walk(np.random.default_rng(0), envs.grid(5), 200, 128, 45)
    known = walk.states, walk.contexts[..., 0]
    place, context, both = (
        envs.accuracy(regions.last_seen(walk, 45, *k), walk)[0] for k in (known[:1], known[1:], known)
    )
    assert context < 0.1 < 0.7 < place < 0.85  # contexts last a while: what was seen in a place is often seen again
    assert both == 1 == envs.accuracy(envs.node_agent(walk, 45), walk)[0]


@pytest.mark.parametrize(("name", "bad"), [("kinds", (1,)), ("kinds", (2.0,)), ("switch", 1.1), ("batch", 0)])
def test_a_bad_walk_is_named(name, bad):
    options = {"batch": 2, "steps": 3, "n_obs": 4, name: bad}
    with pytest.raises(ValueError, match=rf"^{name} must be"):
        regions.context_walk(np.random.default_rng(0), envs.ring(4), **options)


# -------------------------------------------------------------------------------------------------------- gradients


def recall_from(recall, params, cues, asked, age):
    """As a function of cues, stored arrays and learned scalars in a row; and what came back, split up likewise."""

    def forward(*arrays, names, own):
        dtype = np.result_type(*arrays)
        given, stored, values = split([np.asarray(a, dtype) for a in arrays], cues, names)
        return recall({**params, **dict(zip(own, values))}, given, asked, stored, age)

    return forward


def split(arrays, cues, names):
    c, m = len(cues), len(names)
    return dict(zip(cues, arrays[:c])), dict(zip(names, arrays[c : c + m])), arrays[c + m :]


def ages(data, rng, B, Q, n):
    """With gaps, repeats and what is not stored; one for all walks or one for each."""
    return rng.integers(-1, 4, size=data.draw(st.sampled_from([(Q, n), (B, Q, n)])))


@each_model
@given(data=st.data())
def test_recall_backward(model, data):
    """From any cues to any other region; for what is learned, what is asked and what is stored."""
    params, codes, cues, target, rng = data.draw(asked(model))
    (B, n, _), Q = codes["sense"].shape, next(iter(cues.values())).shape[1]
    age, own = ages(data, rng, B, Q, n), ["log_eta"] if model is tem else ["log_beta", "log_gamma"]
    _, cache = regions.recall(params, cues, target, codes, age)
    forward = recall_from(lambda *a: regions.recall(*a)[0], params, cues, target, age)

    def backward(dr):
        dcues, dmemory, dparams = regions.recall_backward(params, dr, target, codes, age, cache)
        dmemory = {name: dmemory.get(name, np.zeros_like(z)) for name, z in codes.items()}
        return *(dcues[name] for name in cues), *dmemory.values(), *(dparams.get(name, np.zeros(())) for name in own)

    inputs = *cues.values(), *codes.values(), *(params[name] for name in own)
    check_backward(rng, lambda *a: forward(*a, names=list(codes), own=own), backward, *inputs)


@given(data=st.data(), hebbian=st.booleans())
def test_recall_units_backward(data, hebbian):
    """Storage and recall through conjunctions, by synapses M or by attention, attractor and all."""
    params, codes, cues, target, rng = data.draw(asked(tem))
    params["hebbian"], sizes = np.array(float(hebbian)), {name: z.shape[-1] for name, z in codes.items()}
    n = codes["sense"].shape[1]
    cues = {name: np.resize(z, (len(z), n, z.shape[-1])) for name, z in cues.items()}

    def there(position, log_eta, *values):
        dtype = np.result_type(position, log_eta, *values)
        changed = {**params, "log_eta": np.asarray(log_eta, dtype)}
        given = {name: np.asarray(z, dtype) for name, z in zip(cues, values)}
        stored = {name: np.asarray(z, dtype) for name, z in {**codes, "position": position}.items()}
        memory, stores = regions.remember_units(changed, stored)
        memory, age = tem.known(memory, 0, n)
        return memory, age, stores, regions.recall_units(changed, given, target, sizes, memory, age)

    def backward(dr):
        memory, age, stores, (_, cache) = there(*inputs)
        dcues, dmemory, drecall = regions.recall_units_backward(params, dr, target, memory, age, cache)
        dposition, dstore = regions.remember_units_backward(params, dmemory, stores)
        return dposition, tem.added(drecall, dstore).get("log_eta", np.zeros(())), *(dcues[name] for name in cues)

    inputs = codes["position"], params["log_eta"], *cues.values()
    check_backward(rng, lambda *a: there(*a)[-1][0], backward, *inputs)


@given(asked(tem))
def test_unbind_reads_a_region_out_of_a_conjunction_and_takes_gradients_back_through_bind(drawn):
    _, codes, _, target, rng = drawn
    p, names = rng.normal(size=regions.bind(codes).shape), list(codes)
    assert p.shape[-1] == np.prod([z.shape[-1] for z in codes.values()])

    def bind_backward(dp):
        return [regions.unbind(dp, codes, name) for name in names]

    check_backward(rng, lambda *z: regions.bind(dict(zip(names, z))), bind_backward, *codes.values())
    others = [name for name in names if name != target]

    def unbind_backward(du):
        dp, dz = regions.unbind_backward(du, p, codes, target)
        return dp, *(dz[name] for name in others)

    def unbind(p, *z):
        dtype = np.result_type(p, *z)
        given = {**codes, **dict(zip(others, z))}
        return regions.unbind(p.astype(dtype), {name: z.astype(dtype) for name, z in given.items()}, target)

    check_backward(rng, unbind, unbind_backward, p, *(codes[name] for name in others))


@each_model
@given(data=st.data())
def test_gradient_of_the_whole_loss(model, data):
    params, walk, rng = data.draw(problems(model))
    block = data.draw(st.integers(1, 13))
    loss, grads, right = regions.gradients(params, walk, block)
    assert (right == regions.evaluate(params, walk, data.draw(st.integers(1, 13)))).all()
    agree(loss, regions.gradients(params, walk, 100)[0], 1e-10)
    if walk.revisit.any():
        check_gradients(rng, lambda p: regions.gradients(p, walk, block)[0], params, grads)
    else:
        assert loss == 0
        assert all((d == 0).all() for d in grads.values())


# ------------------------------------------------------------------------------------------------------- two regions


@each_model
@given(data=st.data())
def test_two_regions_are_the_model_itself(model, data):
    """No context: loss, gradients and what is right are those of tem.py and temt.py; with products or with sums."""
    _, world, S, walk = data.draw(walks(kinds=st.just(())))
    options, rng = memory_options(model, data.draw), np.random.default_rng(0)
    params = generic(model.init_params(rng, world.n_actions, S, 6, S, dtype=float, **options), rng)
    both = params | ({"log_gamma": np.array(0.3), "product": np.array(1.0)} if model is temt else {})
    loss, grads, right = regions.gradients(both, walk)
    want_loss, want, want_right = model.gradients(params, walk.actions, walk.observations, walk.revisit)
    assert grads.keys() == want.keys()
    agree(loss, want_loss, 1e-12)
    scale = np.sqrt(sum(np.sum(d**2) for d in want.values()))
    for name, d in want.items():
        agree(grads[name], d, 1e-9, scale)
    assert (right == want_right).all()


# ------------------------------------------------------------------------------------------------------------ rung 9


def by_matches(params, codes, cues, target, dr):
    """Recall of the target at every step, and the gradients of <r, dr>: a product of matches, no conjunction."""
    memory, age = tem.known({**codes, "new": np.ones(codes["sense"].shape[:2], bool)}, 0, codes["sense"].shape[1])
    r, cache = regions.recall(params, cues, target, memory, age)
    dcues, dmemory, dparams = regions.recall_backward(params, dr, target, memory, age, cache)
    return r, {"position": dmemory["position"], **{f"cue {name}": dcues[name] for name in cues}}, dparams["log_eta"]


def by_synapses(params, codes, cues, target, dr):
    """The same from conjunctions, through the P x P synapses M of every step, and back through time."""
    params, sizes = {**params, "hebbian": np.array(1.0)}, {name: z.shape[-1] for name, z in codes.items()}
    memory, stores = regions.remember_units(params, codes)
    memory, age = tem.known(memory, 0, codes["sense"].shape[1])
    r, cache = regions.recall_units(params, cues, target, sizes, memory, age)
    dcues, dmemory, _ = regions.recall_units_backward(params, dr, target, memory, age, cache)
    dposition, dstore = regions.remember_units_backward(params, dmemory, stores)
    return r, {"position": dposition, **{f"cue {name}": dcues[name] for name in cues}}, dstore["log_eta"]


@given(asked(tem, attractor=False, least=3))  # one memory is recalled whatever the cue: no gradient to compare
def test_rung_9_hebbian_recall_of_a_conjunction_is_linear_attention_with_a_product_of_matches(drawn):
    """Of 2 to 4 regions, from any cues to any other, forward and gradients.

    Codes are rates, not below 0: where a sum cancels to nearly 0, the direction of what is recalled is rounding.
    """
    params, codes, cues, target, rng = drawn
    codes = {name: abs(z) for name, z in codes.items()}
    cues = {name: abs(rng.normal(size=codes[name].shape)) for name in cues}
    dr = rng.normal(size=codes[target].shape)
    sides = [route(params, codes, cues, target, dr) for route in (by_matches, by_synapses)]
    agree(sides[0][0], sides[1][0], 1e-9)
    scale = np.sqrt(sum(np.sum(d**2) for d in sides[1][1].values()))
    for name, d in sides[0][1].items():
        agree(d, sides[1][1][name], 1e-9, scale)
    agree(sides[0][2], sides[1][2], 1e-9, scale)  # both 0 but for rounding: r has length 1 whatever eta is


@given(asked(tem, attractor=False))
def test_rung_9_the_weights_are_products_of_matches(drawn):
    """w (1 . z_asked) times (z_r . z_r,tau)^2 of the others, (1 . z_r,tau)^2 where unknown: by a plain sum."""
    params, codes, cues, target, rng = drawn
    n = codes["sense"].shape[1]
    age = rng.integers(-1, 4, size=(next(iter(cues.values())).shape[1], n))
    _, cache = regions.recall(params, cues, target, codes, age)
    for b, t, tau in np.ndindex(cache["weights"].shape):
        want = np.exp(params["log_eta"]) * params["lam"] ** (age[t, tau] - 1.0) if age[t, tau] > 0 else 0
        for name, z in codes.items():
            m = z[b, tau] @ (cues[name][b, t] if name in cues else np.ones(z.shape[-1]))
            want *= m if name == target else m * m
        assert cache["weights"][b, t, tau] == pytest.approx(want, rel=1e-9)


@given(asked(temt))
def test_rung_9_the_transformer_adds_or_multiplies_matches_inside_the_softmax(drawn):
    """[W22, sec. 7], softmax(g G^T + x X^T) C and softmax((g G^T) * (x X^T)) C, by plain sums; so does each region."""
    params, codes, cues, target, _ = drawn
    (_, n, _), G = codes["sense"].shape, len(params["g0"])
    gamma, beta = np.exp(params["log_gamma"]), np.exp(params["log_beta"])
    r, _ = regions.recall(params, cues, target, codes, np.ones((1, n), int))
    for b, t in np.ndindex(r.shape[:2]):
        h = float(params["product"])
        for name, z in cues.items():
            a = (beta / np.sqrt(G) if name == "position" else gamma) * (codes[name][b] @ z[b, t])
            h = h * a if params["product"] else h + a
        e = np.exp(np.log1p(n) * (h - h.max()))
        agree(r[b, t], e / e.sum() @ codes[target][b], 1e-9)


@given(asked(tem), st.booleans())
def test_units_with_attractor_are_tems_with_position_and_contexts_bound_into_one(drawn, hebbian):
    params, codes, _, _, rng = drawn
    params["hebbian"], n = np.array(float(hebbian)), codes["sense"].shape[1]
    place = {name: z for name, z in codes.items() if name != "sense"}
    cues = {name: rng.normal(size=z.shape) for name, z in place.items()}
    memory, _ = regions.remember_units(params, codes)
    stored, age = tem.known(memory, 0, n)
    sizes = {name: z.shape[-1] for name, z in codes.items()}
    r, _ = regions.recall_units(params, cues, "sense", sizes, stored, age)
    agree(r, tem.recall(params, regions.bind(cues), stored, age)[0], 1e-9)


# --------------------------------------------------------------------------------------------- recall, any direction


@st.composite
def triples(draw, model):
    """n memories, no two alike in any two of three or four regions; positions at right angles, codes one-hot."""
    n, V = draw(st.integers(2, 5)), draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    options = {"product": draw(st.booleans()), "beta": 16.0, "gamma": 16.0} if model is temt else {"same": 1.0}
    basis, _ = np.linalg.qr(np.c_[np.ones(n + 1), rng.normal(size=(n + 1, n))])
    params = regions.init_params(rng, model, 2, n, G=n + 1, C=n, dtype=float, **options)
    codes = {"position": np.sqrt(n + 1) * basis.T[None, 1:] + (model is tem)}  # TEM asks for a sum that is not 0
    for name in [*(f"context {v + 1}" for v in range(V)), "sense"]:
        codes[name] = np.eye(n)[rng.permutation(n)][None]
    return params, codes, rng


@each_model
@given(data=st.data())
def test_any_region_is_recalled_from_the_others(model, data):
    """[W22, sec. 7]: any subset of regions reinstates the others. One memory, asked in every direction."""
    params, codes, _ = data.draw(triples(model))
    n, asked = codes["sense"].shape[1], data.draw(st.sampled_from(list(codes)))
    some = data.draw(
        st.lists(st.sampled_from([k for k in codes if k not in (asked, "position")]), min_size=1, unique=True)
    )
    cues = {name: codes[name] for name in some}
    r, _ = regions.recall(params, cues, asked, codes, np.ones((n, n), int))
    agree(r if model is temt else r * np.linalg.norm(codes[asked], axis=-1, keepdims=True), codes[asked], 1e-6)


@given(triples(tem))
def test_position_comes_back_from_synapses_up_to_its_sign(drawn):
    """M is the same for p and -p: TEM's cue of ones takes the sign of (1 . g) for that of g."""
    params, codes, rng = drawn
    g = codes["position"] = rng.normal(size=codes["position"].shape)
    n, sizes = g.shape[1], {name: z.shape[-1] for name, z in codes.items()}
    cues, age = {name: z for name, z in codes.items() if name != "position"}, np.ones((n, n), int)
    memory, _ = regions.remember_units(params, codes)
    want = np.sign(g.sum(axis=-1, keepdims=True)) * g / np.linalg.norm(g, axis=-1, keepdims=True)
    agree(regions.recall(params, cues, "position", codes, age)[0], want, 1e-9)
    agree(regions.recall_units(params, cues, "position", sizes, memory, age)[0], want, 1e-9)


@pytest.mark.parametrize(
    ("cues", "target"), [((), "sense"), (("sense",), "sense"), (("sense",), "mood"), (("mood",), "sense")]
)
def test_a_bad_question_is_named(cues, target):
    params = regions.init_params(np.random.default_rng(0), temt, 2, 3, G=4)
    codes = {"position": np.ones((1, 2, 4)), "sense": np.ones((1, 2, 3))}
    with pytest.raises(ValueError, match=r"^asked must be one of"):
        regions.recall(params, {name: np.ones((1, 1, 3)) for name in cues}, target, codes, np.ones((1, 2), int))


# ---------------------------------------------------------------------------------------------------------- behaviour


@each_model
@given(data=st.data())
def test_what_comes_later_changes_nothing_and_nothing_is_changed(model, data):
    """Another future, same past; float32 stays float32, and inputs stay as they were."""
    params, walk, _ = data.draw(problems(model))
    params = {name: value.astype(np.float32) for name, value in params.items()}
    before = {name: value.copy() for name, value in params.items()}, [np.copy(z) for z in walk]
    _, grads, right = regions.gradients(params, walk)
    assert {d.dtype for d in grads.values()} == {np.dtype(np.float32)}
    assert all((params[name] == value).all() for name, value in before[0].items())
    assert all((np.asarray(z) == old).all() for z, old in zip(walk, before[1]))
    t = data.draw(st.integers(0, walk.states.shape[1] - 1))
    seen, contexts = walk.observations.copy(), walk.contexts.copy()
    seen[:, t + 1 :] = (seen[:, t + 1 :] + 1) % len(params["b"])
    contexts[:, t + 1 :] = (contexts[:, t + 1 :] + 1) % np.array(walk.kinds, int)
    other = regions.gradients(params, walk._replace(observations=seen, contexts=contexts))[2]
    assert (other[:, : t + 1] == right[:, : t + 1]).all()


@given(walks(max_T=15))
def test_what_is_determined_is_that_of_a_slow_list(drawn):
    rng, world, S, walk = drawn
    params = regions.init_params(rng, temt, world.n_actions, S, G=6)
    things = {"position": walk.states, "sense": walk.observations}
    things |= {f"context {v + 1}": walk.contexts[..., v] for v in range(len(walk.kinds))}
    for asked in things:
        right, determined = regions.reinstate(params, walk, asked)
        assert (right == regions.reinstate(params, walk, asked, block=4)[0]).all()
        for b, row in enumerate(determined):
            steps = [{name: thing[b, t] for name, thing in things.items()} for t in range(len(row))]
            for t, step in enumerate(steps):
                rivals = [s for s in steps if all(s[name] == step[name] for name in s if name != asked)]
                assert row[t] == all(s[asked] == step[asked] for s in rivals)


def three_contexts(rng, T, batch=16):
    return regions.context_walk(rng, envs.grid(3), batch, T, n_obs=20, switch=0.2)


@pytest.mark.parametrize(("model", "updates"), [(tem, 300), (temt, 200)], ids=["tem", "temt"])
def test_three_regions_learn_on_fresh_worlds_and_are_recalled_in_any_direction(model, updates):
    """What place alone cannot tell; then context from position and sense, position from context and sense."""
    rng = np.random.default_rng(0)
    params, _ = regions.train(
        rng, regions.init_params(rng, model, 4, 20, C=20), three_contexts, updates=updates, steps=48, quiet=True
    )
    walk = three_contexts(rng, 48, batch=100)
    learned, place = regions.evaluate(params, walk), regions.last_seen(walk, 20, walk.states)
    assert min(envs.accuracy(learned, walk)) > 0.97 > 0.8 > envs.accuracy(place, walk)[0]
    for asked in ("position", "context 1", "sense"):
        right, determined = regions.reinstate(params, walk, asked)
        assert right[determined].mean() > 0.97


def test_two_regions_do_not():
    """temt.py as it is, on the same walks, does what an agent does that knows the place alone."""
    rng = np.random.default_rng(0)

    def blind(params, walk):
        return temt.gradients(params, walk.actions, walk.observations, walk.revisit)

    params, _ = regions.train(rng, temt.init_params(rng, 4, 20), three_contexts, blind, 200, 48, quiet=True)
    walk = three_contexts(rng, 48, batch=100)
    assert 0.6 < envs.accuracy(temt.evaluate(params, walk), walk)[0] < 0.8
