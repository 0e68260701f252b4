"""Measures the service as others would use it: through a real broker, beside firebase-admin."""
