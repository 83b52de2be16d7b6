"""Typed settings of topics and nodes: key, default, range, unit and documentation in one place."""
