"""Tries to break the platform: a deterministic simulator, nemeses and checkers of histories."""
