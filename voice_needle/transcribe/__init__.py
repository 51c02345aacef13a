"""utterance -> words."""
