"""What nodes say to each other: wire forms and the three streams per node pair."""
