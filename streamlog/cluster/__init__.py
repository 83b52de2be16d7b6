"""The cluster's metadata: nodes, topics, placement, and the replicas a node must hold."""
