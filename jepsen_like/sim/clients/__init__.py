"""The load of a simulation: producers, consumers, members of groups, and their history."""
