"""The segment log of one group: its files, their indexes, its contents in memory."""
