"""KubeOpenCode: AI coding agents as Kubernetes resources, with and without a cluster."""

__version__ = "0.1.0"
