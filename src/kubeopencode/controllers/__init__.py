"""One thin file a kind: gather, judge, render, converge, one status write."""
