"""A stand-in for functionfuse: what the face touches of it, and no more."""
