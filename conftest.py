"""Loads the harness: its options, fixtures and failure reports (`course/harness/plugin.py`)."""

pytest_plugins = ["course.harness.plugin"]
