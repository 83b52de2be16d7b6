"""The same work on this platform and its peers, side by side on one machine."""
