"""The embedded API server: the semantics controllers and kubectl depend on, in one process."""
