"""The doctor: looks at every setting, server, credential and neighbour, and says what is wrong and how to mend it."""
