"""The one room that speaks to an API server."""
