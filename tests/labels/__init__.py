"""Sealed labels, from the owner's file to the scores of another machine."""
