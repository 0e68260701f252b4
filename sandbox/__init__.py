"""A stand-in for Google, the neighbours and a phone, to try everything without them."""
