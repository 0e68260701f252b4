"""Apps that a worker under test runs with, and that do harm in its process: the product has no hook for that."""
