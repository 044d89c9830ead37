"""What the library can tell of itself: which driver, which options, from where."""
