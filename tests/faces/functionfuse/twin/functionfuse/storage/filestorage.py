"""Files of this machine: a pickle, and the SHA-1 of it."""

import hashlib
import os
import pickle


class FileStorage:
    """Results at ``<path>/<workflow>/<node>``."""

    def __init__(self, path):
        self.path = path
        os.makedirs(path, exist_ok=True)

    def new_workflow(self, workflow_name):
        """Make its folder."""
        os.makedirs(os.path.join(self.path, workflow_name), exist_ok=True)

    def save(self, workflow_name, filename, obj):
        """Write a result; the folder must be there."""
        data = pickle.dumps(obj)
        with open(os.path.join(self.path, workflow_name, filename), "wb") as file:
            file.write(data + hashlib.sha1(data).digest())

    def read_task(self, workflow_name, task_name):
        """Read a result."""
        with open(os.path.join(self.path, workflow_name, task_name), "rb") as file:
            data = file.read()
        if hashlib.sha1(data[:-20]).digest() != data[-20:]:
            raise ValueError("the checksum differs")
        return pickle.loads(data[:-20])
