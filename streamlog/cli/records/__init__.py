"""`produce` and `consume`: text and files to records, and back."""
