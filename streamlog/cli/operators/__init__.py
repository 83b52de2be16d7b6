"""Commands of those who run a cluster: nodes, where partitions live, who votes on the metadata."""
