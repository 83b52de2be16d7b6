"""Many seeds on all cores; a failing one shrunk, and shown."""
