"""The embedded kubelet and the built-in controllers, for a laptop without a cluster."""
