"""One group's log as replication sees it: the order of its writes, its files, copies of it."""
