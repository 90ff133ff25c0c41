"""Property tests are the same on every run, so that a failure here is a failure everywhere.

``--hypothesis-profile=explore`` tries others, as many as you have patience for; ``--hypothesis-seed=N`` repeats
such a run.
"""

from __future__ import annotations

import gc

from hypothesis import HealthCheck, settings

# On a machine that does much else a process may stand still for half a minute: how fast examples are made says nothing.
SLOW = [HealthCheck.too_slow]
settings.register_profile(
    "same", derandomize=True, deadline=None, max_examples=20, database=None, suppress_health_check=SLOW
)
settings.register_profile("explore", deadline=None, max_examples=500, print_blob=True)
if settings.get_current_profile_name() in ("default", "ci"):
    settings.load_profile("same")


def pytest_collection_finish() -> None:
    """Modules and tests, three thousand of them, stay to the end: the cyclic collector need not walk them each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # what tests make is soon gone by itself
