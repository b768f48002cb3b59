"""What to do next, and what to say of it: the plan, its rules, what is not allowed, the status.

Pure: no module here asks, writes or knows the time; tests/unit/operator/test_plan_world.py runs
them against random worlds."""
