"""Pictures of patches: images decoded in a sandbox, labels and predictions in their colours."""
