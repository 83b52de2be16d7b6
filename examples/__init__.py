"""Programs that show the platform at work."""
