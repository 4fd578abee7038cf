"""A model that answers from a script, so that tests and demos of real agents are deterministic, offline and free."""
