"""Text -> word-pieces -> vectors."""
