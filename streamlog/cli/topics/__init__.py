"""Commands about topics: what there is, how large it is, and changes of it."""
