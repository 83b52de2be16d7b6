"""The producer: records into batches, batches to their leaders."""
