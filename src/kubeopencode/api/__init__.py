"""The nouns. Types here are the one source of schema, defaults and docs; they do nothing but hold."""
