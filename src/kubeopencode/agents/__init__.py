"""One coding agent a file: its command, environment, files and how to read its result. Plain data."""
