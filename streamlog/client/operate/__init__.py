"""Administration: topics, consumer groups, nodes, and what operators are told of them."""
