"""These are programs for other interpreters, and a stand-in for statisfactory."""

collect_ignore_glob = ["*.py"]
