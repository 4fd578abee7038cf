"""What runs inside Pods. Standard library only; imports nothing of ours; starts in under 100 ms."""
