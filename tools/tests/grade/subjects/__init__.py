"""Servers that the tester itself is tested with: one that only looks right, one that is right."""
