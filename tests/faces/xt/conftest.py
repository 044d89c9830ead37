"""These are programs for another interpreter, which has XT."""

collect_ignore_glob = ["*.py"]
