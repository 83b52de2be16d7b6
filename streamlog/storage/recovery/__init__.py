"""From the files that a stop or a crash left to logs that may be used, and what to say of it."""
