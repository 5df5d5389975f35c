"""Servers for tests of the grader: one that only looks right, and one that is right."""
