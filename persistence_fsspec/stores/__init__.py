"""What stands behind a `Store`."""
