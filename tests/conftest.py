"""Hypothesis profiles: `pytest` is repeatable and quick; `pytest --hypothesis-profile=long` draws 1,000 examples."""

import matplotlib
from hypothesis import settings

matplotlib.use("Agg")
settings.register_profile("default", derandomize=True, deadline=None, max_examples=25)
settings.register_profile("long", derandomize=True, deadline=None, max_examples=1000)
settings.load_profile("default")


def pytest_terminal_summary(terminalreporter):
    """The worst relative error of every rung of the ladder."""
    from test_equivalence import WORST

    for rung, error in sorted(WORST.items()):
        terminalreporter.write_line(f"{rung}: worst relative error {error:.1e}")
