"""`streamlog group`: consumer groups as operators see and change them."""
