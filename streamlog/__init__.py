"""A partitioned, replicated event-streaming log."""
