"""Breaks the production topology while it is used, and checks that it kept every promise.

`record` notes what clients saw, `clients` are these clients, `drills` break things, `scene` runs a
drill and compares what was acknowledged with what is there, `report` prints the table.
"""
