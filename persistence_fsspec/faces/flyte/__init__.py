"""The front door for Flyte: ``pip install`` is enough, both generations of flytekit persist through `FSSpecPersistence`."""
