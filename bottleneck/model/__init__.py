"""The nouns every layer shares; this folder imports nothing of ours outside itself."""
