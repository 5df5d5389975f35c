"""The base of the tests of pages: a real Chromium, and a monitor of everything that a page does.

A test module sets `pytest_plugins = ["course.harness.browser.plugin"]` and asks for `visit`.
"""
