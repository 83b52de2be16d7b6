"""Peers that the benchmark starts on this machine."""
