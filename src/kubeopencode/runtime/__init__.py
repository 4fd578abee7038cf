"""The level-triggered loop. It knows no kind."""
