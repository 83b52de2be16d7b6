"""What clients call: produce, fetch, offsets, metadata, administration."""
