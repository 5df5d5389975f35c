"""What tests of the course's pages stand on: a real Chromium, and an eye on all that a page does.

A test module says `pytest_plugins = ["course.harness.browser.plugin"]` and asks for `visit`.
"""
