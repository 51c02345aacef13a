"""sound -> one utterance."""
