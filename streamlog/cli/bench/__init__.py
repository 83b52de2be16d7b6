"""`bench`: how fast a cluster is, by the public client."""
