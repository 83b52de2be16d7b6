"""The simulated ports: virtual time, event loops, disks, a network."""
