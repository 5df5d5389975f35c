"""Loads the harness: its options, fixtures and failure reports (`tests/harness/plugin.py`)."""

pytest_plugins = ["tests.harness.plugin"]
