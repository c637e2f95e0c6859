"""The main job from the command line: what it prints and saves, and that its errors are one line and status 2."""

import numpy as np
import pytest
from checks import MODELS

import envs

each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
BRIEF = ["--updates", "3", "--steps", "14"]


@each_model
@pytest.mark.parametrize("world", envs.WORLDS)
def test_the_main_job_prints_the_table_and_plays_the_animals(model, world, capsys):
    model.main([*BRIEF, "--world", world, "--size", "4", "--activation", "relu"])
    out, err = capsys.readouterr()
    rows = [line[:20].strip() for line in out.splitlines()]
    for row in ("chance", "edge agent", "node agent", model.NAME):
        assert row in rows
    assert "14 steps" in out
    assert "28 steps" in out
    assert "see cat, go" in out
    assert "what now?" in out
    assert "it is the cat" in out
    assert "3/3" in err


@each_model
def test_the_main_job_runs_with_landmarks(model, capsys):
    model.main([*BRIEF, "--landmarks", "--size", "3"])
    out = capsys.readouterr().out
    assert model.NAME in out
    assert "it is the cat" in out


@each_model
def test_save_then_load_skips_training_and_says_the_same(model, tmp_path, capsys):
    file = str(tmp_path / "model.npz")
    model.main([*BRIEF, "--save", file])
    model.main([*BRIEF, "--load", file, "--seed", "1"])
    first = capsys.readouterr()
    model.main([*BRIEF, "--load", file, "--seed", "1"])
    again = capsys.readouterr()
    assert again.err == ""
    assert "trained" not in again.out
    assert first.out.splitlines()[-12:-1] == again.out.splitlines()[-12:-1]


@each_model
def test_plot_saves_one_picture(model, tmp_path):
    file = tmp_path / "picture.png"
    model.main([*BRIEF, "--plot", str(file), "--save", str(tmp_path / "m")])
    assert file.read_bytes().startswith(b"\x89PNG")
    model.main(["--steps", "14", "--load", str(tmp_path / "m"), "--plot", str(file)])


@each_model
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--world", "moon"], "invalid choice: 'moon'"),
        (["--size", "big"], "argument --size: invalid int value: 'big'"),
        (["--size", "1"], "height must be an integer of at least 2, got 1"),
        (["--updates", "-1"], "updates must be an integer of at least 0, got -1"),
        (["--steps", "0"], "steps must be an integer of at least 1, got 0"),
        (["--seed", "-1"], "expected non-negative integer"),
        (["--activation", "tanh"], "invalid choice: 'tanh'"),
        (["--load", "no such file.npz"], "no such file.npz"),
        (["--load", __file__], "path must be an .npz file written by save"),
        (["--save", "no such folder/file.npz"], "no such folder"),
        (["--plot", "no such folder/file.png"], "no such folder"),
        (["--plot", "picture.docx"], "docx"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_errors_are_one_clear_line_and_status_2(model, arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        model.main(["--updates", "2", "--steps", "13", *arguments])
    lines = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert message in lines[-1]
    assert [line for line in lines if "error" in line] == lines[-1:]


@each_model
def test_a_model_of_other_moves_is_refused(model, tmp_path, capsys):
    model.save(tmp_path / "six moves", model.init_params(np.random.default_rng(0), 6, 45))
    with pytest.raises(SystemExit):
        model.main(["--load", str(tmp_path / "six moves"), "--world", "grid"])
    assert "worlds must each have the 6 actions of params, got [4]" in capsys.readouterr().err
