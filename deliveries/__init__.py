"""What we promise: every accepted notification ends in a state that a person can find."""
