"""Property tests are the same on every run, so that a failure here is a failure everywhere.

``--hypothesis-profile=explore`` tries others, as many as you have patience for; ``--hypothesis-seed=N`` repeats
such a run.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None, max_examples=20, database=None)
settings.register_profile("explore", deadline=None, max_examples=500, print_blob=True)
if settings.get_current_profile_name() in ("default", "ci"):
    settings.load_profile("same")
