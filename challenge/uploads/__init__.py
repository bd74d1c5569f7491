"""Resumable uploads over HTTP: tus 1.0 with six of its extensions."""
