"""kubeoc. One verb a file; it prints and decides nothing."""
