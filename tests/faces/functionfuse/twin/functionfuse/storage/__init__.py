"""As there, the function hides the module of its name."""

from .storage_factory import storage_factory

__all__ = ["storage_factory"]
