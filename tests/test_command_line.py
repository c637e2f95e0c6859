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
        (["--steps", "10001"], "--steps must be an integer of at most 10000, got 10001"),
        (["--size", "2000"], "height * width must be an integer of at most 1000000, got 4000000"),
        (["--load", ""], "''"),
        (["--load", "."], "path must be an .npz file written by save, got '.'"),
        (["--save", ""], "--save must be a file that can be written, got ''"),
        (["--save", "."], "--save must be a file that can be written, got '.'"),
        (
            ["--save", "a file/model.npz"],
            "--save must be a file that can be written, got 'a file/model.npz'",
        ),
        (["--plot", "a file/picture.png"], "--plot must be a file that can be written"),
        (["--plot", "picture"], "--plot must end in one of ('.png', '.pdf', '.svg'), got 'picture'"),
    ],
)
def test_errors_are_one_clear_line_and_status_2(model, arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_text("")
    with pytest.raises(SystemExit) as stopped:
        model.main(["--updates", "2", "--steps", "13", *arguments])
    lines = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert message in lines[-1]
    assert [line for line in lines if "error" in line] == lines[-1:]
    assert "updates" not in "".join(lines[:-1])  # before training, not after
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


@each_model
def test_a_model_of_other_moves_is_refused(model, tmp_path, capsys):
    model.save(tmp_path / "six moves", model.init_params(np.random.default_rng(0), 6, 45))
    with pytest.raises(SystemExit):
        model.main(["--load", str(tmp_path / "six moves"), "--world", "grid"])
    assert "worlds must each have the 6 actions of params, got [4]" in capsys.readouterr().err


@each_model
def test_a_read_only_folder_is_told_before_training(model, monkeypatch, tmp_path, capsys):
    def refuse(path, mode):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(envs, "open", refuse, raising=False)
    for option in ("--save", "--plot"):
        with pytest.raises(SystemExit):
            model.main([*BRIEF, option, str(tmp_path / "file.png")])
        captured = capsys.readouterr()
        assert f"{option} must be a file that can be written, got " in captured.err
        assert captured.err.endswith(": Permission denied\n")
        assert "trained" not in captured.out


@each_model
def test_interrupted_training_shows_the_table_and_saves_what_has_been_learned(model, monkeypatch, tmp_path, capsys):
    adam, made = model.adam, []

    def interrupted(*arguments):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(adam(*arguments))
        return made[-1]

    monkeypatch.setattr(model, "adam", interrupted)
    model.main([*BRIEF, "--activation", "relu", "--save", str(tmp_path / "model")])
    out = capsys.readouterr().out
    assert "interrupted after 2 updates" in out
    assert f"\n{model.NAME}  " in out
    assert "it is the cat" in out
    assert all((made[-1][0][name] == value).all() for name, value in model.load(tmp_path / "model").items())


@each_model
def test_an_interruption_outside_training_is_one_line_and_status_130(model, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "evaluate", interrupt)
    with pytest.raises(SystemExit) as stopped:
        model.main(BRIEF)
    assert stopped.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1].endswith(": interrupted")


def test_what_was_in_a_file_is_lost_only_to_what_is_whole(tmp_path):
    def fail(file):
        file.write(b"half")
        raise OSError("no space left on device")

    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(OSError, match="no space"):
        envs.write(path, fail)
    assert path.read_bytes() == b"before"
    envs.write(path, lambda file: file.write(b"after"))
    assert path.read_bytes() == b"after"
    assert [*tmp_path.iterdir()] == [path]
