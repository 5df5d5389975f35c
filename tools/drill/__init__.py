"""Breaks the production topology under load, and checks that every promise was kept.

`clients` send requests, `record` stores their results, and `drills` break things. `scene` runs a
drill and compares the acknowledged writes with the database. `report` prints the table.
"""
