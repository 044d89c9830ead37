"""These are programs for another interpreter, which has flytekit."""

collect_ignore_glob = ["*.py"]
