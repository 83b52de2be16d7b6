"""A year of flights through a three-node cluster that loses a leader half-way."""
