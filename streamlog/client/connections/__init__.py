"""Reaching a cluster: connections, who leads what, calls to leaders, over any transport."""
