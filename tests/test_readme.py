"""The README's commands and names are real."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_both_commands_install_what_they_need():
    commands = [line.strip() for line in README.splitlines() if line.startswith("    python3")]
    assert len(commands) == 2
    assert all("-m venv .venv && .venv/bin/pip install -r requirements.txt && " in command for command in commands)


def test_every_file_named_is_there():
    named = set(re.findall(r"`((?:notebooks|tests)/[\w/]*|\w+\.py)`", README)) | set(
        re.findall(r"\]\(([\w./]+)\)", README)
    )
    assert len(named) > 8
    for name in named:
        assert (ROOT / name).exists() or (ROOT / f"{name}.ipynb").exists(), name


def test_the_top_level_holds_the_models_and_what_surrounds_them():
    wanted = {"README.md", "requirements.txt", "LICENSE", "temt.py", "tem.py", "envs.py", "notebooks", "tests"}
    assert wanted <= {path.name for path in ROOT.iterdir()}
    assert {path.name for path in ROOT.glob("*.py")} == {"temt.py", "tem.py", "envs.py"}
